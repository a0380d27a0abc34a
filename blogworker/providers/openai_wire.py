"""The content of a paid answer: its text, a refusal, the usage. Any value is accepted in any field of the schema.

An answer may hold several items (reasoning, tool calls, messages) and a message several parts. A message whose phase
is `commentary` is not the answer; the last of the others is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.prices import Usage
from blogworker.providers.answer import at, count, object_of, objects, text, words

COMMENTARY, FINAL = "commentary", "final_answer"
TOKENS_MAX = 10_000_000  # of one call; no model reads or writes a tenth of it


@dataclass(frozen=True, slots=True)
class Message:
    """The texts and the refusal of one message."""

    texts: tuple[str, ...]
    refusal: str | None


def text_of(body: Mapping[str, Any]) -> str:
    """The answer. Of several candidates, the first that is a JSON object, as we asked for."""
    candidates = list(dict.fromkeys(filter(None, _candidates(body))))
    if len(candidates) < 2:
        return candidates[0] if candidates else ""
    return next((found for found in candidates if object_of(found) is not None), candidates[0])


def refusal_of(body: Mapping[str, Any]) -> str | None:
    """The refusal, if the last message is one. An empty refusal beside a text does not count."""
    last = next((message for message in _spoken(body) if message.texts or message.refusal is not None), None)
    if last is None or last.refusal is None or (last.texts and not last.refusal):
        return None
    return last.refusal or "no reason given"


def usage_of(body: Mapping[str, Any]) -> Usage:
    told = at(body, "usage")
    tokens_in = _tokens(told, "input_tokens")
    cached = min(tokens_in, _tokens(told, "input_tokens_details", "cached_tokens"))
    return Usage(
        tokens_in=tokens_in,
        cached=cached,
        written=min(tokens_in - cached, _tokens(told, "input_tokens_details", "cache_write_tokens")),
        tokens_out=_tokens(told, "output_tokens"),
    )


def tier_of(body: Mapping[str, Any]) -> str | None:
    """The service tier that was used and billed."""
    return text(body.get("service_tier"))


def _tokens(told: Any, *path: str) -> int:
    return count(at(told, *path), most=TOKENS_MAX)


def _candidates(body: Mapping[str, Any]) -> Iterator[str]:
    """The texts that may be the answer, the most likely first."""
    spoken = _spoken(body)
    for message in spoken:
        yield "".join(message.texts)
        yield from reversed(message.texts)
    yield "".join(part for message in reversed(spoken) for part in message.texts)  # a text split over messages


def _spoken(body: Mapping[str, Any]) -> list[Message]:
    """The messages, latest first; commentary only if there is nothing else."""
    by_phase: dict[str, list[Message]] = {FINAL: [], "": [], COMMENTARY: []}
    for item in objects(body.get("output")):
        if item.get("type") == "message":
            phase = item.get("phase")
            by_phase[phase if phase in (FINAL, COMMENTARY) else ""].append(_message(item))
    said = [found for found in by_phase.values() if any(m.texts or m.refusal is not None for m in found)]
    return said[0][::-1] if said else []


def _written(value: Any) -> str:
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _message(item: Mapping[str, Any]) -> Message:
    parts = objects(item.get("content"))
    texts = [_written(part.get("text")) for part in parts if part.get("type") == "output_text"]
    refusals = [words(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
    return Message(tuple(filter(None, texts)), next(filter(None, refusals), "") if refusals else None)
