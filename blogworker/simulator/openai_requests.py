"""Parses and validates requests to OpenAI, as strictly as the provider does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blogworker.simulator.edge import ApiError
from blogworker.simulator.models import EFFORT_TOKENS, MODELS, Model
from blogworker.simulator.schemas import strict_violation

LEAST_OUTPUT_TOKENS = 16
_SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TIERS = ("auto", "default", "flex", "priority", "fast", "scale")
_RESPONSES_PARAMETERS = frozenset(
    [
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
_CHAT_PARAMETERS = frozenset(
    [
        "messages",
        "model",
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A valid request to one of the two endpoints."""

    model: str
    traits: Model
    instructions: str
    prompt: str
    schema: Mapping[str, Any] | None
    schema_name: str
    max_output_tokens: int | None
    effort: str
    tier: str
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The input of the model, in the order of the prompt cache."""
        return f"{self.instructions}\n{self.schema if self.schema else ''}\n{self.prompt}"


def openai_error(
    message: str, *, param: str | None = None, code: str | None = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    return ApiError(400, openai_error(message, param=param, code=code))


def parse_responses_request(value: Any) -> ModelRequest:
    """Parse a request to `/responses`. Raises ApiError."""
    body = _object(value, _RESPONSES_PARAMETERS, required=("model", "input"))
    reasoning = body.get("reasoning") or {}
    text_format = (body.get("text") or {}).get("format") or {"type": "text"}
    schema, name = _format(text_format, text_format, "text.format")
    prompt, system = _messages(body["input"], "input")
    cap = _cap(body, "max_output_tokens")
    return _ask(
        body, reasoning.get("effort"), "reasoning.effort",
        instructions=_joined(body.get("instructions") or "", system), prompt=prompt, schema=schema, name=name, cap=cap,
    )  # fmt: skip


def parse_chat_request(value: Any) -> ModelRequest:
    """Parse a request to `/chat/completions`. Raises ApiError."""
    body = _object(value, _CHAT_PARAMETERS, required=("model", "messages"))
    response_format = body.get("response_format") or {"type": "text"}
    schema, name = _format(response_format, response_format.get("json_schema") or {}, "response_format")
    prompt, system = _messages(body["messages"], "messages")
    cap = _cap(body, "max_completion_tokens") or _cap(body, "max_tokens")
    return _ask(
        body, body.get("reasoning_effort"), "reasoning_effort",
        instructions=system, prompt=prompt, schema=schema, name=name, cap=cap,
    )  # fmt: skip


def _ask(
    body: Mapping[str, Any],
    effort: str | None,
    effort_param: str,
    *,
    instructions: str,
    prompt: str,
    schema: Mapping[str, Any] | None,
    name: str,
    cap: int | None,
) -> ModelRequest:
    model = body["model"]
    traits = MODELS[model]
    effort = effort or traits.default_effort
    _check_effort(model, traits, effort, effort_param)
    _check_sampling(body, traits, effort)
    tier = body.get("service_tier") or "auto"
    if tier not in _TIERS:
        raise invalid_request(f"Invalid value: '{tier}'.", param="service_tier", code="invalid_value")
    return ModelRequest(model, traits, instructions, prompt, schema, name, cap, effort, tier, body)


def _object(value: Any, known: frozenset[str], *, required: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid_request("We could not parse the JSON body of your request.")
    for name in required:
        if value.get(name) in (None, "", []):
            raise invalid_request(
                f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )
    unknown = sorted(set(value) - known)
    if unknown:
        raise invalid_request(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0], code="unknown_parameter")
    if value["model"] not in MODELS:
        message = f"The model `{value['model']}` does not exist or you do not have access to it."
        raise ApiError(404, openai_error(message, code="model_not_found"))
    if value.get("stream") or value.get("background"):
        raise invalid_request(
            "Streaming and background mode are not simulated.", param="stream", code="unsupported_value"
        )
    return value


def _cap(body: Mapping[str, Any], name: str) -> int | None:
    cap = body.get(name)
    if cap is None:
        return None
    if not isinstance(cap, int) or isinstance(cap, bool):
        raise invalid_request(f"Invalid type for '{name}': expected an integer.", param=name, code="invalid_type")
    if cap < LEAST_OUTPUT_TOKENS:
        message = f"Invalid '{name}': integer below minimum value. Expected a value >= {LEAST_OUTPUT_TOKENS}."
        raise invalid_request(message, param=name, code="integer_below_min_value")
    return cap


def _check_effort(model: str, traits: Model, effort: str, param: str) -> None:
    allowed = [e for e in EFFORT_TOKENS if e != "none" or traits.can_skip_thinking]
    if effort not in allowed or (not traits.reasons and effort != "none"):
        message = f"Unsupported value: '{effort}' is not supported with the '{model}' model."
        raise invalid_request(message, param=param, code="unsupported_value")


def _check_sampling(body: Mapping[str, Any], traits: Model, effort: str) -> None:
    for name in ("temperature", "top_p"):
        if traits.reasons and effort != "none" and body.get(name) is not None:
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            raise invalid_request(message, param=name, code="unsupported_parameter")


def _format(outer: Mapping[str, Any], inner: Mapping[str, Any], param: str) -> tuple[Mapping[str, Any] | None, str]:
    """The schema and its name. The two endpoints nest them differently."""
    match outer.get("type"):
        case "text" | "json_object":
            return None, ""
        case "json_schema":
            pass
        case other:
            raise invalid_request(f"Invalid value: '{other}'.", param=f"{param}.type", code="invalid_value")
    name = inner.get("name") or ""
    if not _SCHEMA_NAME.fullmatch(name):
        raise invalid_request(
            f"Invalid '{param}.name': string does not match pattern.", param=f"{param}.name", code="invalid_value"
        )
    schema = inner.get("schema")
    if not isinstance(schema, dict):
        raise invalid_request(f"Missing required parameter: '{param}.schema'.", param=f"{param}.schema")
    if inner.get("strict") and (violation := strict_violation(schema)):
        message = f"Invalid schema for response_format '{name}': {violation}"
        raise invalid_request(message, param=f"{param}.schema", code="invalid_json_schema")
    return schema, name


def _messages(value: Any, param: str) -> tuple[str, str]:
    """The texts of the user and of the system, each joined."""
    if isinstance(value, str):
        return value, ""
    if not isinstance(value, list):
        raise invalid_request(f"Invalid type for '{param}'.", param=param, code="invalid_type")
    user, system = "", ""
    for index, message in enumerate(value):
        if not isinstance(message, dict) or "content" not in message:
            raise invalid_request(f"Missing required parameter: '{param}[{index}].content'.", param=f"{param}[{index}]")
        text = _content(message["content"])
        if message.get("role") in ("system", "developer"):
            system = _joined(system, text)
        else:
            user = _joined(user, text)
    return user, system


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part.get("text", "") for part in parts if isinstance(part, dict))


def _joined(first: str, second: str) -> str:
    return f"{first}\n{second}" if first and second else first or second
