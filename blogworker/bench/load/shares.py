"""How evenly the sites that had blogs waiting were served, in each of the vendors' minutes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blogworker.bench.fairness import jain
from blogworker.bench.load.history import Blog, Look
from blogworker.db.pool import Row


@dataclass(frozen=True, slots=True)
class Minute:
    """Jain's index of what each waiting site had, per unit of its weight."""

    sites: int
    tokens: float
    started: float  # blogs claimed for the first time


def minutes(
    blogs: Iterable[Blog], tokens: Iterable[Row], looks: Sequence[Look], *, until_s: float, minute_s: float
) -> list[Minute]:
    """The whole minutes from the first claim to `until_s`, without the first. One in which fewer than two sites had
    blogs waiting all the time has no index. `minute_s`: its length in real seconds."""
    starts = [(blog.claimed_s, blog.instance_id) for blog in blogs if blog.claimed_s is not None]
    spends = [(row["at_s"], row["instance_id"], row["tokens"]) for row in tokens]
    first = min((at for at, _ in starts), default=until_s)
    found = []
    for n in range(1, int((until_s - first) / minute_s)):
        begin, end = first + n * minute_s, first + (n + 1) * minute_s
        sites = _waiting([look for look in looks if begin <= look.at_s < end])
        started = Counter(site for at, site in starts if begin <= at < end)
        used: Counter[str] = Counter()
        for at, site, amount in spends:
            used[site] += amount if begin <= at < end else 0
        if len(sites) > 1:
            shares = [[had[site] / weight for site, weight in sites.items()] for had in (used, started)]
            found.append(Minute(len(sites), *map(jain, shares)))
    return found


def _waiting(looks: Sequence[Look]) -> dict[str, float]:
    """The sites with a blog waiting at every look, and their weights."""
    always = set.intersection(*({site for site, n in look.waiting.items() if n} for look in looks)) if looks else set()
    return {site: looks[0].weights[site] for site in always}
