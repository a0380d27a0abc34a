"""A worker that lives through a failover to a standby that was behind."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from anyio import Event, fail_after, sleep

from blogworker.daemon.attempt import Enter
from blogworker.daemon.claimer import Claimer
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.lease import LeaseEnded, LeaseTaken
from blogworker.quota.breaker import Breakers
from blogworker.settings import DatabaseSettings, load

from .bench import Bench, Stage, until

pytestmark = pytest.mark.anyio

PROMOTED = "update database_history set timeline = 0, written_by = pg_current_xact_id()"
UNCLAIMED = """
    update blog_generations
    set status = 'PENDING', attempt = 0, worker_id = null, claimed_at = null, charged = null, line = 0
"""


async def lose(database: Database, *statements: str, promoted: bool = True) -> None:
    """Promote a standby that has not received what these statements undo."""
    async with database.connection() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        for statement in (*statements, *([PROMOTED] if promoted else [])):
            await connection.execute(statement.encode())


async def test_an_attempt_whose_claim_was_lost_and_made_again_goes_on(bench: Bench, database: Database) -> None:
    """The same worker claims the same attempt again: both would pass every fence. The first has paid for its work."""
    (job_id,) = await bench.add("a")
    stage = Stage()

    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(1)
        await lose(database, UNCLAIMED, "update sites set ready = true, ready_at = now()")
        with fail_after(20):
            while await bench.statuses() != ["PROCESSING"]:
                await sleep(0.02)
        assert (len(stage.started), stage.running, worker.in_flight) == (1, 1, 1)
        stage.gate(job_id).set()
        await until(lambda: worker.in_flight == 0)

    assert (await bench.statuses(), worker.ended.outcomes) == (["DONE"], {"DONE": 1})


async def test_an_attempt_that_ends_while_it_is_claimed_again_is_not_run_again(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has paid for since is not in the checkpoints that the claim has read."""
    (job_id,) = await bench.add("a")
    stage, claimed, proceed = Stage(), Event(), Event()

    take, later_claims = Claimer.take, 0

    async def slow(claimer: Claimer, *given: Any, **named: Any) -> Any:
        nonlocal later_claims
        later_claims += proceed.is_set()
        found = await take(claimer, *given, **named)
        if stage.started and found[0].claims:
            claimed.set()
            await proceed.wait()
        return found

    monkeypatch.setattr(Claimer, "take", slow)  # before the worker starts, or one claim on its way is not held up
    async with bench.working(stage, slots=2) as (worker, _):
        await stage.until_started(1)
        await lose(database, UNCLAIMED, "update sites set ready = true, ready_at = now()")
        with fail_after(20):
            await claimed.wait()
        stage.gate(job_id).set()
        await until(lambda: worker.in_flight == 0)
        proceed.set()
        worker.wake()
        await until(lambda: later_claims > 0)

    assert (len(stage.started), await bench.statuses(), worker.ended.outcomes) == (1, ["DONE"], {"DONE": 1})


async def _pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: Enter) -> Outcome:
    return Done()


@pytest.mark.parametrize(("promoted", "error"), [(True, LeaseEnded), (False, LeaseTaken)])
async def test_a_registration_that_was_lost_is_made_again(
    database: Database, database_settings: DatabaseSettings, promoted: bool, error: type[LeaseEnded]
) -> None:
    """Nobody has taken its name, so the process must not exit for that."""
    settings = load({"database": {"url": database_settings.url}, "worker": {"name": "w"}})
    incarnation = Incarnation(settings, database, DatabaseHealth(), _pipeline, gate=Gate(Breakers(database), "wait"))
    async with incarnation._lease_connection:
        await incarnation._register()
        await lose(database, "delete from workers", promoted=promoted)

        with pytest.raises(LeaseEnded) as ended:
            await incarnation._extend()

    assert type(ended.value) is error
