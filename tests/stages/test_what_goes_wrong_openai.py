"""The table of what goes wrong at OpenAI, row by row, each ending in its action.

The whole pipeline runs against a real database and the simulated providers; the outcome is settled as a worker does it,
and what counts is what the queue then says.
"""

import pytest

from .conftest import ClosedBreakers

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "reset_before"}, "OutcomeUnknown"),
        ({"kind": "reset_after"}, "OutcomeUnknown"),
        ({"kind": "malformed"}, "OutcomeUnknown"),
        ({"kind": "overloaded"}, "Unavailable"),
        ({"kind": "html"}, "Unavailable"),
        ({"kind": "html", "status": 504}, "Unavailable"),
        ({"kind": "status", "status": 500}, "Unavailable"),
        ({"kind": "failed", "code": "server_error"}, "Unavailable"),
    ],
    ids=["reset", "reset after", "malformed", "503", "HTML 502", "HTML 504", "500", "failed in body"],
)
async def test_temporary_failures_are_retried_with_backoff(harness, fault, kind):
    """One attempt is spent, and the next one makes the post."""
    await harness.room.fault(vendor="openai", times=1, **fault)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 1, kind)
    assert job["wait_s"] > 0
    assert (await harness.attempt())["status"] == "DONE"


@pytest.mark.parametrize(
    "text",
    ["\0", '{"ideas": "\0"}', '{"ideas": [{"title": "Curtains, hung well", "score": null}]}', "[" * 100_000],
    ids=["NUL", "NUL in JSON", "null for a number", "bottomless"],
)
async def test_an_unexpected_answer_is_stored_and_repaired(harness, text):
    """It was paid for: an attempt that crashes over it would have each of its successors buy, or read, it again."""
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    usage = {"input_tokens": 900, "output_tokens": 400, "total_tokens": 1300}
    answer = {"object": "response", "status": "completed", "model": "gpt-6-luna", "output": [said], "usage": usage}
    await harness.room.fault(vendor="openai", kind="status", status=200, body=answer, times=1)

    assert (await harness.attempt())["status"] == "DONE"

    kept = await harness.run("select tokens_out from generation_stages where stage = 'ideas.draft'")
    assert kept == [{"tokens_out": 400}]
    assert await harness.calls("openai", "responses.create") == 3  # the answer, its repair, and the post


async def test_five_failures_fail_the_job(harness):
    harness.breakers = ClosedBreakers()  # which would keep them from being spent
    await harness.room.fault(vendor="openai", kind="overloaded")

    for _ in range(4):
        assert (await harness.attempt())["status"] == "PENDING"

    assert (await harness.attempt())["status"] == "FAILED"


async def test_a_call_without_an_answer_is_counted_and_given_longer_after_two(harness):
    """It may have been made and billed; otherwise a slow model would time out five times."""
    harness.clients.openai._settings = harness.clients.openai._settings.model_copy(update={"timeout": 0.4})
    harness.openai = harness.openai.model_copy(update={"timeout": 0.4})
    await harness.room.fault(vendor="openai", kind="no_answer", times=2, delay_s=5)

    for spent in (1, 2):
        job = await harness.attempt()
        assert (job["status"], job["failures"], job["kind"]) == ("PENDING", spent, "OutcomeUnknown")

    [noted] = await harness.run("select output from generation_stages where stage = 'ideas.draft_unanswered'")
    assert noted["output"]["times"] == 2
    [used] = await harness.run("select requests from provider_usage where provider = 'openai'")
    assert used["requests"] == 2


@pytest.mark.parametrize(
    ("fault", "wait_s"),
    [
        ({"kind": "throttle", "retry_after_s": 40}, 40),
        ({"kind": "failed", "code": "rate_limit_exceeded", "message": "Please try again in 30s"}, 30),
        ({"kind": "slow_down"}, 1),
    ],
    ids=["429", "429 in body", "ramp"],
)
async def test_a_rate_limit_uses_no_attempt_and_delays_the_fleet(harness, fault, wait_s):
    await harness.room.fault(vendor="openai", times=1, **fault)

    job = await harness.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("PENDING", 0, "RateLimited")
    assert job["wait_s"] > wait_s - 5
    [bucket] = await harness.run(
        "select blocked_until > now() as blocked, slowed from quotas where name = 'openai/gpt-6-luna'"
    )
    assert bucket["blocked"]
    assert (bucket["slowed"] < 1) == (fault["kind"] == "slow_down")


MONEY = ("insufficient_quota", "credit_balance_exhausted", "project_spend_limit_exceeded")
REFUSALS = (
    (401, "invalid_api_key", None),
    (403, "unsupported_country_region_territory", None),
    (404, "model_not_found", None),
    (400, "invalid_json_schema", "text.format.schema"),
    (400, "unsupported_value", "reasoning.effort"),
)


@pytest.mark.parametrize(
    "fault",
    [{"kind": "quota_exhausted", "code": code} for code in MONEY]
    + [
        {"kind": "status", "status": status, "body": {"error": {"message": "no", "code": code, "param": param}}}
        for status, code, param in REFUSALS
    ],
    ids=[*MONEY, "401", "403", "404", "our schema", "our effort"],
)
async def test_failures_that_need_a_person_use_no_attempt(harness, fault):
    """Jobs wait without using attempts until a person pays the bill."""
    await harness.room.fault(vendor="openai", times=1, **fault)

    job = await harness.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert job["kind"] in ("Misconfigured", "ModelUnknown")
    assert await harness.breaker("openai") == {"state": "open", "misconfigured": True}
    assert await harness.calls("openai", "responses.create") == 1


async def test_a_retired_model_is_replaced_where_a_fallback_is_named(harness):
    harness.openai = harness.openai.model_copy(update={"fallback_model": "gpt-5.4-mini"})
    gone = {"error": {"message": "gone", "code": "model_not_found"}}
    await harness.room.fault(vendor="openai", kind="status", status=404, body=gone, model="gpt-6-luna")

    assert (await harness.attempt())["status"] == "DONE"

    [made] = await harness.run("select model, output from generation_stages where stage = 'ideas.draft'")
    assert made["model"] == made["output"]["model"] == "gpt-5.4-mini"
    assert made["output"]["tier"] == "default"


@pytest.mark.parametrize("code", ["invalid_request_error", "context_length_exceeded", "invalid_prompt"])
async def test_a_bad_request_ends_the_blog_with_its_code(harness, code):
    body = {"error": {"message": "no", "code": code, "type": "invalid_request_error"}}
    await harness.room.fault(vendor="openai", kind="status", status=400, body=body)

    job = await harness.attempt()

    assert (job["status"], job["kind"], job["code"]) == ("FAILED", "Rejected", code)
    assert await harness.calls("openai", "responses.create") == 1


async def test_commentary_and_several_parts_are_one_answer(harness):
    """Two messages joined are not JSON: each stage would pay for a repair."""
    await harness.room.fault(vendor="openai", kind="talkative")

    assert (await harness.attempt())["status"] == "DONE"
    assert await harness.calls("openai", "responses.create") == 2


@pytest.mark.parametrize(
    "output", [None, [], [{"type": "reasoning", "summary": []}]], ids=["null", "empty", "thoughts"]
)
async def test_an_answer_without_a_text_is_counted_and_bought_once_more(harness, output):
    """The provider bills it like any other. Five were bought, and those with a null `output` were not in the ledger."""
    await harness.room.fault(vendor="openai", kind="altered", body={"output": output})

    assert (await harness.attempt())["code"] == "empty"
    job = await harness.attempt()

    assert (job["status"], job["kind"], job["code"]) == ("FAILED", "Rejected", "empty")
    assert await harness.calls("openai", "responses.create") == 2
    [kept] = await harness.run("select tokens_in, cost_usd from generation_stages where stage = 'ideas.draft_useless'")
    asked = [entry for entry in await harness.room.requests("openai") if "input_tokens" in entry]
    assert kept["tokens_in"] == sum(entry["input_tokens"] for entry in asked) > 0
    assert kept["cost_usd"] > 0


async def test_a_failure_in_the_body_that_is_our_fault_ends_the_blog(harness):
    await harness.room.fault(vendor="openai", kind="failed", code="invalid_prompt")

    assert (await harness.attempt())["status"] == "FAILED"


TWICE = [
    ("incomplete", "Truncated"),
    ("incomplete_silent", "Truncated"),
    ("refusal", "Refused"),
    ("content_filter", "Refused"),
]


@pytest.mark.parametrize(("kind", "named"), TWICE)
async def test_an_unusable_answer_is_requested_once_more(harness, kind, named):
    """With more room, or in other words: within the same attempt, both paid for, and the blog is made."""
    await harness.room.fault(vendor="openai", kind=kind, times=1)

    job = await harness.attempt()

    assert job["status"] == "DONE"
    assert f"ideas.draft_{named.lower()}" in await harness.checkpoints()


@pytest.mark.parametrize(("kind", "named"), TWICE)
async def test_a_second_unusable_answer_is_final(harness, kind, named):
    await harness.room.fault(vendor="openai", kind=kind)

    job = await harness.attempt()

    assert (job["status"], job["kind"]) == ("FAILED", named)
    assert await harness.calls("openai", "responses.create") == 2


@pytest.mark.parametrize("kind", ["short", "poor"])
async def test_a_poor_post_is_repaired_once_then_refused(harness, kind):
    await harness.room.fault(vendor="openai", kind=kind)

    job = await harness.attempt()

    assert (job["status"], job["kind"], job["code"]) == ("FAILED", "Rejected", "invalid_text")
    assert await harness.calls("openai", "responses.create") == 3  # ideas, draft, repair


async def test_a_poor_post_that_is_repaired_is_published(harness):
    await harness.room.fault(vendor="openai", kind="poor", contains="<idea>", times=1)

    assert (await harness.attempt())["status"] == "DONE"
    assert "content.repair" in await harness.checkpoints()
