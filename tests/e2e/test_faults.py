"""Every fault of the three vendors under real workers: all blogs done, nothing made twice."""

import pytest

from blogworker.bench.faults import Plan, measure

pytestmark = pytest.mark.anyio

BLOGS = 40


@pytest.mark.proof
@pytest.mark.timeout(600)
async def test_every_kind_of_fault_loses_no_blog_and_doubles_none() -> None:
    """The small form of `blogworker bench faults`; by hand only what the docs tell a person to do."""
    plan = Plan(blogs=BLOGS, sites=8, workers=2, concurrency=10, speed=20, within_s=270)

    found = await measure(plan, progress=print)

    assert found.done == found.posts == found.drafts == BLOGS
    assert (found.duplicate_drafts, found.duplicate_posts) == (0, 0)
    met = {(met.vendor, met.kind) for met in found.met}
    assert {vendor for vendor, _ in met} == {"openai", "replicate", "wix"}
    assert len(met) > 30
    lost = [one for one in found.met if one.operation == "predictions.create" and one.kind == "reset_after"]
    assert sum(one.wasted for one in lost) == 0, "a picture whose answer was lost was paid for again"
