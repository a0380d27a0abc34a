"""A running job waits before a paused stage: what is paid for stays, no attempt is used, and it continues there."""

from typing import Any

import pytest

from blogworker.queue.job import Stage

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("paused", list(Stage))
async def test_a_job_stops_before_a_paused_stage_and_continues_with_it(harness: Any, paused: Stage) -> None:
    harness.paused = frozenset({paused.value})

    waiting = await harness.attempt()
    job_id = waiting["id"]

    assert (waiting["status"], waiting["stage"], waiting["failures"]) == ("PENDING", paused.value, 0)
    made = await harness.run("select stage from generation_stages where generation_id = %s", job_id)
    finished = [row["stage"] for row in made if "." not in row["stage"]]
    assert sorted(finished) == sorted(list(Stage)[: list(Stage).index(paused)])
    assert "paused" in waiting["error"]

    harness.paused = frozenset()
    await harness.run("update blog_generations set run_at = now(), line = stage_number(stage) where id = %s", job_id)
    done = await harness.attempt()

    assert (done["status"], done["failures"]) == ("DONE", 0)
    [cost] = await harness.run(
        "select count(*) as calls from generation_stages where generation_id = %s and stage = 'content.draft'", job_id
    )
    assert cost["calls"] == 1
