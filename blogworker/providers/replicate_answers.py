"""Converts responses of Replicate to the state of a prediction, or to an error. The functions take parsed responses, so
that every response can be tested without a connection.

starting | processing -> succeeded | failed | canceled | aborted (deadline reached before its start)
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blogworker.errors import Misconfigured, ProviderError, RateLimited, Rejected, Unavailable
from blogworker.providers import answer, http
from blogworker.providers.picture import inline

PROVIDER = "replicate"
DEFAULT_WAIT_S = 30.0
# Accounts that are low on credit have a lower limit. A part of a number is not read, such as the 5 of 1.5.
REDUCED = re.compile(r"(?<![\w.,])([0-9]{1,3},[0-9]{3}|[0-9]{1,6}) requests? (?:per|a) minute\b", re.I)
UNSAFE = re.compile(r"nsfw|flagged|sensitive|\bE005\b", re.I)
NSFW, NO_OUTPUT = "nsfw", "no_output"
ENDED = ("failed", "canceled", "aborted")
IN_PROGRESS = ("starting", "processing", "queued", "booting")
DEEPEST, MOST_SEARCHED = 8, 1_000  # levels and entries of an output that are searched for a picture
LIKELY = (
    "url",
    "uri",
    "href",
    "image",
    "images",
    "output",
    "file",
    "files",
)  # fields that are likely to have the picture
FIELD = re.compile(r'(?:\binput(?:\.|", ")|\b(?=aspect_ratio\b|output_format\b))(\w+)')  # in a sentence, or a JSON path
FIXED = re.compile(r"\b(?:seed|version|model|cancel.after|prefer)\b", re.I)
NEEDED = re.compile(r"\b\w+ is required", re.I)  # a field that we do not send
OF_THE_JOB = re.compile(r"\bprompt\b|safety|moderat|content.policy|violat", re.I)


class PredictionGone(Unavailable):
    """The prediction or its file was deleted: make a new one."""


class PredictionFailed(Unavailable):
    """The prediction ended without a picture (`code`: failed, canceled, aborted, deadline): make a new one."""


class UnusablePicture(PredictionFailed):
    """The prediction succeeded and was paid for, but its picture is not usable."""


@dataclass(frozen=True, slots=True)
class PredictionState:
    """The state of a prediction at one time."""

    status: str
    output: Any = None
    error: str | None = None
    id: str | None = None
    ended: bool = False  # it has a completion time
    removed: bool = False  # its files were deleted


def state_of(content: Mapping[str, Any]) -> PredictionState | None:
    """Return the state of a prediction; None if it has no status."""
    status = answer.code(content.get("status"))
    if status is None:
        return None
    return PredictionState(
        status,
        content.get("output"),
        answer.words(content.get("error")) or None,
        answer.identifier(content.get("id")),
        bool(answer.text(content.get("completed_at"))),
        content.get("data_removed") is True,
    )


def picture(state: PredictionState) -> str | None:
    """Return the address of the first picture; None while there is none. Raises if there will not be one.

    An unknown status means in progress, unless there is a picture, an error or a completion time.
    """
    match state.status:
        case "succeeded":
            return _made(state)
        case status if status not in (*ENDED, *IN_PROGRESS) and not state.error and (found := _address(state)):
            return found
        case "failed" if UNSAFE.search(state.error or ""):
            raise Rejected(http.safe(state.error), provider=PROVIDER, code=NSFW)
        case status if status in ENDED or state.ended or state.error:
            reason = http.safe(state.error or "no reason given")
            raise PredictionFailed(f"the prediction {http.safe(status)}: {reason}", provider=PROVIDER, code=status)
        case _:
            return None


def _address(state: PredictionState) -> str | None:
    texts = list(_texts(state.output, 0))[:MOST_SEARCHED]
    found = next(filter(None, map(answer.address, texts)), None)
    return found or next((text for text in texts if inline(text) is not None), None)


def _made(state: PredictionState) -> str:
    if (found := _address(state)) is not None:
        return found
    if state.removed:
        raise PredictionGone("the output was removed", provider=PROVIDER, code="data_removed")
    # Some models return no picture if their filter rejects it.
    raise Rejected("the prediction succeeded without a picture", provider=PROVIDER, code=NO_OUTPUT)


def _texts(value: Any, level: int) -> Iterator[str]:
    """Yield the texts of an output in order. In an object, fields that are likely to have the picture come first."""
    if isinstance(value, str):
        yield value
    elif level < DEEPEST and isinstance(value, list):
        for entry in value[:MOST_SEARCHED]:
            yield from _texts(entry, level + 1)
    elif level < DEEPEST and isinstance(value, dict):
        names = sorted(value, key=lambda name: LIKELY.index(name) if name in LIKELY else len(LIKELY))
        for name in names[:MOST_SEARCHED]:
            yield from _texts(value[name], level + 1)


def found_in(
    page: Mapping[str, Any], prompt: str, *, seeds: Collection[int], since: datetime | None = None
) -> str | None:
    """Return the id of the prediction with this prompt and one of these seeds, if it is on this page of the list."""
    created_since = "" if since is None else since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    for entry in answer.objects(page.get("results")):
        inputs = entry.get("input")
        if (
            answer.at(inputs, "prompt") == prompt
            and answer.at(inputs, "seed") in seeds
            and (answer.text(entry.get("created_at")) or created_since) >= created_since
        ):
            return answer.identifier(entry.get("id"))
    return None


def refusal(status: int, body: bytes, headers: Mapping[str, str], *, creates: bool = False) -> ProviderError:
    """Return the error for a response with a status of 300 or more."""
    content, request_id = answer.object_of(body) or {}, answer.header(headers, "x-request-id")
    message = explanation_of(content) or http.status_message(status)
    if status == 404 and creates:
        message = f"no such model: {http.safe(message)}"
        return Misconfigured(message, provider=PROVIDER, status=status, request_id=request_id)
    failure = http.refused(status, message, provider=PROVIDER, request_id=request_id)
    if isinstance(failure, RateLimited):
        failure.after(_wait_s(headers, content, message))
        reduced = REDUCED.search(message)
        failure.requests_per_minute = max(1, int(reduced[1].replace(",", ""))) if reduced else None
    return failure


def unreadable(status: int, headers: Mapping[str, str]) -> ProviderError:
    """Return the error of a file that cannot be fetched. A refusal concerns this file, not our settings."""
    if status in (404, 410):
        return PredictionGone("the picture was deleted", provider=PROVIDER, status=status)
    failure = http.refused(status, "the picture cannot be read", provider=PROVIDER)
    if isinstance(failure, Misconfigured | Rejected):
        return UnusablePicture(failure.args[0], provider=PROVIDER, status=status, code="unreadable")
    return failure.after(_wait_s(headers, {}, "")) if isinstance(failure, RateLimited) else failure


def explanation_of(content: Mapping[str, Any]) -> str:
    return next(filter(None, (answer.words(content.get(name)) for name in ("detail", "title", "error"))), "")


def is_ours(message: str) -> bool | None:
    """Whether a field was refused that we send with every picture. False: this prompt. None: no field is named."""
    if fields := FIELD.findall(message):
        return any(field != "prompt" for field in fields)
    if OF_THE_JOB.search(message) or UNSAFE.search(message):  # first: such a sentence may also have a word of FIXED
        return False
    return True if FIXED.search(message) or NEEDED.search(message) else None


def _wait_s(headers: Mapping[str, str], content: Mapping[str, Any], message: str) -> float:
    """Return the longest wait that the response names, in its headers, its message or its `retry_after`."""
    waits = [http.named_wait_s(headers, message), _stated_s(content.get("retry_after"))]
    return max((wait for wait in waits if wait is not None), default=DEFAULT_WAIT_S)


def _stated_s(value: object) -> float | None:
    seconds = answer.number(value)
    return None if seconds is None else min(max(seconds, http.SHORTEST_WAIT_S), http.LONGEST_WAIT_S)
