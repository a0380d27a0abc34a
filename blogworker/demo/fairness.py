"""The fairness of a run: whether all sites were served evenly."""

from collections import Counter
from collections.abc import Mapping, Sequence


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 if all shares are equal, 1/n if one has everything (Jain, Chiu, Hawe 1984)."""
    squares = sum(share * share for share in shares)
    return 1.0 if squares == 0 else sum(shares) ** 2 / (len(shares) * squares)


def max_min_share(demands: Mapping[str, int], capacity: int) -> dict[str, float]:
    """The max-min fair share of each site: `capacity` in equal parts, but to no site more than its demand."""
    due: dict[str, float] = {}
    left = float(capacity)
    waiting = sorted(demands, key=lambda site: demands[site])
    while waiting:
        even = left / len(waiting)
        site = waiting.pop(0)
        due[site] = min(float(demands[site]), even)
        left -= due[site]
    return due


def fairness(order: Sequence[str]) -> float:
    """Jain's index of served jobs relative to the max-min fair share, after half of the claims.

    `order`: the site of each claimed job, in the order of the claims. At the end every site is served completely, in
    any order, so only the first half shows the fairness of the order.
    """
    half = len(order) // 2
    due = max_min_share(Counter(order), half)
    served = Counter(order[:half])
    return jain([served[site] / share for site, share in due.items() if share > 0])
