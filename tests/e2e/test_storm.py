"""The short form of `blogworker bench storm`: workers that are killed again and again."""

import pytest

from blogworker.bench.chaos import Verdict
from blogworker.bench.kills import Plan, storm

pytestmark = [pytest.mark.anyio, pytest.mark.proof]


def broken(verdict: Verdict) -> list[str]:
    return [f"{promise.name}: {promise.evidence}" for promise in verdict.promises if not promise.kept]


@pytest.mark.timeout(300)
async def test_blogs_are_made_while_their_workers_are_killed() -> None:
    """Every two seconds for fourteen: none is lost, none FAILED, none made twice, and nobody helps."""
    verdict = await storm(Plan(blogs=30, sites=6, kills_for_s=14, within_s=60), say=print)

    assert broken(verdict) == []
    assert verdict.facts["workers killed"] > 0, "what was never killed proves nothing"
