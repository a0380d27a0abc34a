"""The short form of `blogworker bench storm`: workers that are killed again and again, from without and by a blog."""

import pytest

from blogworker.bench.chaos import Verdict
from blogworker.bench.kills import CULPRIT_SPEED, Plan, culprit, storm

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def broken(verdict: Verdict) -> list[str]:
    return [f"{promise.name}: {promise.evidence}" for promise in verdict.promises if not promise.kept]


@pytest.mark.timeout(120)
async def test_blogs_are_made_while_their_workers_are_killed() -> None:
    """Every two seconds for fourteen: none is lost, none FAILED, none made twice, and nobody helps."""
    verdict = await storm(Plan(blogs=30, sites=6, kills_for_s=14, within_s=60), say=print)

    assert broken(verdict) == []
    assert verdict.facts["workers killed"] > 0, "what was never killed proves nothing"


@pytest.mark.timeout(180)
async def test_a_blog_that_kills_its_workers_is_the_only_one_that_fails() -> None:
    """Those beside it die with its workers too, and are as innocent as before."""
    verdict = await culprit(Plan(blogs=20, sites=10, speed=CULPRIT_SPEED, within_s=150), say=print)

    assert broken(verdict) == []
