"""The answers of OpenAI: the result of a generation, and the bodies of the two endpoints."""

import uuid
from dataclasses import dataclass, replace
from typing import Any

from blogworker.simulator.faults import Fault
from blogworker.simulator.models import CHARS_PER_TOKEN
from blogworker.simulator.openai_requests import ModelRequest

COMMENTARY = "First I read the source. Now I write the answer."
THROTTLED = "rate_limit_exceeded"
REFUSAL = "I'm sorry, but I can't help with that request."


@dataclass(frozen=True, slots=True)
class Answer:
    """One generation. `text` is None if there is no visible output."""

    text: str | None
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    thinking_tokens: int
    text_tokens: int
    status: str = "completed"
    outcome: str = "completed"
    reason: str = ""  # of `incomplete_details`
    refusal: str = ""
    error_code: str = ""
    error_message: str = ""
    talkative: bool = False

    @property
    def output_tokens(self) -> int:
        return self.thinking_tokens + self.text_tokens


def apply_ending(generated: Answer, request: ModelRequest, fault: Fault | None) -> Answer:
    """Apply the output limit of the request and the fault to a complete generation."""
    cap = request.max_output_tokens or 128_000
    match fault.kind if fault else "":
        case "refusal":
            refusal = (fault.message if fault else "") or REFUSAL
            return replace(generated, text=None, refusal=refusal, text_tokens=12, outcome="refusal")
        case "incomplete":
            half = generated.thinking_tokens + generated.text_tokens // 2
            return truncate(generated, min(cap, half))
        case "incomplete_silent":
            used = request.max_output_tokens or 4_000
            return truncate(replace(generated, thinking_tokens=used), used)
        case "content_filter":
            filtered = truncate(generated, generated.thinking_tokens + generated.text_tokens // 3)
            return replace(filtered, reason="content_filter", outcome="content_filter")
        case "talkative":
            return replace(generated, talkative=True, thinking_tokens=max(1, generated.thinking_tokens))
        case "failed":
            code = (fault.code if fault else "") or "server_error"
            message = (fault.message if fault else "") or "The model produced an error while processing your request."
            if code == THROTTLED:  # it did not start
                generated = replace(generated, input_tokens=0, cached_tokens=0, cache_write_tokens=0)
            return replace(
                generated, text=None, text_tokens=0, thinking_tokens=0,
                status="failed", outcome="failed", error_code=code, error_message=message,
            )  # fmt: skip
    return generated if generated.output_tokens <= cap else truncate(generated, cap)


def truncate(generated: Answer, tokens: int) -> Answer:
    """The answer after so many output tokens. Reasoning tokens come first."""
    thinking = min(generated.thinking_tokens, tokens)
    left = tokens - thinking
    text = (generated.text or "")[: left * CHARS_PER_TOKEN] if left > 0 else None
    outcome = "incomplete" if text else "incomplete_silent"
    return replace(
        generated, text=text, thinking_tokens=thinking, text_tokens=left,
        status="incomplete", reason="max_output_tokens", outcome=outcome,
    )  # fmt: skip


def response_body(request: ModelRequest, answer: Answer, *, created_at: int) -> dict[str, Any]:
    """The body of an answer of `/responses`."""
    body = request.body
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": created_at,
        "status": answer.status,
        "background": False,
        "error": {"code": answer.error_code, "message": answer.error_message} if answer.error_code else None,
        "incomplete_details": {"reason": answer.reason} if answer.reason else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": None,
        "model": request.model,
        "output": _output(request, answer),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": request.effort, "summary": None},
        "safety_identifier": None,
        "service_tier": _tier(request),
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {
                "cached_tokens": answer.cached_tokens,
                "cache_write_tokens": answer.cache_write_tokens,
            },
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.thinking_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def _output(request: ModelRequest, answer: Answer) -> list[dict[str, Any]]:
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


def chat_body(request: ModelRequest, answer: Answer, *, created_at: int) -> dict[str, Any]:
    """The body of an answer of `/chat/completions`."""
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
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": answer.cached_tokens,
                "cache_write_tokens": answer.cache_write_tokens,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": answer.thinking_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": _tier(request),
    }


def _tier(request: ModelRequest) -> str:
    return "default" if request.tier == "auto" else request.tier
