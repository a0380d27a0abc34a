"""Reads the content of a response: the text, a refusal, the usage. Any field may have any value.

A response may have several items (reasoning, tool calls, messages), and a message several parts. The answer is the last
message whose phase is not `commentary`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_letters
from typing import Any

from blogworker.prices import Usage
from blogworker.providers.answer import at, count, object_of, objects, text, words

COMMENTARY, FINAL = "commentary", "final_answer"
TEXT_PARTS = ("output_text", "text", None)  # the types of a part with text; gateways use all of them
FENCE = "```"
SPACES = "\ufeff \t\r\n"
TOKENS_MAX = 10_000_000  # of one call; ten times more than any model accepts


@dataclass(frozen=True, slots=True)
class Message:
    """The texts and the refusal of one message."""

    texts: tuple[str, ...]
    refusal: str | None


def text_of(body: Mapping[str, Any]) -> str:
    """Return the answer. If there are several candidates, the first that is a JSON object, as requested."""
    candidates = list(dict.fromkeys(map(_without_fence, filter(None, _candidates(body)))))
    if len(candidates) < 2:
        return candidates[0] if candidates else ""
    return next((found for found in candidates if object_of(found) is not None), candidates[0])


def refusal_of(body: Mapping[str, Any]) -> str | None:
    """Return the refusal if the last message is one. An empty refusal next to a text does not count."""
    last = next((message for message in _messages(body) if message.texts or message.refusal is not None), None)
    if last is None or last.refusal is None or (last.texts and not last.refusal):
        return None
    return last.refusal or "no reason given"


def usage_of(body: Mapping[str, Any]) -> Usage:
    """Return the tokens that the provider counted; zeros if the response does not say."""
    usage = at(body, "usage")
    tokens_in = _tokens(usage, "input_tokens")
    cached = min(tokens_in, _tokens(usage, "input_tokens_details", "cached_tokens"))
    return Usage(
        tokens_in=tokens_in,
        cached=cached,
        written=min(tokens_in - cached, _tokens(usage, "input_tokens_details", "cache_write_tokens")),
        tokens_out=_tokens(usage, "output_tokens"),
    )


def tier_of(body: Mapping[str, Any]) -> str | None:
    """Return the service tier that was used and billed."""
    return text(body.get("service_tier"))


def _without_fence(text: str) -> str:
    """Return the JSON object within a Markdown code block, as some models write it; any other text unchanged."""
    block = text.strip(SPACES)
    if not (block.startswith(FENCE) and block.endswith(FENCE)):
        return text
    inner = block.strip(FENCE).lstrip(ascii_letters).strip()
    return text if object_of(inner) is None else inner


def _tokens(usage: Any, *path: str) -> int:
    return count(at(usage, *path), most=TOKENS_MAX)


def _candidates(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that may be the answer, the most likely first."""
    messages = _messages(body)
    for message in messages:
        yield "".join(message.texts)
        yield from reversed(message.texts)
    yield "".join(
        part for message in reversed(messages) for part in message.texts
    )  # a text that is split over several messages


def _messages(body: Mapping[str, Any]) -> list[Message]:
    """Return the messages, the latest first. Commentary is used only if there is nothing else."""
    by_phase: dict[str, list[Message]] = {FINAL: [], "": [], COMMENTARY: []}
    for item in objects(body.get("output")):
        if item.get("type") in (None, "message"):
            phase = item.get("phase")
            by_phase[phase if phase in (FINAL, COMMENTARY) else ""].append(_message(item))
    candidates = [found for found in by_phase.values() if any(m.texts or m.refusal is not None for m in found)]
    return candidates[0][::-1] if candidates else []


def _encodable(value: Any) -> str:
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _message(item: Mapping[str, Any]) -> Message:
    parts = objects(item.get("content"))
    texts = [_encodable(part.get("text")) for part in parts if part.get("type") in TEXT_PARTS]
    refusals = [words(part.get("refusal")) for part in parts if part.get("type") == "refusal"]
    return Message(tuple(filter(None, texts)), next(filter(None, refusals), "") if refusals else None)
