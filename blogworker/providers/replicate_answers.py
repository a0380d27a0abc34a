"""What Replicate's answers mean. The functions take parsed answers, so that every answer can be tested without a
connection.

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
REDUCED = re.compile(r"\b([0-9]{1,6}) requests? (?:per|a) minute\b", re.I)  # for accounts that are low on credit
UNSAFE = re.compile(r"nsfw|flagged|sensitive|\bE005\b", re.I)
NSFW, NO_OUTPUT = "nsfw", "no_output"
ENDED = ("failed", "canceled", "aborted")
DEEPEST, MOST_LOOKED_AT = 8, 1_000  # levels and entries of an output that are searched for a picture
LIKELY = ("url", "uri", "href", "image", "images", "output", "file", "files")  # fields likely to hold the picture
FIXED = re.compile(
    r"\b(?:aspect_ratio|output_format|seed|version|model|input\.(?!prompt\b)\w+|cancel.after|prefer)\b", re.I
)
NEEDED = re.compile(r"\b(?!prompt\b)\w+ is required", re.I)  # a field that we do not send
OF_THE_BLOG = re.compile(r"\bprompt\b|safety|moderat|content.policy|violat", re.I)


class PredictionGone(Unavailable):
    """The prediction or its file is no longer kept: make a new one."""


class PredictionDied(Unavailable):
    """The prediction ended without a picture (`code`: failed, canceled, aborted, deadline): make a new one."""


class PictureUseless(PredictionDied):
    """The prediction succeeded and was paid for, but its picture cannot be used."""


@dataclass(frozen=True, slots=True)
class Look:
    """The state of a prediction at one time."""

    status: str
    output: Any = None
    error: str | None = None
    id: str | None = None
    ended: bool = False  # it has a time of completion
    removed: bool = False  # the files are no longer kept


def look_of(told: Mapping[str, Any]) -> Look | None:
    """The state of a prediction; None if it has no status."""
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
    """The address of the first picture; None while there is none; raises if there will not be one.

    An unknown status counts as in progress, unless there is an error or a time of completion.
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
    # Some models silently leave out a picture that their filter rejects.
    raise Rejected("the prediction succeeded without a picture", provider=PROVIDER, code=NO_OUTPUT)


def _texts(value: Any, level: int) -> Iterator[str]:
    """The texts of an output in order; of an object the fields likely to hold the picture first."""
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
    """The id of the prediction with this prompt and seed, if it is on this page of the list."""
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
    """The error of a file that cannot be fetched. A refusal is about this file, not about our settings."""
    if status in (404, 410):
        return PredictionGone("the picture was deleted", provider=PROVIDER, status=status)
    failure = http.refused(status, "the picture cannot be read", provider=PROVIDER)
    if isinstance(failure, Misconfigured | Rejected):
        return PictureUseless(failure.args[0], provider=PROVIDER, status=status, code="unreadable")
    return failure


def said(told: Mapping[str, Any]) -> str:
    return next(filter(None, (answer.words(told.get(name)) for name in ("detail", "title", "error"))), "")


def is_ours(message: str) -> bool | None:
    """Whether the refused input is what we send with every picture, or this prompt; None if no field is named."""
    if FIXED.search(message) or NEEDED.search(message):
        return True
    return False if OF_THE_BLOG.search(message) or UNSAFE.search(message) else None


def _wait_s(headers: Mapping[str, str], told: Mapping[str, Any], message: str) -> float:
    """The longest wait that the answer names, in its headers, its message or its `retry_after`."""
    waits = [http.named_wait_s(headers, message), _stated_s(told.get("retry_after"))]
    return max((wait for wait in waits if wait is not None), default=DEFAULT_WAIT_S)


def _stated_s(value: object) -> float | None:
    seconds = answer.number(value)
    return None if seconds is None else min(max(seconds, http.SHORTEST_WAIT_S), http.LONGEST_WAIT_S)
