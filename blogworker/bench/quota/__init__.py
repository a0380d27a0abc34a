"""How well a fleet uses a vendor's quota, by the vendor's own accounting.

    simulator   a process: counts requests, tokens and 429s, knows nothing of our limiter
    callers     processes with the worker's limiter, OpenAI client and prompts, and slots; nothing else of a worker,
                so that two cores carry 60 times the real pace
    foreigner   another application with the same key

`seed` is the limiter of the system before this one, as the baseline.

What `speed` means: the vendor's latencies shrink, its limits grow, and its bucket holds one minute of its own time, so
at 60 times speed one second. Our own times (the distance of rounds, the news from headers) stay in real seconds, which
makes us that many times slower to react than in production. Only the burst follows, because a bucket's burst is to be
small against what the vendor's holds.
"""

from blogworker.bench.quota.measure import Figure, Plan, Scenario, measure
from blogworker.bench.quota.overhead import Crowd, Overhead, crowd, overhead

__all__ = ["Crowd", "Figure", "Overhead", "Plan", "Scenario", "crowd", "measure", "overhead"]
