"""Workers that run some stages only, or have slots for each stage."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from anyio import sleep

from blogworker.daemon.attempt import Enter
from blogworker.queue.job import Claim, Done, Outcome, Stage, Wait
from blogworker.stages.checkpoint import StoredCheckpoints

from .bench import Bench, until

pytestmark = pytest.mark.anyio

GROUPS = {"source": "content", "ideas": "content", "content": "content", "image": "image", "publish": "publish"}
ENDS = "select status, stage, failures, error from blog_generations order by id"


class Stages:
    """Runs the stages of each job, and notes how many run at once."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.ran: Counter[str] = Counter()

    async def __call__(self, claim: Claim, saved: Mapping[str, Any], enter: Enter) -> Outcome:
        checkpoints = StoredCheckpoints(self.bench.database, self.bench.worker_id, claim, saved)
        stages = list(Stage)
        for stage in stages[stages.index(claim.stage) :]:
            if not enter(stage):
                return Wait(0.0, f"waits for a slot of stage {stage}")
            group = GROUPS[stage]
            self.now[group] += 1
            self.most[group] = max(self.most[group], self.now[group])
            self.ran[stage] += 1
            await sleep(0.001)
            await checkpoints.save(stage, {})
            self.now[group] -= 1
        return Done()


async def rows(bench: Bench, text: str) -> list[Any]:
    async with bench.database.connection() as connection:
        return [tuple(row.values()) for row in await (await connection.execute(text.encode())).fetchall()]


async def test_no_stage_runs_more_jobs_than_its_slots_and_all_end(bench):
    stages = Stages(bench)
    await bench.add(*[f"site-{n % 5}" for n in range(40)])

    async with bench.working(stages, by_stage="content=4,image=2,publish=1") as (worker, _):
        await until(lambda: worker.ended.outcomes["DONE"] == 40)

    assert stages.most == {"content": 4, "image": 2, "publish": 1}
    assert set(stages.ran.values()) == {40}, "no stage runs twice because its job waited for a slot"
    assert await rows(bench, ENDS) == [("DONE", "publish", 0, None)] * 40


async def test_workers_for_different_stages_share_the_jobs(bench):
    writer, rest = Stages(bench), Stages(bench)
    await bench.add(*[f"site-{n % 3}" for n in range(12)])

    async with bench.working(writer, slots=4, stages=("source", "ideas", "content")):
        await until(lambda: writer.ran["content"] == 12 and not writer.now.total())
        async with bench.working(rest, slots=4, stages=("image", "publish")) as (worker, _):
            await until(lambda: worker.ended.outcomes["DONE"] == 12)

    assert set(writer.ran) == {"source", "ideas", "content"}
    assert set(rest.ran) == {"image", "publish"}
    assert await rows(bench, ENDS) == [("DONE", "publish", 0, None)] * 12


async def test_a_stage_that_no_live_worker_runs_is_named(bench):
    await bench.add("shop")
    await rows(bench, """update workers set stats = '{"needs": {"stages": ["image", "publish"]}}' returning 1""")

    assert await rows(bench, "select kind, reason from v_waiting") == [("unserved", "no live worker runs stage source")]
    [(known, waits_for)] = await rows(
        bench, "select expected_start is not null, waits_for from enqueue_blog('shop', 'keyword', 'k')"
    )
    assert (known, waits_for) == (False, "no live worker runs stage source")
