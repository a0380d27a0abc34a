"""Read the provider's own limits from its `x-ratelimit-*` headers.

Where the provider reports a token bucket of the project beside that of the model, the one with less left decides.

The headers do not say whether requests are counted per minute or per day. The time until the bucket is full shows it:
the bucket fills at the rate of the limit, so a bucket per minute is full within a minute.
"""

from collections.abc import Mapping

from blogworker.durations import go_duration_s
from blogworker.quota.bucket import ProviderLimits

MINUTE_S, DAY_S = 60.0, 86_400.0
SURELY_LONGER_S = 1.1 * MINUTE_S  # resets are rounded
MOST = 2**31 - 1  # what a bucket's row holds; gateways send far larger numbers to mean "no limit"
DIGITS = 18  # a longer number is ignored


def limits_in(headers: Mapping[str, str]) -> ProviderLimits:
    """Return the limits. A header that is absent or unreadable gives None."""
    requests_limit, requests_left = _bucket(headers, "requests")
    tokens = [bucket for kind in ("tokens", "project-tokens") if (bucket := _bucket(headers, kind))[0] is not None]
    tokens_limit, tokens_left = min(tokens, key=lambda bucket: (bucket[1] is None, bucket[1]), default=(None, None))
    return ProviderLimits(requests_limit, tokens_limit, requests_left, tokens_left)


def _bucket(headers: Mapping[str, str], kind: str) -> tuple[int | None, float | None]:
    """Return the limit per minute, and the fraction of the bucket that is left."""
    limit = _count(headers.get(f"x-ratelimit-limit-{kind}"))
    left = _count(headers.get(f"x-ratelimit-remaining-{kind}"))
    if not limit:
        return None, None
    part_left = None if left is None else min(1.0, left / limit)
    full_s = go_duration_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
    if kind == "requests" and full_s is not None and full_s > SURELY_LONGER_S and part_left not in (None, 1.0):
        period_s = min(DAY_S, full_s / (1 - part_left))
        limit = max(1, int(limit * MINUTE_S / period_s))
    return min(limit, MOST), part_left


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) <= DIGITS else None
