"""The total budget: while it is exhausted a worker claims nothing; when it is raised the worker continues at once."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from anyio import create_task_group, fail_after, sleep
from structlog.testing import capture_logs

from blogworker.daemon.claimer import EMPTY_WITHIN_S
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.process import warn_unpriced
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Claim, Done, Outcome, OverBudget
from blogworker.quota.breaker import Breakers
from blogworker.settings import Settings, load

pytestmark = pytest.mark.anyio

JOBS, SLOTS = 200, 5
WITHIN = 45.0
NO_ROOM = "the fleet's budget has no room for a job"


def open_gate(database: Database) -> Gate:
    return Gate(Breakers(database), "wait")


class Till:
    """A pipeline that is refused while the till is closed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.refused = self.done = 0

    async def __call__(self, worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        async with self.database.connection() as connection:
            cursor = await connection.execute("select stopped_until > now() as shut from fleet_budget")
            if (await cursor.fetchone())["shut"] and claim.stage != "publish":  # which is free
                self.refused += 1
                return OverBudget(NO_ROOM, everywhere=True)
        self.done += 1
        return Done()

    async def sql(self, text: str, *parameters: object) -> Any:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode(), parameters or None)
            return next(iter((await cursor.fetchone()).values())) if cursor.description else None

    async def until(self, fact) -> None:
        with fail_after(WITHIN):
            while not fact():
                await sleep(0.01)


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load({"database": {"url": database_url}, "worker": {"concurrency": SLOTS, "name": "w", "poll_interval": 60}})


@pytest.fixture
async def till(database: Database) -> Till:
    till = Till(database)
    await database.execute("bench/insert_jobs", instance_id="site", jobs=JOBS)
    return till


async def shut(till: Till, for_: str = "1 day") -> None:
    await till.sql("update fleet_budget set day_usd = 1")  # apart: a budget that changes opens the gate
    await till.sql("update fleet_budget set stopped_until = now() + %s::interval, stop_reason = %s", for_, NO_ROOM)


async def test_an_exhausted_budget_stops_every_claim_until_it_is_raised(till: Till, settings: Settings) -> None:
    """A backlog must not be taken and put back a thousand times a second until midnight."""
    await shut(till)
    incarnation = Incarnation(settings, till.database, DatabaseHealth(), till, gate=open_gate(till.database))

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: incarnation.run(until_empty=False))
        await till.until(lambda: incarnation.worker._gate.budget.stopped_s > 0 and not incarnation.worker.in_flight)
        for _ in range(20):
            incarnation.worker.wake()
            await sleep(0.01)
        assert await till.sql("select sum(attempt)::int from blog_generations") <= 2 * SLOTS
        assert await till.sql("select count(*)::int from blog_generations where status = 'PENDING'") == JOBS

        await till.sql("update fleet_budget set day_usd = 2")

        await till.until(lambda: till.done == JOBS)
        incarnation.drain(0)
    assert till.refused <= 2 * SLOTS


async def test_run_until_empty_does_not_wait_for_tomorrows_budget(till, settings) -> None:
    await shut(till)

    with fail_after(WITHIN):
        assert await Incarnation(settings, till.database, DatabaseHealth(), till, gate=open_gate(till.database)).run(
            until_empty=True
        )

    assert till.done == 0


async def test_run_until_empty_publishes_paid_posts_despite_an_exhausted_budget(till: Till, settings: Settings) -> None:
    """A post whose publishing is tried again in a moment costs nothing more."""
    await shut(till)
    await till.sql(
        "update blog_generations set stage = 'publish', status = 'SCHEDULED', run_at = now() + interval '2 seconds' "
        "where id = (select min(id) from blog_generations)"
    )

    with fail_after(WITHIN):
        await Incarnation(settings, till.database, DatabaseHealth(), till, gate=open_gate(till.database)).run(
            until_empty=True
        )

    assert till.done == 1


async def test_run_until_empty_waits_for_a_budget_that_renews_in_a_moment(till, settings) -> None:
    await shut(till, "1 second")
    assert EMPTY_WITHIN_S > 1

    with fail_after(WITHIN):
        await Incarnation(settings, till.database, DatabaseHealth(), till, gate=open_gate(till.database)).run(
            until_empty=True
        )

    assert till.done == JOBS


async def test_a_worker_resumes_sites_that_are_due(till: Till, settings: Settings) -> None:
    await till.sql("update sites set paused_at = now(), resume_at = now() + interval '1 second'")

    with fail_after(WITHIN):
        await Incarnation(settings, till.database, DatabaseHealth(), till, gate=open_gate(till.database)).run(
            until_empty=True
        )

    assert till.done == JOBS


def test_models_without_a_price_are_named_once_when_a_worker_starts(settings: Settings, monkeypatch) -> None:
    """Their cost is not counted, so no budget limits them."""
    monkeypatch.setenv("BLOGWORKER_CONTENT_MODEL", "gpt-9")
    unpriced = load({"database": {"url": "postgresql://unused/d"}})

    with capture_logs() as logs:
        warn_unpriced(settings)
        warn_unpriced(unpriced)

    assert [(line["event"], line["model"]) for line in logs] == [("model_unpriced", "gpt-9")]
