"""How often notifications wake the claim loop."""

from math import inf

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

from blogworker.daemon import wakeups
from blogworker.daemon.ticker import every
from blogworker.daemon.wakeups import WakeUps
from blogworker.db.pool import Database
from blogworker.queue.claim import Claimed

from .bench import Bench, Stage, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("finds_jobs", [True, False])
async def test_a_wake_up_that_finds_no_job_delays_the_next(monkeypatch: pytest.MonkeyPatch, finds_jobs: bool) -> None:
    """A job waited for up to a tenth of a second if another one had been enqueued just before."""
    monkeypatch.setattr(wakeups, "WAKE_S", inf)
    wakes: list[int] = []
    wake_ups = WakeUps(lambda: wakes.append(1))

    async with create_task_group() as tasks:
        tasks.start_soon(every, "wake", 0, wake_ups.wake_once)
        for _ in range(20):
            wake_ups.work.set()
            for _ in range(20):
                await checkpoint()
            if finds_jobs:
                wake_ups.note_found()
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
