"""What the three clients share: Retry-After in all its forms, and the meaning of failures."""

import httpx
import httpx2
import pytest

from blogworker.durations import go_duration_s
from blogworker.errors import Misconfigured, OutcomeUnknown, RateLimited, Rejected, Unavailable, Unsent
from blogworker.providers import http


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "20"}, "", 20),
        ({"retry-after-ms": "850"}, "", 0.85),
        ({"retry-after": "Mon, 23 Nov 2026 10:00:30 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, "", 30),
        ({}, "Limit 3, Used 3, Requested 1. Please try again in 41.7s. Visit ...", 41.7),
        ({}, "Please try again in 6m0s.", 360),
        ({}, "Please try again in 120ms.", 0.12),
        ({}, "Request was throttled. Your rate limit resets in ~30s.", 30),
        ({"retry-after": "5"}, "Please try again in 41.7s", 41.7),
        ({"retry-after": "99999999"}, "", http.LONGEST_WAIT_S),
        ({"retry-after": "soon"}, "later", None),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, "", None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -0500"}, "", None),
        ({"retry-after": "Fri, 31 Dec 2026 23:59:59 +99999999999999"}, "", None),
        ({"retry-after": "inf"}, "", http.LONGEST_WAIT_S),
        ({}, "Please retry after 20 seconds.", 20),
        ({}, "Please try again in 1h2m3.5s.", 3723.5),
        ({}, "Please try again in 5 minutes.", 300),
        ({}, "Rate limited: try again in 1 Hour", 3600),
        ({}, "Your quota resets in 2 days.", http.LONGEST_WAIT_S),
        ({}, "Please retry after 1.5 minutes", 90),
        ({"retry-after": "0"}, "", http.SHORTEST_WAIT_S),
        ({"retry-after": "-3"}, "", http.SHORTEST_WAIT_S),
        ({"retry-after": "Mon, 23 Nov 2026 09:00:00 GMT", "date": "Mon, 23 Nov 2026 10:00:00 GMT"}, "", 1),
    ],
)
def test_every_form_of_retry_after_is_understood(headers, message, seconds):
    """A wait that is missed becomes a second refusal, which costs quota again."""
    assert http.named_wait_s(headers, message) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("120ms", 0.12), ("6m0s", 360), ("1h2m3.5s", 3723.5), ("6 m", None), ("", None)]
)
def test_go_durations(text, seconds):
    assert go_duration_s(text) == (None if seconds is None else pytest.approx(seconds))


def test_keys_never_reach_a_message():
    """Providers echo keys in their 401s, and messages end up in a table that people read."""
    said = http.safe("Incorrect key sk-proj-abc123DEF456 and r8_secretsecret, header Bearer eyJhbGciOi.x.y")

    assert not any(secret in said for secret in ("abc123", "secretsecret", "eyJ"))


def test_a_message_is_one_bounded_line():
    assert len(http.safe("word \n" * 1000)) <= http.LONGEST_MESSAGE


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ConnectError("refused"), Unsent),
        (httpx.ConnectTimeout("slow"), Unsent),
        (httpx2.PoolTimeout("full"), Unsent),
        (httpx2.ReadTimeout("slow"), OutcomeUnknown),
        (httpx.ReadError("reset"), OutcomeUnknown),
        (TimeoutError(), OutcomeUnknown),
    ],
)
def test_only_a_sent_request_has_an_unknown_outcome(error, kind):
    """Both generations of httpx are in use: one by replicate, one by openai and ourselves."""
    assert type(http.lost(error, provider="x")) is kind
    repeatable = type(http.lost(error, provider="x", repeatable=True))
    assert repeatable is (Unsent if kind is Unsent else Unavailable)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (101, Unavailable),
        (204, Unavailable),
        (302, Misconfigured),
        (400, Rejected),
        (401, Misconfigured),
        (402, Misconfigured),
        (403, Misconfigured),
        (408, Unavailable),
        (422, Rejected),
        (429, RateLimited),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
def test_each_status_becomes_its_error(status, kind):
    assert type(http.refused(status, "no", provider="x")) is kind
