"""The simulated OpenAI, called with the official SDK."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from .conftest import Control
from .wire_schemas import IDEAS, POST, strict

pytestmark = pytest.mark.anyio

SOURCE = {"kind": "keyword", "keyword": "sourdough starter"}
INPUT = f"<source>\n{json.dumps(SOURCE)}\n</source>"


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{base_url}/openai/v1", max_retries=0) as found:
        yield found


def text_format(schema: dict[str, Any], name: str = "post") -> Any:
    return {"format": {"type": "json_schema", "name": name, "strict": True, "schema": schema}}


async def ask(client: openai.AsyncOpenAI, schema: dict[str, Any] = POST, **more: Any) -> Any:
    settings = {
        "model": "gpt-6-luna", "input": INPUT, "text": text_format(schema), "max_output_tokens": 4_000,
        "reasoning": {"effort": "low"}, "store": False,
    } | more  # fmt: skip
    return await client.responses.with_raw_response.create(**settings)


async def test_an_answer_has_an_article_usage_and_headers(client: openai.AsyncOpenAI) -> None:
    raw = await ask(client)
    response = raw.parse()

    post = json.loads(response.output_text)
    assert set(post) == set(POST["properties"])
    assert response.status == "completed"
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert 0 < usage.output_tokens_details.reasoning_tokens < usage.output_tokens
    assert raw.headers["x-ratelimit-limit-requests"] == "450"
    assert raw.headers["x-ratelimit-reset-tokens"].endswith("s")
    assert raw.request_id.startswith("req_")
    assert "openai-processing-ms" in raw.headers


async def test_chat_completions_accept_the_same_schema(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="gpt-5.4-mini",
        messages=[{"role": "system", "content": "You write."}, {"role": "user", "content": INPUT}],
        response_format={"type": "json_schema", "json_schema": {"name": "ideas", "strict": True, "schema": IDEAS}},
    )

    assert len(json.loads(completion.choices[0].message.content or "")["ideas"]) == 5
    assert completion.usage is not None


async def test_a_long_prompt_is_read_from_the_cache_the_second_time(client: openai.AsyncOpenAI) -> None:
    instructions = "Write as a careful editor would. " * 200

    first, second = [(await ask(client, instructions=instructions)).parse().usage for _ in range(2)]

    assert first.input_tokens_details.cached_tokens == 0
    assert first.input_tokens_details.cache_write_tokens > 1_024
    assert second.input_tokens_details.cached_tokens > 1_024


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"model": "gpt-nine"}, openai.NotFoundError, "model_not_found"),
        ({"extra_body": {"tempo": 1}}, openai.BadRequestError, "unknown_parameter"),
        ({"text": text_format({"type": "object", "properties": {}})}, openai.BadRequestError, "invalid_json_schema"),
        ({"text": text_format(strict(a={"type": "string"}) | {"required": []})}, openai.BadRequestError,
         "invalid_json_schema"),
        ({"max_output_tokens": 3}, openai.BadRequestError, "integer_below_min_value"),
        ({"temperature": 0.3}, openai.BadRequestError, "unsupported_parameter"),
        ({"model": "gpt-6.1-sol", "reasoning": {"effort": "none"}}, openai.BadRequestError, "unsupported_value"),
    ],
)  # fmt: skip
async def test_an_invalid_request_gets_the_error_of_the_provider(
    client: openai.AsyncOpenAI, change: dict[str, Any], error: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(error) as caught:
        await ask(client, **change)

    assert caught.value.code == code


@pytest.mark.parametrize("options", [{"openai_key": "right"}])
async def test_a_wrong_key_is_rejected(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await ask(client)

    assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize("options", [{"openai_rpm": 60, "openai_burst": 0.05}])
async def test_an_exceeded_request_quota_says_when_to_retry(client: openai.AsyncOpenAI) -> None:
    """The burst is three requests; the fourth gets a retry time."""
    for _ in range(3):
        await ask(client)

    with pytest.raises(openai.RateLimitError) as caught:
        await ask(client)

    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.type == "requests"
    assert "Please try again in" in caught.value.message


@pytest.mark.parametrize("options", [{"openai_tpm": 6_000}])
async def test_the_token_limit_of_a_request_is_charged_and_corrected_later(
    client: openai.AsyncOpenAI, control: Control
) -> None:
    """A limit of 4,000 output tokens takes 4,000, until the real usage is known."""
    raw = await ask(client, max_output_tokens=4_000)
    used = raw.parse().usage.total_tokens

    stats = (await control.stats())["openai"]["models"]["gpt-6-luna"]
    assert int((await ask(client, IDEAS, max_output_tokens=1_500)).headers["x-ratelimit-limit-tokens"]) == 6_000
    assert stats["peak_tokens_per_minute"] == used < 4_000
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(client, max_output_tokens=7_000)
    assert "Request too large" in caught.value.message


@pytest.mark.parametrize("options", [{"speed": 10.0}])
async def test_a_faster_provider_gives_its_quota_per_real_minute(client: openai.AsyncOpenAI) -> None:
    assert (await ask(client)).headers["x-ratelimit-limit-requests"] == "4500"


async def test_an_answer_with_status_200_can_lack_an_article(client: openai.AsyncOpenAI, control: Control) -> None:
    """A caller must check more than the status."""
    ends = {}
    for kind in ("refusal", "incomplete", "incomplete_silent", "content_filter", "failed"):
        await control.fault(vendor="openai", kind=kind, times=1)
        ends[kind] = (await ask(client)).parse()

    assert ends["refusal"].output[-1].content[0].type == "refusal"
    assert ends["incomplete"].incomplete_details.reason == "max_output_tokens"
    assert ends["incomplete"].output_text
    assert not ends["incomplete_silent"].output_text
    assert ends["content_filter"].incomplete_details.reason == "content_filter"
    assert ends["failed"].error.code == "server_error"
    assert (await ask(client)).parse().status == "completed"


async def test_a_small_token_limit_truncates_the_answer(client: openai.AsyncOpenAI) -> None:
    response = (await ask(client, max_output_tokens=200, reasoning={"effort": "none"})).parse()

    assert response.status == "incomplete"
    assert response.usage.output_tokens == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "quota_exhausted", "code": "credit_balance_exhausted"}, 429, "credit_balance_exhausted"),
        ({"kind": "slow_down"}, 429, "slow_down"),
        ({"kind": "overloaded"}, 503, "server_is_overloaded"),
        ({"kind": "html"}, 502, None),
        ({"kind": "status", "status": 500}, 500, "server_error"),
        ({"kind": "throttle", "retry_after_s": 180}, 429, "rate_limit_exceeded"),
    ],
)
async def test_a_fault_answers_with_the_error_of_the_provider(
    client: openai.AsyncOpenAI, control: Control, fault: dict[str, Any], status: int, code: str | None
) -> None:
    await control.fault(vendor="openai", times=1, **fault)

    with pytest.raises(openai.APIStatusError) as caught:
        await ask(client)

    assert (caught.value.status_code, caught.value.code) == (status, code)
    if "retry_after_s" in fault:
        assert caught.value.response.headers["retry-after"] == "180"


async def test_the_rate_limit_headers_can_be_missing(client: openai.AsyncOpenAI, control: Control) -> None:
    await control.fault(vendor="openai", kind="no_headers", times=1)

    assert not [name for name in (await ask(client)).headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_misbehaviour_is_repaired_unless_it_is_stubborn(
    client: openai.AsyncOpenAI, control: Control, stubborn: bool
) -> None:
    """The fault is added by its name, as through `blogworker simulate`."""
    await control.fault(kind="footnotes", vendor="openai", stubborn=stubborn)

    draft = json.loads((await ask(client)).parse().output_text)["body_markdown"]
    repair_prompt = f'{INPUT}\n\n<answer>\n"…"\n</answer>\n\n<faults>\n["has footnotes"]\n</faults>'
    repaired = json.loads((await ask(client, input=repair_prompt)).parse().output_text)["body_markdown"]

    assert "[^1]: See the maker's own notes." in draft
    assert ("[^1]" in repaired) is stubborn
    assert (await control.stats())["faults_hit"]["openai.footnotes"] == 2
