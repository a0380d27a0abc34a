"""How evenly the sites with waiting jobs were served, in each minute of the providers' clock."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blogworker.bench.load.history import JobTimes, Sample
from blogworker.db.pool import Row
from blogworker.demo.fairness import jain


@dataclass(frozen=True, slots=True)
class Minute:
    """Jain's index over the sites with waiting jobs, of what each got per unit of its weight."""

    sites: int
    tokens: float
    started: float  # jobs claimed for the first time


def minutes(
    jobs: Iterable[JobTimes], tokens: Iterable[Row], samples: Sequence[Sample], *, until_s: float, minute_s: float
) -> list[Minute]:
    """Return the complete minutes from the first claim to `until_s`, without the first minute.

    A minute in which fewer than two sites had waiting jobs all the time is left out. `tokens`: rows of
    `bench/history_tokens`. `minute_s`: the length of a minute in real seconds.
    """
    starts = [(job.claimed_s, job.instance_id) for job in jobs if job.claimed_s is not None]
    spends = [(row["at_s"], row["instance_id"], row["tokens"]) for row in tokens]
    first = min((at for at, _ in starts), default=until_s)
    found = []
    for n in range(1, int((until_s - first) / minute_s)):
        begin, end = first + n * minute_s, first + (n + 1) * minute_s
        weights = _waiting([sample for sample in samples if begin <= sample.at_s < end])
        started = Counter(site for at, site in starts if begin <= at < end)
        used: Counter[str] = Counter()
        for at, site, amount in spends:
            used[site] += amount if begin <= at < end else 0
        if len(weights) > 1:
            shares = [[got[site] / weight for site, weight in weights.items()] for got in (used, started)]
            found.append(Minute(len(weights), *map(jain, shares)))
    return found


def _waiting(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the weights of the sites that had a waiting job in every sample."""
    if not samples:
        return {}
    always = set.intersection(*({site for site, count in sample.waiting.items() if count} for sample in samples))
    return {site: samples[0].weights[site] for site in always}
