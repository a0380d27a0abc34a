"""How well the workers use a provider's quota, by the provider's own accounting.

    simulator           a process: counts requests, tokens and 429 answers
    callers             processes with the limiter, the OpenAI client, the prompts and the slots of a worker. They have
                        nothing else of a worker, so that two cores are enough for 60 times the normal speed
    other application   uses the same API key

`seed_limiter` is the limiter of the seed, as the baseline.

With a higher speed the latencies of the provider are shorter and its limits higher, and its bucket holds one minute of
its own clock: one second at 60 times speed. Our own intervals (between reservations, and until headers are used) stay
in real seconds, so the limiter reacts that many times more slowly than in production. Only the burst is divided by the
speed, because it must be small compared with the provider's bucket.
"""

from blogworker.bench.quota.measure import Figure, Plan, Scenario, measure
from blogworker.bench.quota.overhead import Contention, Overhead, contention, overhead

__all__ = ["Contention", "Figure", "Overhead", "Plan", "Scenario", "contention", "measure", "overhead"]
