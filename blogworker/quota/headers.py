"""What `x-ratelimit-*` headers say of the vendor's own bucket.

A project's token bucket, where the vendor tells of one, counts beside the model's: the one with less left decides.
"""

from collections.abc import Mapping

from blogworker.quota.bucket import VendorLimits


def limits_in(headers: Mapping[str, str]) -> VendorLimits:
    """Read the headers; what is absent or unreadable stays None."""
    requests_limit, requests_left = _bucket(headers, "requests")
    tokens = [bucket for kind in ("tokens", "project-tokens") if (bucket := _bucket(headers, kind))[0] is not None]
    tokens_limit, tokens_left = min(tokens, key=lambda bucket: (bucket[1] is None, bucket[1]), default=(None, None))
    return VendorLimits(requests_limit, tokens_limit, requests_left, tokens_left)


def _bucket(headers: Mapping[str, str], kind: str) -> tuple[int | None, float | None]:
    """The limit a minute and the part of it that is left."""
    limit = _count(headers.get(f"x-ratelimit-limit-{kind}"))
    left = _count(headers.get(f"x-ratelimit-remaining-{kind}"))
    if not limit:
        return None, None
    return limit, None if left is None else min(1.0, left / limit)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
