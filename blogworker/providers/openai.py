"""Text from OpenAI's Responses API.

Every answer with status 200 was paid for, so each comes back as a Generation, the unusable ones too: the caller records
what it cost, and only then asks for its text with `checked()`. All retries are left to the queue, which sees the code
of an error where the SDK would see only its status.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Self

import httpx2
from anyio import fail_after
from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    OpenAIError,
    omit,
)
from openai.types.responses import Response

from blogworker.durations import go_duration_s
from blogworker.errors import Misconfigured, OutcomeUnknown, ProviderError, RateLimited, Rejected, Unavailable
from blogworker.prices import TextPrice, in_force, text_cost
from blogworker.providers import http, transport
from blogworker.providers.openai_wire import refusal_of, text_of, tier_of, usage_of
from blogworker.redact import SECRETS
from blogworker.settings import Effort, OpenAISettings

PROVIDER = "openai"
UNKNOWN_MODEL = "model_not_found"
DEFAULT_WAIT_S = 20.0  # a 429 that names no wait
OUT_OF_MONEY = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
}
TRANSIENT = {"server_error", "server_is_overloaded", "vector_store_timeout"}
THROTTLED = {"rate_limit_exceeded", "slow_down"}
REQUESTED = re.compile(r"\bRequested (\d+)")
TOO_LARGE = re.compile(r"^Request too large\b")  # for the key's limit of a whole minute: no wait helps


class ModelUnknown(Misconfigured):
    """The vendor has no such model, or has it no more: another one may do."""


class Truncated(Rejected):
    """The answer hit its cap: a larger one may do."""


class Refused(Rejected):
    """The model, or a filter behind it, would not write this."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One paid answer."""

    text: str
    model: str
    tokens_in: int  # cached ones included
    tokens_cached: int
    tokens_out: int  # reasoning included
    request_id: str | None = None
    cost_usd: float | None = None  # None: the model has no price in the settings
    fault: ProviderError | None = None  # why the text is of no use
    tier: str | None = None  # the service tier it was really made in, and billed by
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """All of them, as the vendor's quota counts."""
        return self.tokens_in + self.tokens_out

    def checked(self) -> str:
        """The text, or the fault raised."""
        if self.fault is not None:
            raise self.fault
        return self.text


class OpenAIClient:
    """One a process."""

    def __init__(self, settings: OpenAISettings, *, connections: int) -> None:
        self._settings = settings
        self._connections = connections
        self._sdk: AsyncOpenAI | None = None

    async def open(self) -> None:
        if self._settings.api_key is None:
            raise Misconfigured("OPENAI_API_KEY is not set", provider=PROVIDER)
        wire = transport.Transport(self._settings, connections=self._connections)
        self._sdk = AsyncOpenAI(
            api_key=self._settings.api_key.get_secret_value(),
            base_url=self._settings.base_url,
            max_retries=0,
            timeout=httpx2.Timeout(self._settings.timeout, connect=transport.CONNECT_TIMEOUT_S),
            http_client=transport.client(wire, timeout_s=self._settings.timeout),
        )

    async def aclose(self) -> None:
        if self._sdk is not None:
            await self._sdk.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def generate(
        self,
        *,
        model: str,
        instructions: str,
        input: str,  # noqa: A002 - the API's own word
        schema_name: str,
        schema: Mapping[str, Any],
        max_output_tokens: int,
        effort: Effort | None = "low",
        timeout_s: float | None = None,
        cache_key: str | None = None,
    ) -> Generation:
        """One answer of `model`, as JSON that fits `schema`; `max_output_tokens` covers its reasoning too.

        `effort` is None for models that take none; `timeout_s` of None is the settings'.
        """
        allowed_s = timeout_s or self._settings.timeout
        if self._sdk is None:
            raise RuntimeError("the client is not open")
        try:
            with fail_after(allowed_s):  # httpx2 bounds each read, not their sum
                raw = await self._sdk.responses.with_raw_response.create(
                    model=model,
                    instructions=instructions,
                    input=input,
                    text={
                        "format": {"type": "json_schema", "name": schema_name, "strict": True, "schema": dict(schema)}
                    },
                    max_output_tokens=max_output_tokens,
                    reasoning=omit if effort is None else {"effort": effort},
                    store=False,
                    timeout=httpx2.Timeout(allowed_s, connect=transport.CONNECT_TIMEOUT_S),
                    prompt_cache_key=cache_key or schema_name,
                )
                response = raw.parse()
        except (OpenAIError, TimeoutError, ValueError) as error:
            raise _failure(error) from error
        prices = self._settings.prices.get(model, ())
        generation = _generation(response, model=model, request_id=raw.request_id, prices=prices)
        return replace(generation, headers=raw.headers)


def _generation(response: object, *, model: str, request_id: str | None, prices: Sequence[TextPrice]) -> Generation:
    if not isinstance(response, Response) or not isinstance(getattr(response, "output", None), list):
        raise OutcomeUnknown("the answer is not a response object", provider=PROVIDER, request_id=request_id)
    usage, tier = usage_of(response), tier_of(response)
    price = in_force(prices, _day(response))
    return Generation(
        text=SECRETS.hide(text_of(response), shapes=False, words=False),  # it is published
        model=SECRETS.hide(response.model) if isinstance(response.model, str) else model,
        tokens_in=usage.tokens_in,
        tokens_cached=usage.cached,
        tokens_out=usage.tokens_out,
        request_id=request_id,
        cost_usd=None if price is None else text_cost(price, usage, tier=tier),
        fault=_fault(response, request_id),
        tier=tier,
    )


def _day(response: Response) -> date:
    """By the clock of the vendor, who bills; by ours where it does not tell."""
    try:
        return datetime.fromtimestamp(response.created_at, UTC).date()
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.now(UTC).date()


def _fault(response: Response, request_id: str | None) -> ProviderError | None:
    """What makes a 200 useless, if anything does."""
    match response.status:
        case "failed":
            return _failed_in_body(response, request_id)
        case "incomplete":
            reason = getattr(response.incomplete_details, "reason", None)
            kind = Truncated if reason == "max_output_tokens" else Refused
            return kind("the answer is incomplete", provider=PROVIDER, code=reason, request_id=request_id)
        case "cancelled" | "queued" | "in_progress":
            return Unavailable(f"the answer is {response.status}", provider=PROVIDER, request_id=request_id)
    if refusal := refusal_of(response):
        return Refused(f"refused: {http.safe(refusal)}", provider=PROVIDER, code="refusal", request_id=request_id)
    if not text_of(response):
        return Unavailable("the answer holds no text", provider=PROVIDER, code="empty", request_id=request_id)
    return None


def _failed_in_body(response: Response, request_id: str | None) -> ProviderError:
    said, named = (getattr(response.error, fact, None) for fact in ("message", "code"))
    code = str(named) if named else None
    message = http.safe(said or "failed without a reason")
    if code in THROTTLED:
        limited = RateLimited(message, provider=PROVIDER, code=code, request_id=request_id)
        return limited.after(http.named_wait_s({}, message) or DEFAULT_WAIT_S)
    kind = Misconfigured if code in OUT_OF_MONEY else Unavailable if code in TRANSIENT or code is None else Rejected
    return kind(message, provider=PROVIDER, code=code, request_id=request_id)


def _failure(error: Exception) -> ProviderError:
    """What an exception of the SDK means to us."""
    match error:
        case APIStatusError():
            return _status_failure(error)
        case APITimeoutError() | APIConnectionError():
            return http.lost(error.__cause__ or error, provider=PROVIDER)
        case TimeoutError():
            return http.lost(error, provider=PROVIDER)
        case _:  # a 200 that is not the JSON it claims to be
            return OutcomeUnknown(f"unreadable answer: {type(error).__name__}", provider=PROVIDER)


def _status_failure(error: APIStatusError) -> ProviderError:
    said = error.body.get("message") if isinstance(error.body, dict) else None
    message, status, code = str(said or http.said(error.status_code)), error.status_code, error.code
    kind: type[ProviderError]
    if code == UNKNOWN_MODEL:
        kind = ModelUnknown
    elif status == 404 or (status == 429 and {code, error.type} & OUT_OF_MONEY):
        kind = Misconfigured
    elif status == 429 and TOO_LARGE.match(message):
        kind = Rejected
    elif code in THROTTLED:  # older endpoints say slow_down with a 503
        kind = RateLimited
    else:
        kind = type(http.refused(status, message, provider=PROVIDER))
    failure = kind(http.safe(message), provider=PROVIDER, status=status, code=code, request_id=error.request_id)
    if isinstance(failure, RateLimited):
        failure.headers = error.response.headers
        failure.after(_wait_s(error.response.headers, message, exhausted=error.type))
    return failure


def _wait_s(headers: Mapping[str, str], message: str, *, exhausted: str | None) -> float:
    """What the vendor names; where it names no wait, how long its exhausted buckets take to make room for the call.

    A named wait is the vendor's word on when the next call may go. When a bucket will be full says less: it bears on
    the pace after that, as the same headers do in every answer.
    """
    if (named := http.named_wait_s(headers, message)) is not None:
        return named
    found = REQUESTED.search(message) if exhausted == "tokens" else None
    tokens = int(found[1]) if found else None
    waits = [
        _room_s(headers, "requests", 1),
        _room_s(headers, "tokens", tokens),
        _room_s(headers, "project-tokens", tokens),
    ]
    return max((wait for wait in waits if wait is not None), default=DEFAULT_WAIT_S)


def _room_s(headers: Mapping[str, str], kind: str, wanted: int | None) -> float | None:
    """Seconds until a bucket holds `wanted` (None: it is not known how much); None if it is not the one that is short.

    The header tells when the bucket will be full, which after a daily limit is a day; it refills all the time.
    """
    left, limit = (_count(headers.get(f"x-ratelimit-{fact}-{kind}")) for fact in ("remaining", "limit"))
    full_s = go_duration_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
    if left is None or full_s is None or left >= (wanted or 1):
        return None
    if wanted is None or limit is None or limit <= wanted:
        return min(full_s, http.LONGEST_WAIT_S)
    return min(full_s * (wanted - left) / (limit - left), http.LONGEST_WAIT_S)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
