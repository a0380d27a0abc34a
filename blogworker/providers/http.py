"""What the three clients share: how long a vendor asks us to wait, and which error a failure becomes.

One question parts the failures: may the request have had its effect? Not sent, or refused: it has none. Sent and never
answered: nobody knows, and only a caller that looks it up may repeat it.
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

LONGEST_WAIT_S = 86_400.0  # daily limits exist; nothing a vendor names is believed beyond a day
SHORTEST_WAIT_S = 1.0  # for "at once", and for a date that has passed: said with a refusal, they would make a loop
LONGEST_MESSAGE = 400
LONGEST_EXPLANATION = 4_000  # characters that are searched for a wait
LONGEST_HEADER = 100  # characters; no number of seconds and no date is longer
REFUSED_INPUT = (400, 422)
REFUSED_PROTOCOL = (405, 406, 411, 415, 421, 426)  # about method, media type or host, which all our calls share

Turn = AbstractAsyncContextManager[object]
Pace = Callable[[], Turn]  # waits for the turn of one call, which is made inside; raises RateLimited if it is far off
SitePace = Callable[[str], Turn]  # the same for the calls to one site

# httpx serves the replicate SDK, httpx2 the openai SDK and ourselves; they share names, not classes.
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
    """A vendor's message on one line, without secrets, then cut: cut first, half a key could remain."""
    line = " ".join(SECRETS.hide(str(text)).split())
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 1]}…"


def named_wait_s(headers: Mapping[str, str], message: str = "") -> float | None:
    """The wait a vendor asked for, in any of the forms in use; None if it named none.

    Of several the longest counts, since each is "at the least".
    """
    waits = [
        _milliseconds(headers.get("retry-after-ms", "")),
        _seconds_or_date(headers.get("retry-after", ""), now=headers.get("date", "")),
        *(
            float(number) * IN_WORDS_S[unit.lower()] if number else go_duration_s(told)
            for told, number, unit in NAMED_WAIT.findall(message[:LONGEST_EXPLANATION])
        ),
    ]
    named = [wait if wait > 0 else SHORTEST_WAIT_S for wait in waits if wait is not None]
    return min(LONGEST_WAIT_S, max(named)) if named else None


def lost(error: BaseException, *, provider: str, repeatable: bool = False) -> Unavailable:
    """A call that ended without an answer. `repeatable` calls have no effect that could be doubled."""
    if isinstance(error, UNSENT):
        return Unsent(f"could not connect: {safe(error) or type(error).__name__}", provider=provider)
    what = f"connection lost: {safe(error) or type(error).__name__}"
    if isinstance(error, TimeoutError | httpx.TimeoutException | httpx2.TimeoutException):
        what = "no answer in time"
    elif isinstance(error, httpx2.DecodingError):
        what = f"unreadable answer: {safe(error)}"
    return (Unavailable if repeatable else OutcomeUnknown)(what, provider=provider)


def said(status: int) -> str:
    """The message for an answer that explains nothing but its status."""
    redirect = ": a redirect, which is not followed; check the base URL" if 300 <= status < 400 else ""
    return f"status {status}{redirect}"


def refused(
    status: int, message: str, *, provider: str, code: str | None = None, request_id: str | None = None
) -> ProviderError:
    """The error of a status that means the same to every vendor. Callers handle their own exceptions before."""
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
    # Measured from the vendor's own clock where it tells it, so that ours may be wrong.
    return max(0.0, (due - (_date(now) or datetime.now(UTC))).total_seconds())


def _seconds(text: str) -> float | None:
    """A number, or the largest of several: two proxies may each have added a header."""
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
    except (TypeError, ValueError, IndexError, OverflowError):  # the parser raises all of these for other texts
        return None
