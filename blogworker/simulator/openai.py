"""OpenAI: `POST /responses` and `/chat/completions`.

A request is validated strictly and charged to the two buckets of its key and model. `writer` writes the answer, which
takes as long as with the real model. The provider's own faults:

    refusal, content_filter           the model refuses; the output is filtered
    incomplete, incomplete_silent     the text is truncated; reasoning used all output tokens, and there is no text
    failed                            an error in an answer with status 200
    short, poor                       valid JSON with a weak article
    talkative                         commentary first, then the answer in two parts
    quota_exhausted, slow_down        429; overloaded: 503
    no_headers                        no rate limit headers
    ...                               and the kinds of `misbehaviours`
"""

import hashlib
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blogworker.simulator import openai_answers as answers
from blogworker.simulator.buckets import Bucket, Limit, go_duration
from blogworker.simulator.edge import ApiError, Call, Endpoint, Provider
from blogworker.simulator.misbehaviours import MISBEHAVIOURS, misbehave
from blogworker.simulator.models import MODELS, PromptCache, answer_time_s, thinking_tokens, tokens_of
from blogworker.simulator.openai_requests import ModelRequest, openai_error, parse_chat_request, parse_responses_request
from blogworker.simulator.world import World
from blogworker.simulator.writer import Quality, write

LEAST_TOKENS_CHARGED = 16  # of a request without max_output_tokens


@dataclass(slots=True)
class RateBuckets:
    """The two buckets of one key and model."""

    requests: Bucket = field(default_factory=Bucket)
    tokens: Bucket = field(default_factory=Bucket)


class OpenAI(Provider):
    """The state: rate limit buckets per key and model, the prompt cache, and how often each prompt was sent."""

    name = "openai"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._random = world.random("openai")
        self._rate_buckets: defaultdict[tuple[str, str], RateBuckets] = defaultdict(RateBuckets)
        self._cache = PromptCache(world.clock)
        self._prompt_counts: Counter[bytes] = Counter()  # by digest; a model answers a repeated prompt differently

    def routes(self) -> list[Route]:
        return [
            Route("/responses", Endpoint(self, "responses.create", self.create_response), methods=["POST"]),
            Route("/models/{model}", Endpoint(self, "models.get", self.get_model)),
            Route("/chat/completions", Endpoint(self, "chat.create", self.create_chat), methods=["POST"]),
        ]

    def identify(self, call: Call) -> None:
        if isinstance(call.json, dict) and isinstance(call.json.get("model"), str):
            call.model = call.json["model"]

    def admit(self, call: Call) -> None:
        key = self.world.options.openai_key
        token = call.bearer()
        if not token or (key and token != key):
            message = (
                "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
            )
            raise ApiError(401, openai_error(message, code="invalid_api_key"))
        match call.fault.kind if call.fault else "":
            case "quota_exhausted":
                raise self._quota_exhausted(call)
            case "slow_down":
                message = "You are sending requests too quickly. Please reduce your request rate."
                raise ApiError(429, openai_error(message, code="slow_down", kind="rate_limit_error"))
            case "overloaded":
                message = "The server is currently overloaded. Please try again later."
                raise ApiError(
                    503, openai_error(message, code="server_is_overloaded", kind="service_unavailable_error")
                )

    async def get_model(self, call: Call) -> Response:
        name = str(call.request.path_params["model"])
        if name not in MODELS:
            message = f"The model '{name}' does not exist"
            raise ApiError(404, openai_error(message, param="model", code="model_not_found"))
        return JSONResponse({"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"})

    async def create_response(self, call: Call) -> Response:
        request = parse_responses_request(call.json)
        answer = await self._answer(call, request)
        return JSONResponse(answers.response_body(request, answer, created_at=int(time.time())))

    async def create_chat(self, call: Call) -> Response:
        request = parse_chat_request(call.json)
        answer = await self._answer(call, request)
        if answer.status == "failed":
            raise ApiError(500, openai_error(answer.error_message, kind="server_error", code=answer.error_code))
        return JSONResponse(answers.chat_body(request, answer, created_at=int(time.time())))

    async def _answer(self, call: Call, request: ModelRequest) -> answers.Answer:
        charged = self._charge(call, request)
        answer = self._generate(call, request)
        correct = self.world.options.openai_correct_usage
        real = answer.input_tokens + answer.output_tokens if correct else charged
        pace = 3.0 if request.tier == "flex" else 1.0
        tail = self.world.options.openai_tail
        await self.world.clock.simulate_work(
            pace * answer_time_s(request.traits, answer.output_tokens, self._random, tail=tail)
        )
        self._buckets(call).tokens.take(real - charged, self._token_limit(), self.world.clock.now())
        self._record_usage(call, request, answer)
        return answer

    def _generate(self, call: Call, request: ModelRequest) -> answers.Answer:
        digest = hashlib.blake2b(request.text.encode(), digest_size=16).digest()
        self._prompt_counts[digest] += 1
        quality = {"short": Quality.SHORT, "poor": Quality.POOR}.get(
            call.fault.kind if call.fault else "", Quality.GOOD
        )
        value = self._write_value(call, request, repetition=self._prompt_counts[digest], quality=quality)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=None)
        read, written = self._cache.cached_tokens(request.model, request.text)
        generated = answers.Answer(
            text=text,
            input_tokens=tokens_of(request.text),
            cached_tokens=read,
            cache_write_tokens=written if request.traits.writes_cache else 0,
            thinking_tokens=thinking_tokens(request.traits, request.effort, self._random),
            text_tokens=tokens_of(text),
        )
        return answers.apply_ending(generated, request, call.fault)

    def _write_value(self, call: Call, request: ModelRequest, *, repetition: int, quality: Quality) -> Any:
        def answer_to(prompt: str) -> Any:
            return write(prompt, request.schema, seed=self.world.options.seed, repetition=repetition, quality=quality)

        value, fault = answer_to(request.prompt), call.fault
        if fault is None or fault.kind not in MISBEHAVIOURS:
            return value
        return misbehave(value, kind=fault.kind, prompt=request.prompt, write=answer_to, stubborn=fault.stubborn)

    def _charge(self, call: Call, request: ModelRequest) -> int:
        """Take one request and the tokens that the call may use from the buckets. Raises ApiError (429)."""
        buckets, now = self._buckets(call), self.world.clock.now()
        amount = max(request.max_output_tokens or LEAST_TOKENS_CHARGED, tokens_of(request.text))
        self.world.ledger.meter(f"openai/{call.model}/offered", 1, now)
        waits = {
            "requests": buckets.requests.wait_s(1, self._request_limit(), now),
            "tokens": buckets.tokens.wait_s(amount, self._token_limit(), now),
        }
        for kind, wait_s in waits.items():
            if wait_s > 0:
                if self.world.options.openai_charge_refused:
                    buckets.requests.charge_rejected(self._request_limit(), now)
                raise self._limit_reached(call, kind, wait_s, requested=amount if kind == "tokens" else 1)
        buckets.requests.take(1, self._request_limit(), now)
        buckets.tokens.take(amount, self._token_limit(), now)
        self.world.ledger.meter(f"openai/{call.model}/requests", 1, now)
        return amount

    def rate_limit_error(self, call: Call, retry_after_s: float | None) -> ApiError:
        return self._limit_reached(call, "requests", 1.0 if retry_after_s is None else retry_after_s, requested=1,
                                  fault_retry_s=retry_after_s)  # fmt: skip

    def error_body(self, status: int) -> Any:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        message = "The server had an error while processing your request. Sorry about that!"
        return openai_error(message, kind=kind, code="server_error" if status >= 500 else None)

    def headers(self, call: Call) -> dict[str, str]:
        now = self.world.clock.now()
        found = {
            "x-request-id": f"req_{call.request_id}",
            "openai-processing-ms": str(round((now - call.started) * 1000)),
            "openai-organization": "org-simulated",
            "openai-version": "2020-10-01",
        }
        if self.world.options.openai_rate_headers and not call.has_fault("no_headers") and call.model in MODELS:
            found |= self._rate_headers(call, now)
        return found

    def _rate_headers(self, call: Call, now: float) -> dict[str, str]:
        buckets, requests, tokens = self._buckets(call), self._request_limit(), self._token_limit()
        return {
            "x-ratelimit-limit-requests": str(round(requests.per_minute)),
            "x-ratelimit-remaining-requests": str(buckets.requests.remaining(requests, now)),
            "x-ratelimit-reset-requests": go_duration(buckets.requests.reset_s(requests, now)),
            "x-ratelimit-limit-tokens": str(round(tokens.per_minute)),
            "x-ratelimit-remaining-tokens": str(buckets.tokens.remaining(tokens, now)),
            "x-ratelimit-reset-tokens": go_duration(buckets.tokens.reset_s(tokens, now)),
        }

    def _limit_reached(
        self, call: Call, kind: str, wait_s: float, *, requested: int, fault_retry_s: float | None = None
    ) -> ApiError:
        limit = self._request_limit() if kind == "requests" else self._token_limit()
        bucket = self._buckets(call).requests if kind == "requests" else self._buckets(call).tokens
        unit = "requests per min (RPM)" if kind == "requests" else "tokens per min (TPM)"
        whole = round(limit.per_minute)
        where = f"for {call.model} in organization org-simulated on {unit}: Limit {whole}"
        if wait_s == float("inf"):
            message = f"Request too large {where}, Requested {requested}. The input or output tokens must be reduced."
            return ApiError(429, openai_error(message, kind=kind, code="rate_limit_exceeded"))
        used = whole - bucket.remaining(limit, self.world.clock.now())
        message = (
            f"Rate limit reached {where}, Used {used}, Requested {requested}. Please try again in "
            f"{go_duration(wait_s)}. Visit https://platform.openai.com/account/rate-limits to learn more."
        )
        return ApiError(
            429,
            openai_error(message, kind=kind, code="rate_limit_exceeded"),
            self._retry_headers(wait_s, fault_retry_s),
        )

    def _retry_headers(self, wait_s: float, fault_retry_s: float | None) -> dict[str, str]:
        """Some answers have one of the two headers, some have both, and some have none."""
        if fault_retry_s is not None:
            return {
                "retry-after": str(max(1, round(fault_retry_s))),
                "retry-after-ms": str(round(fault_retry_s * 1000)),
            }
        chance = self._random.random()
        found = {}
        if chance < 0.6:
            found["retry-after-ms"] = str(max(1, round(wait_s * 1000)))
        if chance < 0.4:
            found["retry-after"] = str(max(1, round(wait_s + 0.5)))
        return found

    def _quota_exhausted(self, call: Call) -> ApiError:
        code = (call.fault.code if call.fault else "") or "insufficient_quota"
        message = "You exceeded your current quota, please check your plan and billing details."
        return ApiError(429, openai_error(message, kind="insufficient_quota", code=code))

    def _record_usage(self, call: Call, request: ModelRequest, answer: answers.Answer) -> None:
        now, ledger = self.world.clock.now(), self.world.ledger
        ledger.meter(f"openai/{request.model}/tokens", answer.input_tokens + answer.output_tokens, now)
        for name in ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens"):
            ledger.count(f"openai.{name}", getattr(answer, name))
            ledger.count(f"openai/{request.model}/{name}", getattr(answer, name))
        ledger.count(f"openai/{request.model}/calls")
        ledger.count(f"openai.outcome.{answer.outcome}")
        call.log_fields |= {
            "schema": request.schema_name,
            "outcome": answer.outcome,
            "input_tokens": answer.input_tokens,
            "cached_tokens": answer.cached_tokens,
            "output_tokens": answer.output_tokens,
        }

    def _buckets(self, call: Call) -> RateBuckets:
        return self._rate_buckets[call.bearer(), call.model]

    def _request_limit(self) -> Limit:
        return Limit(self.world.per_minute(self.world.options.openai_rpm), self.world.options.openai_burst)

    def _token_limit(self) -> Limit:
        return Limit(self.world.per_minute(self.world.options.openai_tpm), self.world.options.openai_burst)

    def report(self) -> dict[str, Any]:
        """The quota, and the usage of each model."""
        counters, ledger = self.world.ledger.counters, self.world.ledger
        used = sorted({model for _, model in self._rate_buckets if model in MODELS})
        return {
            "limit_requests_per_minute": self._request_limit().per_minute,
            "limit_tokens_per_minute": self._token_limit().per_minute,
            "input_tokens": counters["openai.input_tokens"],
            "cached_tokens": counters["openai.cached_tokens"],
            "output_tokens": counters["openai.output_tokens"],
            "outcomes": {name[15:]: n for name, n in sorted(counters.items()) if name.startswith("openai.outcome.")},
            "models": {
                model: {
                    "calls": counters[f"openai/{model}/calls"],
                    "input_tokens": counters[f"openai/{model}/input_tokens"],
                    "output_tokens": counters[f"openai/{model}/output_tokens"],
                    "thinking_tokens": counters[f"openai/{model}/thinking_tokens"],
                    "peak_requests_per_minute": ledger.peak(f"openai/{model}/requests"),
                    "peak_offered_per_minute": ledger.peak(f"openai/{model}/offered"),
                    "peak_tokens_per_minute": ledger.peak(f"openai/{model}/tokens"),
                }
                for model in used
            },
        }
