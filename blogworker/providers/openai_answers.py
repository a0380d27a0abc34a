"""Converts responses of OpenAI to a Generation that was paid for, or to an error.

The functions take bytes, so that every response can be tested without a connection.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from blogworker.durations import go_duration_s
from blogworker.errors import Misconfigured, OutcomeUnknown, ProviderError, RateLimited, Rejected, Unavailable
from blogworker.prices import TextPrice, Usage, in_force, text_cost
from blogworker.providers import answer, http
from blogworker.providers.openai_wire import refusal_of, text_of, tier_of, usage_of
from blogworker.redact import SECRETS

PROVIDER = "openai"
UNKNOWN_MODEL = "model_not_found"
DEFAULT_WAIT_S = 20.0  # for a 429 without a wait
EMPTY, UNFINISHED = "empty", "unfinished"
NO_TEXT = (EMPTY, UNFINISHED)  # codes of paid responses without a text
OUT_OF_MONEY = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
}
THROTTLED = {"rate_limit_exceeded", "slow_down"}
REQUESTED = re.compile(r"\bRequested ([0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,12})\b")
TOO_LARGE = re.compile(r"^Request too large\b")  # larger than the limit per minute: waiting does not help
SENT_WITH_EVERY_JOB = {"model", "instructions", "text", "reasoning", "max_output_tokens", "store", "prompt_cache_key"}
OF_THE_JOB = re.compile(r"context|content|policy|prompt|safety|moderation", re.I)  # codes about the text of one job
OVER_A_LIMIT = re.compile(r"too_long|too_large|above_max", re.I)
OF_A_PICTURE = re.compile("image", re.I)
FAILED_STATUS = re.compile(r"[45][0-9]{2}")  # instead of a code, from gateways
OURS = {"unknown_parameter", "unsupported_parameter", "unsupported_value", "missing_required_parameter",
        "invalid_json_schema"}  # fmt: skip


class ModelUnknown(Misconfigured):
    """The provider does not have this model. Another model may work."""


class Truncated(Rejected):
    """The answer reached `max_output_tokens`. A larger limit may work."""


class Refused(Rejected):
    """The model, or a filter behind it, refused to write this."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One response that was paid for."""

    text: str
    model: str
    tokens_in: int  # including cached tokens
    tokens_cached: int
    tokens_out: int  # including reasoning
    request_id: str | None = None
    cost_usd: float | None = None  # None: the model has no price in the settings, or the response has no usage
    fault: ProviderError | None = None  # why the text is not usable
    tier: str | None = None  # the service tier that was used and billed
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """All tokens, as the quota of the provider counts them."""
        return self.tokens_in + self.tokens_out

    def checked(self) -> str:
        """Return the text. Raises the fault if it is not usable."""
        if self.fault is not None:
            raise self.fault
        return self.text


def generation_of(
    body: bytes, headers: Mapping[str, str], *, model: str, prices: Sequence[TextPrice] = ()
) -> Generation:
    """Return the generation in a 2xx. Raises OutcomeUnknown, as the cost is unknown, if it is not a response object."""
    content, request_id = answer.object_of(body), answer.header(headers, "x-request-id")
    if content is None or not _is_response(content):
        raise OutcomeUnknown("the body is not a response object", provider=PROVIDER, request_id=request_id)
    usage, tier = usage_of(content), tier_of(content)
    price = in_force(prices, _day(content)) if usage.tokens_in or usage.tokens_out else None
    return Generation(
        text=SECRETS.hide(text_of(content), shapes=False, words=False),  # it is published
        model=SECRETS.hide(answer.text(content.get("model")) or model),
        tokens_in=usage.tokens_in,
        tokens_cached=usage.cached,
        tokens_out=usage.tokens_out,
        request_id=request_id,
        cost_usd=None if price is None else text_cost(price, usage, tier=tier),
        fault=_fault(content, request_id),
        tier=tier,
        headers=headers,
    )


def _is_response(content: Mapping[str, Any]) -> bool:
    """Whether the model may have run. A response whose `output` is null was paid for too."""
    return content.get("object") == "response" or any(
        content.get(name) for name in ("output", "usage", "status", "error")
    )


def _day(content: Mapping[str, Any]) -> date:
    """Return the day by the clock of the provider, who bills, or by ours if the response has no time."""
    seconds = answer.number(content.get("created_at"))
    try:
        return datetime.fromtimestamp(seconds, UTC).date() if seconds else datetime.now(UTC).date()
    except (ValueError, OverflowError, OSError):
        return datetime.now(UTC).date()


def _fault(content: Mapping[str, Any], request_id: str | None) -> ProviderError | None:
    """Return why the text of a 200 is not usable, or None. With an unknown status, a text is usable."""
    match content.get("status"):
        case "failed":
            return _failed_in_body(content, request_id)
        case "incomplete":
            reason = answer.code(answer.at(content, "incomplete_details", "reason"))
            kind = {"max_output_tokens": Truncated, "content_filter": Refused}.get(reason or "", Unavailable)
            code = UNFINISHED if kind is Unavailable else reason
            return kind("the answer is incomplete", provider=PROVIDER, code=code, request_id=request_id)
        case "cancelled" | "queued" | "in_progress" as status:
            return Unavailable(f"the answer is {status}", provider=PROVIDER, code=UNFINISHED, request_id=request_id)
    if refusal := refusal_of(content):
        return Refused(f"refused: {http.safe(refusal)}", provider=PROVIDER, code="refusal", request_id=request_id)
    if text_of(content):
        return None
    if isinstance(content.get("error"), dict):
        return _failed_in_body(content, request_id)
    return Unavailable("the answer has no text", provider=PROVIDER, code=EMPTY, request_id=request_id)


def _failed_in_body(content: Mapping[str, Any], request_id: str | None) -> ProviderError:
    code = answer.code(answer.at(content, "error", "code"))
    message = http.safe(answer.words(answer.at(content, "error", "message")) or "failed without a reason")
    kind, status = _kind_in_body(code, message)
    if kind is RateLimited and usage_of(content) != Usage(tokens_in=0):
        kind = Unavailable  # uses an attempt: otherwise nothing bounds how often this is paid for
    failure = kind(message, provider=PROVIDER, status=status, code=code, request_id=request_id)
    return failure.after(_wait_s({}, message, exhausted=None)) if isinstance(failure, RateLimited) else failure


def _kind_in_body(code: str | None, message: str) -> tuple[type[ProviderError], int | None]:
    """Return the kind of a failure in a 200, and the status that it names instead of a code. An unknown code is no
    reason to give a job up."""
    if code is None:
        return Unavailable, None
    if FAILED_STATUS.fullmatch(code):
        return _kind(int(code), None, None, message, None), int(code)
    if code in THROTTLED:
        return RateLimited, None
    if code == UNKNOWN_MODEL:
        return ModelUnknown, None
    if code in OUT_OF_MONEY:
        return Misconfigured, None
    is_final = code in OURS or any(words.search(code) for words in (OF_THE_JOB, OVER_A_LIMIT, OF_A_PICTURE))
    return Rejected if is_final else Unavailable, None


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> ProviderError:
    """Return the error for a response with a status of 300 or more."""
    content = answer.object_of(body) or {}
    fault = content["error"] if isinstance(content.get("error"), dict) else content
    code, exhausted = answer.code(fault.get("code")), answer.code(fault.get("type"))
    said = fault.get("message") or (content.get("error") if isinstance(content.get("error"), str) else None)
    message = answer.words(said) or http.status_message(status)
    failure = _kind(status, code, exhausted, message, answer.code(fault.get("param")))(
        http.safe(message), provider=PROVIDER, status=status, code=code,
        request_id=answer.header(headers, "x-request-id"),
    )  # fmt: skip
    if isinstance(failure, RateLimited):
        failure.headers = headers
        failure.after(_wait_s(headers, message, exhausted=exhausted))
    return failure


def _kind(status: int, code: str | None, exhausted: str | None, message: str, param: str | None) -> type[ProviderError]:
    if code == UNKNOWN_MODEL or (status in http.REFUSED_INPUT and param == "model"):
        return ModelUnknown
    if status == 404 or (status == 429 and {code, exhausted} & OUT_OF_MONEY):
        return Misconfigured
    if status == 429 and TOO_LARGE.match(message):
        return Rejected
    if code in THROTTLED:  # older endpoints send slow_down with a 503
        return RateLimited
    return type(http.refused(status, "", provider=PROVIDER))


def is_ours(body: bytes) -> bool | None:
    """Whether a field was refused that we send with every job. False: a field of this job. None: no field is named."""
    fault = answer.at(answer.object_of(body), "error")
    code, param = answer.code(answer.at(fault, "code")), answer.code(answer.at(fault, "param"))
    named = re.split(r"[.\[]", param)[0] if param else None
    if code is not None and OF_THE_JOB.search(code):  # first: a gateway may name any field with it
        return False
    if named in SENT_WITH_EVERY_JOB:
        return True
    if named == "input" or (code is not None and OVER_A_LIMIT.search(code)):
        return False
    return True if code in OURS else None


def _wait_s(headers: Mapping[str, str], message: str, *, exhausted: str | None) -> float:
    """Return the wait that the provider names, otherwise the time until its exhausted buckets allow the call.

    A named wait says when the next call is allowed. The time until a bucket is full does not; it only limits the rate
    after that, like the same headers in every response.
    """
    if (named := http.named_wait_s(headers, message)) is not None:
        return named
    found = REQUESTED.search(message) if exhausted == "tokens" else None
    tokens = int(found[1].replace(",", "")) if found else None
    waits = [
        _room_s(headers, "requests", 1),
        _room_s(headers, "tokens", tokens),
        _room_s(headers, "project-tokens", tokens),
    ]
    return max((wait for wait in waits if wait is not None), default=DEFAULT_WAIT_S)


def _room_s(headers: Mapping[str, str], kind: str, wanted: int | None) -> float | None:
    """Return the seconds until a bucket has `wanted` (None: unknown) units; None if it is not exhausted.

    The header gives the time until the bucket is full, a day for a daily limit. The bucket refills continuously.
    """
    left, limit = (_count(headers.get(f"x-ratelimit-{fact}-{kind}")) for fact in ("remaining", "limit"))
    full_s = go_duration_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
    if left is None or full_s is None or left >= (wanted or 1):
        return None
    full_s = min(full_s, http.LONGEST_WAIT_S)
    if wanted is None or limit is None or limit <= wanted:
        return full_s
    return full_s * (wanted - left) / (limit - left)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and answer.COUNT.fullmatch(text) else None
