"""OpenAI: `POST /responses` and `/chat/completions`.

A request is read strictly, charged to two buckets of its key and model, written by `writer`, and takes as long as
the model would. Faults of its own: refusal, incomplete (text cut off), incomplete_silent (the whole cap was thought
away), content_filter, failed (inside a 200), short and poor (valid JSON, weak article), talkative (commentary first,
then the answer in two parts), quota_exhausted, slow_down, overloaded, no_headers, and those of `misbehaviours`.
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
from blogworker.simulator.edge import Call, Endpoint, Refused, Vendor
from blogworker.simulator.misbehaviours import MISBEHAVIOURS, misbehaved
from blogworker.simulator.models import MODELS, PromptCache, answer_time_s, thinking_tokens, tokens_of
from blogworker.simulator.openai_requests import Ask, error, read_chat, read_responses
from blogworker.simulator.world import World
from blogworker.simulator.writer import Quality, write

LEAST_CHARGE = 16  # tokens charged when a request sets no cap of its own


@dataclass(slots=True)
class Lane:
    """The two buckets of one key and model."""

    requests: Bucket = field(default_factory=Bucket)
    tokens: Bucket = field(default_factory=Bucket)


class OpenAI(Vendor):
    """The vendor's state: a lane per key and model, the prompt cache, and what was asked before."""

    name = "openai"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._random = world.random("openai")
        self._lanes: defaultdict[tuple[str, str], Lane] = defaultdict(Lane)
        self._cache = PromptCache(world.clock)
        self._asked: Counter[bytes] = Counter()  # a model does not answer one prompt twice with the same words

    def routes(self) -> list[Route]:
        return [
            Route("/responses", Endpoint(self, "responses.create", self.create_response), methods=["POST"]),
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
            raise Refused(401, error(message, code="invalid_api_key"))
        match call.fault.kind if call.fault else "":
            case "quota_exhausted":
                raise self._exhausted(call)
            case "slow_down":
                message = "You are sending requests too quickly. Please reduce your request rate."
                raise Refused(429, error(message, code="slow_down", kind="rate_limit_error"))
            case "overloaded":
                message = "The server is currently overloaded. Please try again later."
                raise Refused(503, error(message, code="server_is_overloaded", kind="service_unavailable_error"))

    async def create_response(self, call: Call) -> Response:
        ask = read_responses(call.json)
        answer = await self._answer(call, ask)
        return JSONResponse(answers.response_body(ask, answer, created_at=int(time.time())))

    async def create_chat(self, call: Call) -> Response:
        ask = read_chat(call.json)
        answer = await self._answer(call, ask)
        if answer.status == "failed":
            raise Refused(500, error(answer.error_message, kind="server_error", code=answer.error_code))
        return JSONResponse(answers.chat_body(ask, answer, created_at=int(time.time())))

    async def _answer(self, call: Call, ask: Ask) -> answers.Answer:
        charged = self._charge(call, ask)
        answer = self._compose(call, ask)
        correct = self.world.options.openai_correct_usage
        real = answer.input_tokens + answer.output_tokens if correct else charged
        pace = 3.0 if ask.tier == "flex" else 1.0
        tail = self.world.options.openai_tail
        await self.world.clock.work(pace * answer_time_s(ask.traits, answer.output_tokens, self._random, tail=tail))
        self._lane(call).tokens.take(real - charged, self._token_limit(), self.world.clock.now())
        self._account(call, ask, answer)
        return answer

    def _compose(self, call: Call, ask: Ask) -> answers.Answer:
        digest = hashlib.blake2b(ask.text.encode(), digest_size=16).digest()
        self._asked[digest] += 1
        quality = {"short": Quality.SHORT, "poor": Quality.POOR}.get(
            call.fault.kind if call.fault else "", Quality.GOOD
        )
        value = self._written(call, ask, take=self._asked[digest], quality=quality)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=None)
        read, written = self._cache.cached_tokens(ask.model, ask.text)
        draft = answers.Answer(
            text=text,
            input_tokens=tokens_of(ask.text),
            cached_tokens=read,
            written_tokens=written if ask.traits.writes_cache else 0,
            thinking_tokens=thinking_tokens(ask.traits, ask.effort, self._random),
            text_tokens=tokens_of(text),
        )
        return answers.ended(draft, ask, call.fault)

    def _written(self, call: Call, ask: Ask, *, take: int, quality: Quality) -> Any:
        def to(prompt: str) -> Any:
            return write(prompt, ask.schema, seed=self.world.options.seed, take=take, quality=quality)

        value, fault = to(ask.prompt), call.fault
        if fault is None or fault.kind not in MISBEHAVIOURS:
            return value
        return misbehaved(value, kind=fault.kind, prompt=ask.prompt, write=to, stubborn=fault.stubborn)

    def _charge(self, call: Call, ask: Ask) -> int:
        """Take one request and the tokens this call may use; raises Refused with the vendor's 429."""
        lane, now = self._lane(call), self.world.clock.now()
        amount = max(ask.max_output_tokens or LEAST_CHARGE, tokens_of(ask.text))
        self.world.ledger.meter(f"openai/{call.model}/offered", 1, now)
        waits = {
            "requests": lane.requests.wait_s(1, self._request_limit(), now),
            "tokens": lane.tokens.wait_s(amount, self._token_limit(), now),
        }
        for kind, wait_s in waits.items():
            if wait_s > 0:
                if self.world.options.openai_charge_refused:
                    lane.requests.charge_refused(self._request_limit(), now)
                raise self._rate_limited(call, kind, wait_s, requested=amount if kind == "tokens" else 1)
        lane.requests.take(1, self._request_limit(), now)
        lane.tokens.take(amount, self._token_limit(), now)
        self.world.ledger.meter(f"openai/{call.model}/requests", 1, now)
        return amount

    def throttled(self, call: Call, retry_after_s: float | None) -> Refused:
        return self._rate_limited(call, "requests", 1.0 if retry_after_s is None else retry_after_s, requested=1,
                                  told=retry_after_s)  # fmt: skip

    def failure(self, status: int) -> Any:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        message = "The server had an error while processing your request. Sorry about that!"
        return error(message, kind=kind, code="server_error" if status >= 500 else None)

    def headers(self, call: Call) -> dict[str, str]:
        now = self.world.clock.now()
        found = {
            "x-request-id": f"req_{call.request_id}",
            "openai-processing-ms": str(round((now - call.started) * 1000)),
            "openai-organization": "org-simulated",
            "openai-version": "2020-10-01",
        }
        if self.world.options.openai_rate_headers and not call.hit_by("no_headers") and call.model in MODELS:
            found |= self._rate_headers(call, now)
        return found

    def _rate_headers(self, call: Call, now: float) -> dict[str, str]:
        lane, requests, tokens = self._lane(call), self._request_limit(), self._token_limit()
        return {
            "x-ratelimit-limit-requests": str(round(requests.per_minute)),
            "x-ratelimit-remaining-requests": str(lane.requests.remaining(requests, now)),
            "x-ratelimit-reset-requests": go_duration(lane.requests.reset_s(requests, now)),
            "x-ratelimit-limit-tokens": str(round(tokens.per_minute)),
            "x-ratelimit-remaining-tokens": str(lane.tokens.remaining(tokens, now)),
            "x-ratelimit-reset-tokens": go_duration(lane.tokens.reset_s(tokens, now)),
        }

    def _rate_limited(
        self, call: Call, kind: str, wait_s: float, *, requested: int, told: float | None = None
    ) -> Refused:
        limit = self._request_limit() if kind == "requests" else self._token_limit()
        bucket = self._lane(call).requests if kind == "requests" else self._lane(call).tokens
        unit = "requests per min (RPM)" if kind == "requests" else "tokens per min (TPM)"
        whole = round(limit.per_minute)
        where = f"for {call.model} in organization org-simulated on {unit}: Limit {whole}"
        if wait_s == float("inf"):
            message = f"Request too large {where}, Requested {requested}. The input or output tokens must be reduced."
            return Refused(429, error(message, kind=kind, code="rate_limit_exceeded"))
        used = whole - bucket.remaining(limit, self.world.clock.now())
        message = (
            f"Rate limit reached {where}, Used {used}, Requested {requested}. Please try again in "
            f"{go_duration(wait_s)}. Visit https://platform.openai.com/account/rate-limits to learn more."
        )
        return Refused(429, error(message, kind=kind, code="rate_limit_exceeded"), self._retry_headers(wait_s, told))

    def _retry_headers(self, wait_s: float, told: float | None) -> dict[str, str]:
        """Clients must cope with either header, both or none."""
        if told is not None:
            return {"retry-after": str(max(1, round(told))), "retry-after-ms": str(round(told * 1000))}
        chance = self._random.random()
        found = {}
        if chance < 0.6:
            found["retry-after-ms"] = str(max(1, round(wait_s * 1000)))
        if chance < 0.4:
            found["retry-after"] = str(max(1, round(wait_s + 0.5)))
        return found

    def _exhausted(self, call: Call) -> Refused:
        code = (call.fault.code if call.fault else "") or "insufficient_quota"
        message = "You exceeded your current quota, please check your plan and billing details."
        return Refused(429, error(message, kind="insufficient_quota", code=code))

    def _account(self, call: Call, ask: Ask, answer: answers.Answer) -> None:
        now, ledger = self.world.clock.now(), self.world.ledger
        ledger.meter(f"openai/{ask.model}/tokens", answer.input_tokens + answer.output_tokens, now)
        for name in ("input_tokens", "cached_tokens", "output_tokens", "thinking_tokens"):
            ledger.count(f"openai.{name}", getattr(answer, name))
            ledger.count(f"openai/{ask.model}/{name}", getattr(answer, name))
        ledger.count(f"openai/{ask.model}/calls")
        ledger.count(f"openai.outcome.{answer.outcome}")
        call.facts |= {
            "schema": ask.schema_name,
            "outcome": answer.outcome,
            "input_tokens": answer.input_tokens,
            "cached_tokens": answer.cached_tokens,
            "output_tokens": answer.output_tokens,
        }

    def _lane(self, call: Call) -> Lane:
        return self._lanes[call.bearer(), call.model]

    def _request_limit(self) -> Limit:
        return Limit(self.world.per_minute(self.world.options.openai_rpm), self.world.options.openai_burst)

    def _token_limit(self) -> Limit:
        return Limit(self.world.per_minute(self.world.options.openai_tpm), self.world.options.openai_burst)

    def report(self) -> dict[str, Any]:
        """Usage of each model against its quota."""
        counters, ledger = self.world.ledger.counters, self.world.ledger
        used = sorted({model for _, model in self._lanes if model in MODELS})
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
