"""Every way an OpenAI call can end, over real TCP."""

import json
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from blogworker.errors import Misconfigured, OutcomeUnknown, RateLimited, Rejected, Unavailable, Unsent
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.openai_answers import ModelUnknown, Refused, Truncated
from blogworker.settings import OpenAISettings

from .vendor import Answer, Vendor

pytestmark = pytest.mark.anyio

ASK = {
    "model": "gpt-6-luna",
    "instructions": "Write.",
    "input": "<source>{}</source>",
    "schema_name": "post",
    "schema": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "max_output_tokens": 500,
    "cache_key": "post-1",
}


@pytest.fixture
async def openai(vendor: Vendor, patience_s: float) -> AsyncIterator[OpenAIClient]:
    settings = OpenAISettings(api_key="sk-test", base_url=f"{vendor.url}/v1", timeout=patience_s, _env_file=None)
    async with OpenAIClient(settings, connections=2) as client:
        yield client


def response(*parts: dict, status: str = "completed", **fields: object) -> Answer:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": list(parts)}
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
        "output_tokens": 200,
        "output_tokens_details": {"reasoning_tokens": 50},
        "total_tokens": 1200,
    }
    body = {"id": "resp_1", "object": "response", "model": "gpt-6-luna", "status": status, "usage": usage}
    return Answer(body={**body, "output": [message] if parts else [], **fields}, headers={"x-request-id": "req_9"})


def error(status: int, code: str, message: str = "no", kind: str = "error", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return Answer(status, body, {"x-request-id": "req_9", **named})


TEXT = {"type": "output_text", "text": '{"a":1}', "annotations": []}
REFUSAL = {"type": "refusal", "refusal": "I will not."}


async def test_an_answer_carries_its_text_usage_and_price(openai, vendor):
    vendor.will(response(TEXT))

    generation = await openai.generate(**ASK)

    assert generation.checked() == '{"a":1}'
    assert (generation.tokens_in, generation.tokens_cached, generation.tokens_out) == (1000, 400, 200)
    assert generation.request_id == "req_9"
    # 500 fresh + 100 written at 1.25 of $0.10, 400 cached at $0.01, 200 out at $0.50, a million
    assert generation.cost_usd == pytest.approx((625 * 0.10 + 400 * 0.01 + 200 * 0.50) / 1e6)


async def test_the_request_contains_what_it_must(openai, vendor):
    """Not stored, strict, capped, with an effort: each of these has a default that costs money."""
    vendor.will(response(TEXT))

    await openai.generate(**ASK)

    sent = vendor.asked[0].body
    assert vendor.asked[0].path == "/v1/responses"
    assert (sent["store"], sent["max_output_tokens"], sent["reasoning"]) == (False, 500, {"effort": "low"})
    assert sent["text"]["format"]["strict"] is True
    assert sent["prompt_cache_key"] == "post-1"
    assert vendor.asked[0].headers["authorization"] == "Bearer sk-test"


async def test_a_model_without_a_price_has_no_cost(openai, vendor):
    vendor.will(response(TEXT))

    assert (await openai.generate(**{**ASK, "model": "gpt-9"})).cost_usd is None


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (response(REFUSAL), Refused, "refusal"),
        (response(TEXT, status="incomplete", incomplete_details={"reason": "max_output_tokens"}), Truncated, None),
        (response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), Truncated, None),
        (response(TEXT, status="incomplete", incomplete_details={"reason": "content_filter"}), Refused, None),
        (response(status="failed", error={"code": "server_error", "message": "x"}), Unavailable, "server_error"),
        (response(status="failed", error={"code": "invalid_prompt", "message": "x"}), Rejected, "invalid_prompt"),
        (response(status="failed", error={"code": "insufficient_quota", "message": "x"}), Misconfigured, None),
        (response(), Unavailable, "empty"),
        (response(TEXT, status="incomplete", incomplete_details="full"), Unavailable, "unfinished"),
        (response(TEXT, status="incomplete", incomplete_details=None), Unavailable, "unfinished"),
        (response(TEXT, status="incomplete", incomplete_details={"reason": "moon"}), Unavailable, "unfinished"),
        (response(status="failed", error="broken"), Unavailable, None),
    ],
)
async def test_an_unusable_answer_still_has_a_cost(openai, vendor, answer, kind, code):
    """It was paid for: its tokens go to the limiter and the books before the fault is raised."""
    vendor.will(answer)

    generation = await openai.generate(**ASK)

    assert generation.tokens == 1200
    with pytest.raises(kind) as raised:
        generation.checked()
    assert type(raised.value) is kind
    assert code is None or raised.value.code == code


@pytest.mark.parametrize(
    "output",
    [
        [{"type": "message", "content": None}],
        [{"type": "message", "content": "a text"}],
        [{"type": "message", "content": [None, {"type": "output_text", "text": None}]}],
        [{"type": "message", "content": [{"type": "output_text", "text": 5}]}],
        [None, 5],
    ],
    ids=str,
)
async def test_an_answer_in_an_unknown_form_is_counted_and_unusable(openai, vendor, output):
    """It was paid for: an error of the SDK here would lose what it cost, and be met again by every attempt."""
    vendor.will(response(output=output))

    generation = await openai.generate(**ASK)

    assert generation.tokens == 1200
    with pytest.raises(Unavailable, match="has no text"):
        generation.checked()


@pytest.mark.parametrize("usage", [None, "many", [], {}, {"input_tokens": "many", "output_tokens": None},
    {"input_tokens": [1], "input_tokens_details": "none", "output_tokens": -3}], ids=str)  # fmt: skip
async def test_a_text_with_unreadable_usage_is_accepted(openai, vendor, usage):
    vendor.will(response(TEXT, usage=usage, model=None, service_tier=["flex"]))

    generation = await openai.generate(**ASK)

    assert (generation.checked(), generation.tokens, generation.model) == ('{"a":1}', 0, "gpt-6-luna")
    assert generation.cost_usd is None, "it is not free: what it cost is unknown"


@pytest.mark.parametrize("kind", ["text", None])
async def test_text_of_another_type_is_the_answer_too(openai, vendor, kind):
    """Gateways that speak for other models name the types of parts and items otherwise, or not at all."""
    parts = [{"type": kind, "text": '{"a":1}'} if kind else {"text": '{"a":1}'}]
    vendor.will(response(output=[{"content": parts} if kind is None else {"type": "message", "content": parts}]))

    assert (await openai.generate(**ASK)).checked() == '{"a":1}'


def message(*parts: dict, **fields: object) -> dict:
    return {"type": "message", "role": "assistant", "content": list(parts), **fields}


def part(text: str) -> dict:
    return {"type": "output_text", "text": text}


SILENT = {"type": "refusal", "refusal": ""}
THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}]}


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ([message(part("On it."), phase="commentary"), message(TEXT, phase="final_answer")], '{"a":1}'),
        ([message(TEXT, phase="final_answer"), message(part("Done!"), phase="commentary")], '{"a":1}'),
        ([message(part("On it.")), THOUGHT, message(TEXT)], '{"a":1}'),
        ([message(TEXT), message(part("Anything else?"))], '{"a":1}'),
        ([message(part('{"a":')), message(part("1}"))], '{"a":1}'),
        ([message(part('{"a":'), part("1}"))], '{"a":1}'),
        ([message(part('{"a":0}'), part('{"a":1}'))], '{"a":1}'),
        ([message(part('{"a":0}')), message(part('{"a":1}'))], '{"a":1}'),
        ([message(REFUSAL, phase="commentary"), message(TEXT)], '{"a":1}'),
        ([message(REFUSAL), message(TEXT)], '{"a":1}'),
        ([message(TEXT, SILENT)], '{"a":1}'),
        ([message(TEXT, phase="a_new_phase")], '{"a":1}'),
        ([{"type": "a_new_item"}, None, message(None, TEXT)], '{"a":1}'),
        (message(TEXT), '{"a":1}'),
        ([message(part('{"a":1}\ud800'))], '{"a":1}?'),
        *(
            ([message(part(text))], '{"a":1}')
            for text in ('```json\n{"a":1}\n```', '```\n{"a":1}```\n', '\ufeff ```JSON {"a":1} ```')
        ),
        ([message(part("On it.")), message(part('```json\n{"a":1}\n```'))], '{"a":1}'),
        *(([message(part(text))], text) for text in ('{"a":"```x```"}', "```", "``````", "```sh\nls\n```", "```{")),
    ],
)
async def test_the_answer_is_found_among_other_output(openai, vendor, output, text):
    """Joined they are not JSON, and a repair would be paid for."""
    vendor.will(Answer(200, json.dumps(response(output=output).body), {"content-type": "application/json"}))

    assert (await openai.generate(**ASK)).checked() == text


@pytest.mark.parametrize("output", [[message(TEXT, REFUSAL)], [message(TEXT), message(REFUSAL)], [message(SILENT)]])
async def test_a_refusal_at_the_end_is_a_refusal(openai, vendor, output):
    vendor.will(response(output=output))

    with pytest.raises(Refused):
        (await openai.generate(**ASK)).checked()


@pytest.mark.parametrize("fields", [{"output": None}, {"output": None, "status": None}, {"output": 5, "status": "new"}])
async def test_an_answer_without_output_is_counted(openai, vendor, fields):
    vendor.will(response(**fields))

    generation = await openai.generate(**ASK)

    assert generation.tokens == 1200
    assert generation.cost_usd
    with pytest.raises(Unavailable):
        generation.checked()


@pytest.mark.parametrize("count", [10**14, 10**400, 1e300, True, "1e9", float("inf")], ids=lambda count: str(count)[:9])
async def test_an_impossible_token_count_is_ignored(openai, vendor, count):
    """It would block the shared quota for years and use up the budget."""
    usage = {"input_tokens": count, "input_tokens_details": {"cached_tokens": count}, "output_tokens": 5}
    body = json.dumps(response(TEXT, usage=usage).body)  # which writes Infinity, as some gateways do
    vendor.will(Answer(200, body, {"content-type": "application/json"}))

    generation = await openai.generate(**ASK)

    assert (generation.checked(), generation.tokens) == ('{"a":1}', 5)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"code": "unsupported_value", "param": "reasoning.effort"}, Misconfigured),
        ({"code": "invalid_json_schema", "param": "text.format.schema"}, Misconfigured),
        ({"code": "unknown_parameter"}, Misconfigured),
        ({"code": None, "param": "max_output_tokens"}, Misconfigured),
        ({"code": "string_above_max_length", "param": "input"}, Rejected),
        ({"code": None, "param": "input[0].content"}, Rejected),
        ({"code": "context_length_exceeded", "param": "max_output_tokens"}, Rejected),
        ({"code": "string_above_max_length", "param": "prompt_cache_key"}, Misconfigured),
        ({"code": "content_policy_violation"}, Rejected),
        ({"code": "integer_above_max_value", "param": "max_output_tokens"}, Misconfigured),
        ({"code": "invalid_prompt", "param": "text"}, Rejected),
        ({"code": None, "param": "messages"}, Rejected),
        ({"code": "invalid_value", "param": "prompt"}, Rejected),
        ({"code": None, "param": "safety_identifier"}, Rejected),
        ({"code": "unknown_parameter", "param": "safety_identifier"}, Misconfigured),
        ({"code": "unsupported_model", "param": "model"}, ModelUnknown),
        ({"code": {"a": []}, "param": ["input"], "type": 5, "message": {"a": 1}}, Rejected),
    ],
    ids=str,
)
async def test_a_refused_input_is_charged_to_the_job_or_to_us(openai, vendor, fault, kind):
    vendor.will(Answer(400, {"error": {"message": "no", **fault}}))

    with pytest.raises(kind) as raised:
        await openai.generate(**ASK)

    assert type(raised.value) is kind


async def test_many_refusals_in_a_row_stop_the_fleet(openai, vendor):
    """The third in a row, with none taken between, stops the fleet; one that is taken clears the rest."""

    async def refused(blog: str) -> type[Exception]:
        vendor.will(error(400, "invalid_request_error"))
        with pytest.raises((Rejected, Misconfigured)) as raised:
            await openai.generate(**{**ASK, "input": blog})
        return type(raised.value)

    assert [await refused("a"), await refused("a"), await refused("b")] == [Rejected] * 3
    vendor.will(response(TEXT))
    await openai.generate(**ASK)
    assert [await refused("a"), await refused("b"), await refused("c")] == [Rejected, Rejected, Misconfigured]


async def test_a_rate_limit_inside_an_answer_has_its_wait(openai, vendor):
    limited = {"code": "rate_limit_exceeded", "message": "Please try again in 7s."}
    vendor.will(response(status="failed", error=limited, usage=None))

    with pytest.raises(RateLimited) as raised:
        (await openai.generate(**ASK)).checked()

    assert raised.value.retry_after_s == 7


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "slow_down", 429, "429"])
async def test_a_rate_limit_inside_a_paid_answer_uses_an_attempt(openai, vendor, code):
    """Otherwise nothing bounds how often it is paid for."""
    vendor.will(response(status="failed", error={"code": code, "message": "Please try again in 7s."}))

    with pytest.raises(Unavailable) as raised:
        (await openai.generate(**ASK)).checked()

    assert raised.value.code == str(code)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, Unavailable) for code in ("internal_error", "service_unavailable", "timeout", "overloaded_error")),
        *((code, Unavailable) for code in (500, "500", 502, "503", 504, 529, 408, 0, 200, 302, 600, -1, "5e2", 10**9)),
        *((code, Misconfigured) for code in (401, 402, "403", 404)),
        *((code, Rejected) for code in (400, "413", 422, "context_length_exceeded", "content_policy_violation")),
        *((code, Rejected) for code in ("image_parse_error", "string_above_max_length", "unsupported_value")),
        ("model_not_found", ModelUnknown),
        (429, RateLimited),
    ],
)
@pytest.mark.parametrize("body", [{"object": "response", "status": "failed"}, {}], ids=["response", "gateway"])
async def test_a_failure_inside_an_answer_is_final_only_for_a_known_fault_of_the_input(
    openai, vendor, body, code, kind
):
    """Providers and gateways have codes of their own, which may be the status of the failure."""
    vendor.will(Answer(body={**body, "error": {"code": code, "message": "Provider returned error"}}))

    generation = await openai.generate(**ASK)

    with pytest.raises(kind) as raised:
        generation.checked()
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "invalid_request_error"), Rejected),
        (error(401, "invalid_api_key", "Incorrect API key provided: sk-test."), Misconfigured),
        (error(403, "unsupported_country"), Misconfigured),
        (error(404, "model_not_found"), ModelUnknown),
        (error(429, "insufficient_quota", kind="insufficient_quota"), Misconfigured),
        (error(429, "project_spend_limit_exceeded", kind="insufficient_quota"), Misconfigured),
        (error(429, "rate_limit_exceeded", kind="tokens"), RateLimited),
        (error(429, "slow_down"), RateLimited),
        (error(500, "server_error"), Unavailable),
        (error(503, "server_is_overloaded"), Unavailable),
        (Answer(502, "<html>bad gateway</html>"), Unavailable),
        (Answer(200, "<html>a proxy</html>", {"content-type": "text/html"}), OutcomeUnknown),
        (Answer(200, '{"half":', {"content-type": "application/json"}), OutcomeUnknown),
        (Answer(200, {"object": "nothing"}), OutcomeUnknown),
    ],
)
async def test_each_refusal_becomes_its_error(openai, vendor, answer, kind):
    vendor.will(answer)

    with pytest.raises(kind) as raised:
        await openai.generate(**ASK)

    assert type(raised.value) is kind
    assert "sk-test" not in str(raised.value)
    assert len(vendor.asked) == 1  # the SDK must not retry: it cannot tell billing from throttling


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (error(429, "rate_limit_exceeded", "Please try again in 41.7s."), 41.7),
        (error(429, "rate_limit_exceeded", retry_after="200"), 200),
        (error(429, "rate_limit_exceeded", retry_after_ms="850"), 0.85),
        (
            error(429, "rate_limit_exceeded", x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="1m2s"),
            62,
        ),
        *(
            (
                error(
                    429,
                    "rate_limit_exceeded",
                    f"Requested {tokens}.",
                    kind="tokens",
                    x_ratelimit_limit_tokens="9000",
                    x_ratelimit_remaining_tokens="1000",
                    x_ratelimit_reset_tokens="160s",
                ),
                40,
            )
            for tokens in ("3000", "3,000")
        ),
        (error(429, "rate_limit_exceeded"), 20),
    ],
)
async def test_a_rate_limit_has_its_wait(openai, vendor, answer, seconds):
    vendor.will(answer)

    with pytest.raises(RateLimited) as raised:
        await openai.generate(**ASK)

    assert raised.value.retry_after_s == pytest.approx(seconds)
    assert raised.value.request_id == "req_9"


@pytest.mark.silence
async def test_a_call_without_an_answer_has_an_unknown_outcome(openai, vendor):
    """The generation may have been made and billed."""
    vendor.will(Answer(silent=True))

    with pytest.raises(OutcomeUnknown):
        await openai.generate(**ASK)


async def test_a_refused_connection_is_unavailable():
    settings = OpenAISettings(api_key="sk-test", base_url="http://127.0.0.1:9/v1", _env_file=None)
    async with OpenAIClient(settings, connections=1) as client:
        with pytest.raises(Unsent):
            await client.generate(**ASK)


async def test_a_missing_key_is_reported_before_any_call():
    with pytest.raises(Misconfigured, match="OPENAI_API_KEY"):
        await OpenAIClient(OpenAISettings(_env_file=None, api_key=None), connections=1).open()


@pytest.mark.parametrize(
    ("second", "tier", "input_usd"),
    [
        ("2026-11-30T23:59:59Z", "default", 1.0),
        ("2026-12-01T00:00:00Z", "default", 3.0),
        ("2026-12-01T00:00:00Z", "flex", 1.5),
    ],
)
async def test_a_call_is_priced_by_the_date_and_the_tier_of_the_answer(vendor, second, tier, input_usd):
    """The provider bills by its own clock, and by the tier it really used."""
    rows = [{"input": 1, "cached": 0, "output": 0}, {"input": 3, "cached": 0, "output": 0, "from": "2026-12-01"}]
    settings = OpenAISettings(api_key="k", base_url=vendor.url, prices={"gpt-6-luna": rows}, _env_file=None)
    moment = datetime.fromisoformat(second).timestamp()
    usage = {"input_tokens": 1_000, "output_tokens": 1, "total_tokens": 1_001}
    vendor.will(response(TEXT, created_at=moment, service_tier=tier, usage=usage))

    async with OpenAIClient(settings, connections=1) as client:
        generation = await client.generate(**ASK)

    assert generation.cost_usd == pytest.approx(input_usd / 1_000)
