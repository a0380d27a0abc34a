"""How often notifications wake the claim loop."""

from math import inf

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from blogworker.daemon import incarnation as module
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.ticker import every
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.claim import Claimed
from blogworker.quota.breaker import Breakers
from blogworker.settings import DatabaseSettings, load

from .bench import Bench, Stage, until
from .test_lost_history import _pipeline

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("finds_jobs", [True, False])
async def test_a_wake_up_that_finds_no_job_delays_the_next(
    database: Database, database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch, finds_jobs: bool
) -> None:
    """A job waited for up to a tenth of a second if another one had been enqueued just before."""
    monkeypatch.setattr(module, "WAKE_S", inf)
    settings = load({"database": {"url": database_settings.url}, "worker": {"name": "w"}})
    incarnation = Incarnation(settings, database, DatabaseHealth(), _pipeline, gate=Gate(Breakers(database), "wait"))
    wakes: list[int] = []
    monkeypatch.setattr(incarnation.worker, "wake", lambda: wakes.append(1))
    found = Claimed(claims=(object(),) if finds_jobs else (), look_again=True)  # type: ignore[arg-type]

    async with create_task_group() as tasks:
        tasks.start_soon(every, "wake", 0, incarnation._wake_when_set)
        for _ in range(20):
            incarnation._work_flag.set()
            for _ in range(20):
                await checkpoint()
            incarnation._note_claim(found)
        tasks.cancel_scope.cancel()

    assert len(wakes) == (20 if finds_jobs else 1)


async def test_a_job_starts_before_its_site_leaves_the_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is another round trip, for which the job need not wait."""
    stage = Stage()
    seen: list[tuple[int, int]] = []

    async def retire(database: Database, found: Claimed) -> None:
        seen.append((len(found.claims), len(stage.started)))

    monkeypatch.setattr("blogworker.daemon.claimer.retire", retire)
    async with bench.working(stage) as (worker, _):
        await bench.add("a")
        worker.wake()
        await until(lambda: (1, 1) in seen or (1, 0) in seen)

    assert (1, 1) in seen
