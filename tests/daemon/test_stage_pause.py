"""A pause of everything or of one stage: workers claim nothing for it, and continue at once when it ends."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.errors import SettingsError
from blogworker.ops.explain import explain_job
from blogworker.ops.pauses import list_pauses, pause_stages, resume_stages
from blogworker.queue.job import Claim, Done, Outcome, Stage
from blogworker.quota.breaker import Breakers
from blogworker.settings import Settings, load
from blogworker.spend.budget import Budget, check_budgets

pytestmark = pytest.mark.anyio

SLOTS, WITHIN_S = 5, 30.0


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load({"database": {"url": database_url}, "worker": {"concurrency": SLOTS, "name": "w", "poll_interval": 60}})


class Counted:
    """A pipeline that notes at which stage its jobs begin."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    async def __call__(self, worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        self.stages.append(claim.stage)
        return Done()


async def gate_of(database: Database) -> Gate:
    gate = Gate(Breakers(database), "wait")
    gate.apply(await check_budgets(database))
    return gate


async def insert(database: Database, stage: Stage, number: int) -> None:
    async with database.connection() as connection:
        await connection.execute(
            b"insert into blog_generations (instance_id, source_type, source_id, stage) "
            b"select 's', 'keyword', 'k', %s from generate_series(1, %s)",
            (stage.value, number),
        )


async def test_nothing_is_claimed_while_everything_is_paused(database: Database, settings: Settings) -> None:
    await pause_stages(database, list(Stage), reason="an incident")
    await insert(database, Stage.SOURCE, 20)
    pipeline = Counted()
    incarnation = Incarnation(settings, database, DatabaseHealth(), pipeline, gate=await gate_of(database))

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: incarnation.run(until_empty=False))
        for _ in range(30):
            incarnation.worker.wake()
            await sleep(0.05)
        assert pipeline.stages == []

        await resume_stages(database, list(Stage))

        with fail_after(WITHIN_S):
            while len(pipeline.stages) < 20:
                await sleep(0.01)
        incarnation.drain(0)


async def test_other_stages_continue(database: Database, settings: Settings) -> None:
    await pause_stages(database, [Stage.SOURCE], reason="r")
    await insert(database, Stage.SOURCE, 5)
    await insert(database, Stage.PUBLISH, 5)
    pipeline = Counted()
    incarnation = Incarnation(settings, database, DatabaseHealth(), pipeline, gate=await gate_of(database))

    with fail_after(WITHIN_S):
        await incarnation.run(until_empty=True)

    assert pipeline.stages == ["publish"] * 5


async def test_a_waiting_job_says_that_its_stage_is_paused(database: Database) -> None:
    await insert(database, Stage.IMAGE, 1)
    await pause_stages(database, [Stage.IMAGE], reason="a bad model")

    found = await explain_job(database, 1)

    assert found is not None
    assert found.summary == "waits: stage image is paused: a bad model"
    assert "blogworker resume" in found.advice
    assert found.starts_in_s is None


async def test_a_pause_is_changed_and_ended(database: Database) -> None:
    await pause_stages(database, [Stage.IMAGE, Stage.SOURCE], reason="first")
    await pause_stages(database, [Stage.IMAGE], reason="second")
    assert [(each.stage, each.reason) for each in await list_pauses(database)] == [
        ("source", "first"),
        ("image", "second"),
    ]
    assert [each.stage for each in await resume_stages(database, [Stage.IMAGE, Stage.PUBLISH])] == ["source"]
    with pytest.raises(SettingsError):
        await resume_stages(database, [Stage.IMAGE])
    with pytest.raises(SettingsError):
        await pause_stages(database, [Stage.IMAGE], reason="a\0b")


async def test_a_budget_that_ends_during_a_pause_does_not_end_the_pause(database: Database) -> None:
    gate = Gate(Breakers(database), "wait")
    gate.apply(Budget(paused=frozenset({"image"})))
    gate.stop_spending("no room")
    assert gate.open_stages == (Stage.PUBLISH,)

    assert gate.apply(Budget(paused=frozenset({"image"}))), "the budget has room again"
    assert Stage.IMAGE not in gate.open_stages
    assert not gate.apply(Budget(paused=frozenset({"image", "ideas"})))
    assert gate.apply(Budget(paused=frozenset({"ideas"}))), "a stage continues"
