"""How even the service of sites was."""

from collections import Counter
from collections.abc import Mapping, Sequence


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 when all shares are equal, 1/n when one has everything (Jain, Chiu, Hawe 1984)."""
    squares = sum(share * share for share in shares)
    return 1.0 if squares == 0 else sum(shares) ** 2 / (len(shares) * squares)


def max_min_share(demands: Mapping[str, int], capacity: int) -> dict[str, float]:
    """What each site is due when `capacity` is dealt out evenly and nobody is given more than it asks for."""
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
    """Jain's index of service against the max-min fair share, after half of the claims.

    At the end every site has all it asked for, whatever the order; halfway, order is everything.
    """
    half = len(order) // 2
    due = max_min_share(Counter(order), half)
    served = Counter(order[:half])
    return jain([served[site] / share for site, share in due.items() if share > 0])
