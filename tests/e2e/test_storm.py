"""A short `blogworker bench storm`: workers that are killed again and again."""

import pytest

from blogworker.bench.chaos import Verdict
from blogworker.bench.storm import Plan, kill_workers

pytestmark = [pytest.mark.anyio, pytest.mark.proof]


def broken(verdict: Verdict) -> list[str]:
    return [f"{promise.name}: {promise.evidence}" for promise in verdict.promises if not promise.kept]


@pytest.mark.timeout(300)
async def test_all_jobs_are_done_while_their_workers_are_killed() -> None:
    """A kill every two seconds: no job is lost, FAILED or published twice, and nobody retries one."""
    verdict = await kill_workers(Plan(jobs=30, sites=6, kills_for_s=14, timeout_s=60), progress=print)

    assert broken(verdict) == []
    assert verdict.facts["workers killed"] > 0, "without a kill the test proves nothing"
