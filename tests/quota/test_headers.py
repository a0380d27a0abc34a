"""The provider's limits, read from the headers of its answers."""

import pytest

from blogworker.quota import ProviderLimits
from blogworker.quota.headers import limits_in


def headers(kind: str, limit: str, left: str | None = None, full: str | None = None) -> dict[str, str]:
    values = {"limit": limit, "remaining": left, "reset": full}
    return {f"x-ratelimit-{fact}-{kind}": value for fact, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("found", "limits"),
    [
        ({}, ProviderLimits()),
        (headers("requests", "60", "59", "1s"), ProviderLimits(requests_limit=60, requests_left=59 / 60)),
        (headers("requests", "60"), ProviderLimits(requests_limit=60)),
        (headers("tokens", "150000", "75000", "30s"), ProviderLimits(tokens_limit=150_000, tokens_left=0.5)),
        (
            headers("tokens", "150000", "149984", "6ms") | headers("project-tokens", "60000", "30000", "30s"),
            ProviderLimits(tokens_limit=60_000, tokens_left=0.5),
        ),
        (headers("project-tokens", "60000", "57000", "3s"), ProviderLimits(tokens_limit=60_000, tokens_left=0.95)),
        (headers("requests", "many", "59", "1s"), ProviderLimits()),
        (headers("requests", "0", "0", "1s"), ProviderLimits()),
        (headers("requests", "60", "61", "0s"), ProviderLimits(requests_limit=60, requests_left=1.0)),
        (headers("tokens", "9" * 12, "9" * 12), ProviderLimits(tokens_limit=2**31 - 1, tokens_left=1.0)),
        (headers("tokens", "9" * 5_000, "5"), ProviderLimits()),
    ],
)
def test_limits_are_read_from_the_headers_that_are_present(found, limits):
    assert limits_in(found) == limits


@pytest.mark.parametrize(
    ("limit", "left", "full", "a_minute"),
    [
        ("200", "199", "7m12s", 1),  # 0.14: the least there is; the rest is left to the wait it names
        ("10000", "5000", "12h0m0s", 6),
        ("10000", "9000", "2h24m0s", 6),
        ("3000", "1500", "30m0s", 50),  # an hour's
        ("60", "0", "1m0s", 60),
        ("60", "0", "1m1s", 60),  # rounded up
        ("60", "0", "soon", 60),
        ("60", "60", "6m0s", 60),  # nothing is missing, so the time says nothing
    ],
)
def test_a_daily_limit_is_recognised_by_its_reset_time(limit, left, full, a_minute):
    """Taken for a minute's, a limit of 200 a day would be gone before breakfast."""
    assert limits_in(headers("requests", limit, left, full)).requests_limit == a_minute
