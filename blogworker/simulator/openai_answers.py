"""What OpenAI answers: how a generation ended, and the two bodies that tell of it."""

import uuid
from dataclasses import dataclass, replace
from typing import Any

from blogworker.simulator.faults import Fault
from blogworker.simulator.models import CHARS_PER_TOKEN
from blogworker.simulator.openai_requests import Ask

COMMENTARY = "First I read the source. Now I write the answer."
REFUSAL = "I'm sorry, but I can't help with that request."


@dataclass(frozen=True, slots=True)
class Answer:
    """One generation. `text` is None when nothing visible was written."""

    text: str | None
    input_tokens: int
    cached_tokens: int
    written_tokens: int
    thinking_tokens: int
    text_tokens: int
    status: str = "completed"
    outcome: str = "completed"
    reason: str = ""  # why it is incomplete
    refusal: str = ""
    error_code: str = ""
    error_message: str = ""
    talkative: bool = False

    @property
    def output_tokens(self) -> int:
        return self.thinking_tokens + self.text_tokens


def ended(draft: Answer, ask: Ask, fault: Fault | None) -> Answer:
    """How the generation ends, by the cap of the request and by its fault."""
    cap = ask.max_output_tokens or 128_000
    match fault.kind if fault else "":
        case "refusal":
            refusal = (fault.message if fault else "") or REFUSAL
            return replace(draft, text=None, refusal=refusal, text_tokens=12, outcome="refusal")
        case "incomplete":
            half = draft.thinking_tokens + draft.text_tokens // 2
            return cut_off(draft, min(cap, half))
        case "incomplete_silent":
            thought = ask.max_output_tokens or 4_000
            return cut_off(replace(draft, thinking_tokens=thought), thought)
        case "content_filter":
            cut = cut_off(draft, draft.thinking_tokens + draft.text_tokens // 3)
            return replace(cut, reason="content_filter", outcome="content_filter")
        case "talkative":
            return replace(draft, talkative=True, thinking_tokens=max(1, draft.thinking_tokens))
        case "failed":
            code = (fault.code if fault else "") or "server_error"
            message = (fault.message if fault else "") or "The model produced an error while processing your request."
            return replace(
                draft, text=None, text_tokens=0, thinking_tokens=0,
                status="failed", outcome="failed", error_code=code, error_message=message,
            )  # fmt: skip
    return draft if draft.output_tokens <= cap else cut_off(draft, cap)


def cut_off(draft: Answer, tokens: int) -> Answer:
    """The answer as it stands after so many output tokens; thinking comes first."""
    thinking = min(draft.thinking_tokens, tokens)
    left = tokens - thinking
    text = (draft.text or "")[: left * CHARS_PER_TOKEN] if left > 0 else None
    outcome = "incomplete" if text else "incomplete_silent"
    return replace(
        draft, text=text, thinking_tokens=thinking, text_tokens=left,
        status="incomplete", reason="max_output_tokens", outcome=outcome,
    )  # fmt: skip


def response_body(ask: Ask, answer: Answer, *, created_at: int) -> dict[str, Any]:
    """The object of `/responses`."""
    asked = ask.body
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": created_at,
        "status": answer.status,
        "background": False,
        "error": {"code": answer.error_code, "message": answer.error_message} if answer.error_code else None,
        "incomplete_details": {"reason": answer.reason} if answer.reason else None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": ask.max_output_tokens,
        "max_tool_calls": None,
        "model": ask.model,
        "output": _output(ask, answer),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": asked.get("prompt_cache_key"),
        "reasoning": {"effort": ask.effort, "summary": None},
        "safety_identifier": None,
        "service_tier": _tier(ask),
        "store": asked.get("store", True),
        "temperature": asked.get("temperature", 1.0),
        "text": asked.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": asked.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {
                "cached_tokens": answer.cached_tokens,
                "cache_write_tokens": answer.written_tokens,
            },
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.thinking_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "user": None,
        "metadata": asked.get("metadata") or {},
    }


def _output(ask: Ask, answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if answer.thinking_tokens:
        found.append({"id": f"rs_{uuid.uuid4().hex}", "type": "reasoning", "summary": []})
    if answer.refusal:
        return [*found, _message(answer, {"type": "refusal", "refusal": answer.refusal})]
    if answer.text is None:
        return found
    if not answer.talkative:
        return [*found, _message(answer, _text(answer.text))]
    half = len(answer.text) // 2
    commentary = _message(answer, _text(COMMENTARY)) | {"phase": "commentary"}
    parts = (_text(answer.text[:half]), _text(answer.text[half:]))
    return [*found, commentary, *found, _message(answer, *parts) | {"phase": "final_answer"}]


def _message(answer: Answer, *content: dict[str, Any]) -> dict[str, Any]:
    status = "incomplete" if answer.status == "incomplete" else "completed"
    return {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "status": status, "role": "assistant",
            "content": list(content)}  # fmt: skip


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def chat_body(ask: Ask, answer: Answer, *, created_at: int) -> dict[str, Any]:
    """The object of `/chat/completions`."""
    reasons = {"max_output_tokens": "length", "content_filter": "content_filter"}
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if answer.refusal else answer.text or "",
        "refusal": answer.refusal or None,
        "annotations": [],
    }
    finish = reasons.get(answer.reason, "stop")
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": created_at,
        "model": ask.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": answer.cached_tokens,
                "cache_write_tokens": answer.written_tokens,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": answer.thinking_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": _tier(ask),
    }


def _tier(ask: Ask) -> str:
    return "default" if ask.tier == "auto" else ask.tier
