"""Computes the delay before a retry."""

from random import uniform


def backoff_s(failures: int, *, base_s: float, cap_s: float) -> float:
    """Return the seconds to wait after the nth failure (from 1): doubled from `base_s` to `cap_s`, minus up to a half.

    "Equal jitter" (Amazon Builders' Library, Timeouts, retries and backoff with jitter): jobs that failed together
    are not retried together, and no job is retried at once.
    """
    ceiling = min(cap_s, base_s * 2.0 ** (max(1, failures) - 1))
    return ceiling * uniform(0.5, 1.0)
