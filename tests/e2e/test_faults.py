"""Every fault of the three providers with real workers: all jobs are DONE, and nothing is created twice."""

import pytest

from blogworker.bench.faults import Plan, measure

pytestmark = pytest.mark.anyio

JOBS = 40


@pytest.mark.proof
@pytest.mark.timeout(600)
async def test_no_fault_loses_or_doubles_a_job() -> None:
    """A short `blogworker bench faults`."""
    plan = Plan(jobs=JOBS, sites=8, workers=2, concurrency=10, speed=20, timeout_s=500)

    found = await measure(plan, progress=print)

    assert found.done == found.posts == found.drafts == JOBS
    assert (found.duplicate_drafts, found.duplicate_posts) == (0, 0)
    kinds = {(met.vendor, met.kind) for met in found.met}
    assert {provider for provider, _ in kinds} == {"openai", "replicate", "wix"}
    assert len(kinds) > 30
    lost = [met for met in found.met if met.operation == "predictions.create" and met.kind == "reset_after"]
    assert sum(met.wasted for met in lost) == 0, "an image whose answer was lost was paid for again"
