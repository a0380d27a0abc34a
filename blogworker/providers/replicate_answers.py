"""What Replicate's answers mean. All from bytes, so that every answer can be tried without a connection.

starting | processing -> succeeded | failed | canceled | aborted (deadline reached before it began)
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.errors import Misconfigured, ProviderError, RateLimited, Rejected, Unavailable
from blogworker.providers import answer, http
from blogworker.providers.picture import inline

PROVIDER = "replicate"
DEFAULT_WAIT_S = 30.0
REDUCED = re.compile(r"\b([0-9]{1,6}) requests? (?:per|a) minute\b", re.I)  # said to accounts that run low on credit
UNSAFE = re.compile(r"nsfw|flagged|sensitive|\bE005\b", re.I)
NSFW, NO_OUTPUT = "nsfw", "no_output"
ENDED = ("failed", "canceled", "aborted")
DEEPEST, MOST_LOOKED_AT = 8, 1_000  # of an output that is no list of addresses
LIKELY = ("url", "uri", "href", "image", "images", "output", "file", "files")  # where an object holds its picture
FIXED = re.compile(
    r"\b(?:aspect_ratio|output_format|seed|version|model|input\.(?!prompt\b)\w+|cancel.after|prefer)\b", re.I
)
NEEDED = re.compile(r"\b(?!prompt\b)\w+ is required", re.I)  # a field that we do not send
OF_THE_BLOG = re.compile(r"\bprompt\b|safety|moderat|content.policy|violat", re.I)


class PredictionGone(Unavailable):
    """The prediction or its file is no longer kept: make it anew."""


class PredictionDied(Unavailable):
    """It ended without a picture (`code`: failed, canceled, aborted, deadline): make it anew."""


class PictureUseless(PredictionDied):
    """It succeeded, and was paid for, but nothing can be done with what it made."""


@dataclass(frozen=True, slots=True)
class Look:
    """A prediction as it was when we looked."""

    status: str
    output: Any = None
    error: str | None = None
    id: str | None = None
    ended: bool = False  # the vendor says when
    removed: bool = False  # its files are no longer kept


def look_of(told: Mapping[str, Any]) -> Look | None:
    """A prediction; None where it has no status."""
    status = answer.code(told.get("status"))
    if status is None:
        return None
    return Look(
        status,
        told.get("output"),
        answer.words(told.get("error")) or None,
        answer.identifier(told.get("id")),
        bool(answer.text(told.get("completed_at"))),
        told.get("data_removed") is True,
    )


def picture(look: Look) -> str | None:
    """The address of the first picture, None while there is none; raise if there never will be one.

    A status that nobody has told us of is one on the way, until there is an error or a time of its end.
    """
    match look.status:
        case "succeeded":
            return _made(look)
        case "failed" if UNSAFE.search(look.error or ""):
            raise Rejected(http.safe(look.error), provider=PROVIDER, code=NSFW)
        case status if status in ENDED or look.ended or look.error:
            reason = http.safe(look.error or "no reason given")
            raise PredictionDied(f"the prediction {http.safe(status)}: {reason}", provider=PROVIDER, code=status)
        case _:
            return None


def _made(look: Look) -> str:
    texts = list(_texts(look.output, 0))[:MOST_LOOKED_AT]
    found = next(filter(None, map(answer.address, texts)), None)
    found = found or next((text for text in texts if inline(text) is not None), None)
    if found is not None:
        return found
    if look.removed:
        raise PredictionGone("the output was removed", provider=PROVIDER, code="data_removed")
    # Some models leave out a picture that their filter objects to, and say no more.
    raise Rejected("the prediction succeeded without a picture", provider=PROVIDER, code=NO_OUTPUT)


def _texts(value: Any, level: int) -> Iterator[str]:
    """The texts of an output, in order; those of an object where its picture is likely first."""
    if isinstance(value, str):
        yield value
    elif level < DEEPEST and isinstance(value, list):
        for entry in value[:MOST_LOOKED_AT]:
            yield from _texts(entry, level + 1)
    elif level < DEEPEST and isinstance(value, dict):
        names = sorted(value, key=lambda name: LIKELY.index(name) if name in LIKELY else len(LIKELY))
        for name in names[:MOST_LOOKED_AT]:
            yield from _texts(value[name], level + 1)


def found_in(page: Mapping[str, Any], prompt: str, *, seed: int) -> str | None:
    """The id of the prediction of this prompt and seed on a page of the latest."""
    for entry in answer.objects(page.get("results")):
        asked = entry.get("input")
        if answer.at(asked, "prompt") == prompt and answer.at(asked, "seed") == seed:
            return answer.identifier(entry.get("id"))
    return None


def refusal(status: int, body: bytes, headers: Mapping[str, str], *, creates: bool = False) -> ProviderError:
    """What an answer of 300 and above means."""
    told, request_id = answer.object_of(body) or {}, answer.header(headers, "x-request-id")
    message = said(told) or http.said(status)
    if status == 404 and creates:
        message = f"no such model: {http.safe(message)}"
        return Misconfigured(message, provider=PROVIDER, status=status, request_id=request_id)
    failure = http.refused(status, message, provider=PROVIDER, request_id=request_id)
    if isinstance(failure, RateLimited):
        failure.after(_wait_s(headers, told, message))
        reduced = REDUCED.search(message)
        failure.requests_per_minute = max(1, int(reduced[1])) if reduced else None
    return failure


def unreadable(status: int) -> ProviderError:
    """What it means that a file is not given out. A refusal is about this file, not about us."""
    if status in (404, 410):
        return PredictionGone("the picture was deleted", provider=PROVIDER, status=status)
    failure = http.refused(status, "the picture cannot be read", provider=PROVIDER)
    if isinstance(failure, Misconfigured | Rejected):
        return PictureUseless(failure.args[0], provider=PROVIDER, status=status, code="unreadable")
    return failure


def said(told: Mapping[str, Any]) -> str:
    return next(filter(None, (answer.words(told.get(name)) for name in ("detail", "title", "error"))), "")


def is_ours(message: str) -> bool | None:
    """Whether a refused input is what we send with every picture, or this one's prompt; None: it names nothing."""
    if FIXED.search(message) or NEEDED.search(message):
        return True
    return False if OF_THE_BLOG.search(message) or UNSAFE.search(message) else None


def _wait_s(headers: Mapping[str, str], told: Mapping[str, Any], message: str) -> float:
    """The longest wait the answer names, in its headers, its words or its `retry_after`."""
    waits = [http.named_wait_s(headers, message), _stated_s(told.get("retry_after"))]
    return max((wait for wait in waits if wait is not None), default=DEFAULT_WAIT_S)


def _stated_s(value: object) -> float | None:
    seconds = answer.number(value)
    return None if seconds is None else min(max(seconds, http.SHORTEST_WAIT_S), http.LONGEST_WAIT_S)
