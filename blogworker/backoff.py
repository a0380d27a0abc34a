"""How long to wait before trying again."""

from random import uniform


def backoff_s(failures: int, *, base_s: float, cap_s: float) -> float:
    """Seconds to wait after the nth failure (from 1): doubling from `base_s` to `cap_s`, with up to half taken off.

    "Equal jitter" (Amazon Builders' Library, Timeouts, retries and backoff with jitter): jobs that failed together
    do not come back together, and none comes back at once.
    """
    ceiling = min(cap_s, base_s * 2.0 ** (max(1, failures) - 1))
    return ceiling * uniform(0.5, 1.0)
