"""Shared by the three clients: how long a provider asks us to wait, and which error a failure becomes.

Failures differ in whether the request may have had its effect. A request that was not sent, or was refused, had none.
For one without a response it is unknown, and the caller must check before it repeats the request.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isnan

import httpx
import httpx2

from blogworker.durations import go_duration_s
from blogworker.errors import (
    Misconfigured,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Rejected,
    Unavailable,
    Unsent,
)
from blogworker.redact import SECRETS

LONGEST_WAIT_S = 86_400.0  # daily limits exist; a longer wait is not believed
SHORTEST_WAIT_S = 1.0  # instead of 0 or a date in the past, which would make a loop
LONGEST_MESSAGE = 400
LONGEST_EXPLANATION = 4_000  # characters that are searched for a wait
LONGEST_HEADER = 100  # characters; no number of seconds and no date is longer
REFUSED_INPUT = (400, 422)
REFUSED_PROTOCOL = (
    405,
    406,
    411,
    415,
    421,
    426,
)  # about the method, media type or host, which are the same in all calls

Turn = AbstractAsyncContextManager[object]
Pace = Callable[[], Turn]  # waits until a call is allowed; the call is made inside. Raises RateLimited for a long wait
SitePace = Callable[[str], Turn]  # the same for the calls to one site

# The Replicate SDK uses httpx; the OpenAI SDK and our code use httpx2. The classes differ.
TransportError = (httpx.TransportError, httpx.DecodingError, httpx2.TransportError, httpx2.DecodingError)
UNSENT = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError),
    *(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol, httpx2.ProxyError),
)

NAMED_WAIT = re.compile(
    r"(?:try again|resets?|retry)\s+(?:in|after)\s+~?"
    r"(?:((?:\d+(?:\.\d+)?(?:h|ms|us|µs|m|s))+)\b|(\d+(?:\.\d+)?)\s+(second|minute|hour|day)s?\b)",
    re.I | re.A,
)
IN_WORDS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}


def safe(text: object) -> str:
    """Return a message on one line, without secrets, then truncated: the other order could leave half a key."""
    line = " ".join(SECRETS.hide(str(text)).split())
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 1]}…"


def named_wait_s(headers: Mapping[str, str], message: str = "") -> float | None:
    """Return the wait that the provider asks for, in any of the usual forms, or None.

    If there are several, return the longest, because each is a minimum.
    """
    waits = [
        _milliseconds(headers.get("retry-after-ms", "")),
        _seconds_or_date(headers.get("retry-after", ""), now=headers.get("date", "")),
        *(
            float(number) * IN_WORDS_S[unit.lower()] if number else go_duration_s(text)
            for text, number, unit in NAMED_WAIT.findall(message[:LONGEST_EXPLANATION])
        ),
    ]
    named = [wait if wait > 0 else SHORTEST_WAIT_S for wait in waits if wait is not None]
    return min(LONGEST_WAIT_S, max(named)) if named else None


def lost(error: BaseException, *, provider: str, repeatable: bool = False) -> Unavailable:
    """Return the error of a call without a response. A `repeatable` call has no effect that could happen twice."""
    if isinstance(error, UNSENT):
        return Unsent(f"could not connect: {safe(error) or type(error).__name__}", provider=provider)
    what = f"connection lost: {safe(error) or type(error).__name__}"
    if isinstance(error, TimeoutError | httpx.TimeoutException | httpx2.TimeoutException):
        what = "no response in time"
    elif isinstance(error, httpx2.DecodingError):
        what = f"unreadable response: {safe(error)}"
    return (Unavailable if repeatable else OutcomeUnknown)(what, provider=provider)


def status_message(status: int) -> str:
    """Return the message for a response that has only a status."""
    redirect = ": a redirect, which is not followed; check the base URL" if 300 <= status < 400 else ""
    return f"status {status}{redirect}"


def refused(
    status: int, message: str, *, provider: str, code: str | None = None, request_id: str | None = None
) -> ProviderError:
    """Return the error of a status. It is the same for all providers; callers handle exceptions to it before."""
    kind: type[ProviderError]
    match status:
        case 429:
            kind = RateLimited
        case 401 | 402 | 403:
            kind = Misconfigured
        # Redirects are not followed: the base URL is wrong.
        case _ if 300 <= status < 400 or status in REFUSED_PROTOCOL:
            kind = Misconfigured
        case 408 | 425:
            kind = Unavailable
        case _ if status >= 500 or status < 300:  # a success without a usable body
            kind = Unavailable
        case _:
            kind = Rejected
    return kind(safe(message), provider=provider, status=status, code=code, request_id=request_id)


def _milliseconds(text: str) -> float | None:
    seconds = _seconds(text)
    return None if seconds is None else seconds / 1000


def _seconds_or_date(text: str, *, now: str) -> float | None:
    if (seconds := _seconds(text)) is not None:
        return seconds
    if (due := _date(text)) is None:
        return None
    # Measured by the provider's clock if the response has it, so that ours may be wrong.
    return max(0.0, (due - (_date(now) or datetime.now(UTC))).total_seconds())


def _seconds(text: str) -> float | None:
    """Return a number, or the largest of several: two proxies may each have added a header."""
    if len(text) > LONGEST_HEADER or not text.isascii():
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return None if any(map(isnan, found)) else max(0.0, *found)


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text[:LONGEST_HEADER]).astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):  # the parser raises all of these
        return None
