"""The table of what goes wrong at OpenAI, row by row, each ending in its action.

The whole pipeline runs against a real database and the simulated vendors; the outcome is settled as a worker does it,
and what counts is what the queue then says.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from anyio import create_task_group

from blogworker.daemon.supervisor import buckets
from blogworker.db.patient import PatientDatabase, Weather
from blogworker.queue.claim import claim
from blogworker.queue.settle import Settler
from blogworker.quota.limiter import Limiter
from blogworker.settings import OpenAISettings, load
from blogworker.stages.cache import StoredCache
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.checkpoint import load as load_checkpoints
from blogworker.stages.pipeline import attempt
from blogworker.stages.work import Work

from .conftest import SITE
from .vendors import KEY, simulated

pytestmark = pytest.mark.anyio


@dataclass
class Kitchen:
    """A queue with one blog in it, and all that makes it."""

    database: Any
    vendors: Any
    room: Any
    worker_id: UUID
    openai: OpenAISettings
    limiter: Limiter

    async def run(self, text: str, *values: object) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []

    async def attempt(self) -> dict[str, Any]:
        """One attempt, settled; the job as the queue has it then."""
        await self.run("update blog_generations set status = 'PENDING' where status = 'SCHEDULED'")
        [taken] = (await claim(self.database, self.worker_id, slots=1, site_window=1)).claims
        saved = (await load_checkpoints(self.database, [taken.job_id]))[taken.job_id]
        checkpoints = StoredCheckpoints(self.database, self.worker_id, taken, saved)
        cache = StoredCache(self.database, product_s=60, ideas_s=60)
        work = Work(taken, checkpoints, self.vendors, self.limiter, self.openai, cache)
        outcome = await attempt(work, retry_base_s=1, retry_cap_s=60)
        settler = Settler(PatientDatabase(self.database, Weather()), self.worker_id)
        async with create_task_group() as tasks:
            tasks.start_soon(settler.run)
            await settler.settle(taken, outcome)
            tasks.cancel_scope.cancel()
        return await self.job()

    async def job(self) -> dict[str, Any]:
        [row] = await self.run(
            "select g.status, g.failures, g.stage, g.run_at - now() as wait, e.kind, e.code, e.message "
            "from blog_generations as g left join generation_errors as e on e.id = "
            "(select max(id) from generation_errors where generation_id = g.id)"
        )
        return row

    async def calls(self) -> int:
        return len(await self.room.operations("openai"))

    async def checkpoints(self) -> set[str]:
        return {row["stage"] for row in await self.run("select stage from generation_stages")}


@pytest.fixture
async def kitchen(database, worker_id, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://unused")
    await database.execute(
        "queue/register_worker", name="w", worker_id=worker_id, host="h", pid=1, version="0", concurrency=1, lease_s=600
    )  # fmt: skip
    settings = load({"openai": {"api_key": KEY, "rpm": 60_000, "tpm": 60_000_000, "fallback_model": "gpt-5.4-mini"}})
    async with simulated() as (vendors, room):
        limiter = Limiter(database, buckets(settings))
        await limiter.open()
        made = Kitchen(
            database, vendors, room, worker_id, settings.openai.model_copy(update={"fallback_model": None}), limiter
        )
        await made.run(
            "insert into blog_generations (instance_id, source_type, source_id) values (%s, 'keyword', 'curtains')",
            SITE,
        )
        yield made


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
async def test_what_passes_is_tried_again_with_backoff(kitchen, fault, kind):
    """One attempt is spent, and the next one makes the post."""
    await kitchen.room.fault(vendor="openai", times=1, **fault)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("SCHEDULED", 1, kind)
    assert job["wait"].total_seconds() > 0
    assert (await kitchen.attempt())["status"] == "DONE"


async def test_five_failures_are_enough(kitchen):
    await kitchen.room.fault(vendor="openai", kind="overloaded")

    for _ in range(4):
        assert (await kitchen.attempt())["status"] == "SCHEDULED"

    assert (await kitchen.attempt())["status"] == "FAILED"


async def test_a_call_without_an_answer_is_counted_and_given_longer_after_two(kitchen):
    """It may have been made and be billed; a slow model would else be cut off five times."""
    kitchen.vendors.openai._settings = kitchen.vendors.openai._settings.model_copy(update={"timeout": 0.4})
    kitchen.openai = kitchen.openai.model_copy(update={"timeout": 0.4})
    await kitchen.room.fault(vendor="openai", kind="no_answer", times=2, delay_s=5)

    for spent in (1, 2):
        job = await kitchen.attempt()
        assert (job["status"], job["failures"], job["kind"]) == ("SCHEDULED", spent, "OutcomeUnknown")

    [noted] = await kitchen.run("select output from generation_stages where stage = 'ideas.draft_unanswered'")
    assert noted["output"]["times"] == 2
    [used] = await kitchen.run("select requests from provider_usage where provider = 'openai'")
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
async def test_a_rate_limit_costs_no_attempt_and_holds_the_fleet(kitchen, fault, wait_s):
    await kitchen.room.fault(vendor="openai", times=1, **fault)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("SCHEDULED", 0, "RateLimited")
    assert job["wait"].total_seconds() > wait_s - 5
    [bucket] = await kitchen.run(
        "select blocked_until > now() as blocked, slowed from quotas where name = 'openai/gpt-6-luna'"
    )
    assert bucket["blocked"]
    assert (bucket["slowed"] < 1) == (fault["kind"] == "slow_down")


MONEY = ("insufficient_quota", "credit_balance_exhausted", "project_spend_limit_exceeded")
REFUSALS = ((401, "invalid_api_key"), (403, "unsupported_country_region_territory"), (404, "model_not_found"))


@pytest.mark.parametrize(
    "fault",
    [{"kind": "quota_exhausted", "code": code} for code in MONEY]
    + [
        {"kind": "status", "status": status, "body": {"error": {"message": "no", "code": code}}}
        for status, code in REFUSALS
    ],
    ids=[*MONEY, "401", "403", "404"],
)
async def test_what_a_person_must_mend_costs_no_attempt(kitchen, fault):
    """Jobs stay; nothing is burnt while somebody pays the bill."""
    await kitchen.room.fault(vendor="openai", times=1, **fault)

    job = await kitchen.attempt()

    assert (job["status"], job["failures"], job["kind"]) == ("SCHEDULED", 0, "Misconfigured")
    assert await kitchen.calls() == 1


async def test_a_retired_model_is_replaced_where_a_fallback_is_named(kitchen):
    kitchen.openai = kitchen.openai.model_copy(update={"fallback_model": "gpt-5.4-mini"})
    gone = {"error": {"message": "gone", "code": "model_not_found"}}
    await kitchen.room.fault(vendor="openai", kind="status", status=404, body=gone, model="gpt-6-luna")

    assert (await kitchen.attempt())["status"] == "DONE"

    [made] = await kitchen.run("select model, output from generation_stages where stage = 'ideas.draft'")
    assert made["model"] == made["output"]["model"] == "gpt-5.4-mini"
    assert made["output"]["tier"] == "default"


@pytest.mark.parametrize("code", ["invalid_request_error", "context_length_exceeded", "invalid_prompt"])
async def test_a_bad_request_ends_the_blog_with_its_code(kitchen, code):
    body = {"error": {"message": "no", "code": code, "type": "invalid_request_error"}}
    await kitchen.room.fault(vendor="openai", kind="status", status=400, body=body)

    job = await kitchen.attempt()

    assert (job["status"], job["kind"], job["code"]) == ("FAILED", "Rejected", code)
    assert await kitchen.calls() == 1


async def test_a_failure_in_the_body_that_is_our_fault_ends_the_blog(kitchen):
    await kitchen.room.fault(vendor="openai", kind="failed", code="invalid_prompt")

    assert (await kitchen.attempt())["status"] == "FAILED"


TWICE = [
    ("incomplete", "Truncated"),
    ("incomplete_silent", "Truncated"),
    ("refusal", "Refused"),
    ("content_filter", "Refused"),
]


@pytest.mark.parametrize(("kind", "named"), TWICE)
async def test_an_unusable_answer_has_one_other_try(kitchen, kind, named):
    """With more room, or in other words: within the same attempt, both paid for, and the blog is made."""
    await kitchen.room.fault(vendor="openai", kind=kind, times=1)

    job = await kitchen.attempt()

    assert job["status"] == "DONE"
    assert f"ideas.draft_{named.lower()}" in await kitchen.checkpoints()


@pytest.mark.parametrize(("kind", "named"), TWICE)
async def test_a_second_unusable_answer_is_final(kitchen, kind, named):
    await kitchen.room.fault(vendor="openai", kind=kind)

    job = await kitchen.attempt()

    assert (job["status"], job["kind"]) == ("FAILED", named)
    assert await kitchen.calls() == 2


@pytest.mark.parametrize("kind", ["short", "poor"])
async def test_a_poor_post_is_repaired_once_then_refused(kitchen, kind):
    await kitchen.room.fault(vendor="openai", kind=kind)

    job = await kitchen.attempt()

    assert (job["status"], job["kind"], job["code"]) == ("FAILED", "Rejected", "unfit_text")
    assert await kitchen.calls() == 3  # ideas, draft, repair


async def test_a_poor_post_that_is_repaired_is_published(kitchen):
    await kitchen.room.fault(vendor="openai", kind="poor", contains="<idea>", times=1)

    assert (await kitchen.attempt())["status"] == "DONE"
    assert "content.repair" in await kitchen.checkpoints()
