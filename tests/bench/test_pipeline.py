"""The benches of whole blogs, with few of them."""

import pytest

from blogworker.bench import memory, statements
from blogworker.bench.memory import Sample, growth_mb
from blogworker.bench.pipeline import Plan, measure

pytestmark = [pytest.mark.anyio, pytest.mark.proof]

JOBS = 12
COSTS = ("blogs_per_s", "worker_cpu_ms", "statements", "calls", "connections", "peak_mb")


async def test_both_workers_make_each_blog_once_with_the_same_work_outside() -> None:
    """The ratio says what the guarantees cost only if nothing else differs."""
    ours, bare, ratio = await measure(Plan(jobs=JOBS, workers=1, slots=6, speed=100), progress=lambda _: None)

    for figure in (ours, bare):
        assert (figure.done, figure.posts, figure.twice, figure.published_twice) == (JOBS, JOBS, 0, 0)
        assert all(getattr(figure, name) > 0 for name in COSTS), figure
    assert bare.statements == pytest.approx(2, abs=0.8)  # a claim and an end; the window cuts some in half
    assert ours.statements is not None
    assert ours.statements > 10
    assert ratio.statements == pytest.approx(ours.statements / (bare.statements or 1))
    assert ratio.calls == pytest.approx(1, abs=0.3)


async def test_each_statement_of_a_blog_is_counted_by_its_name() -> None:
    """A statement whose text is not recognised would be missing from the sum."""
    costs = {cost.statement: cost for cost in await statements.measure(jobs=JOBS, slots=6, speed=100)}

    once = ("stages/claim_title", "stages/claim_names", "spend/hold_budget", "stages/begin_single_flight")
    assert [costs[name].calls for name in once] == [1, 1, 1, 1]
    assert costs["stages/finish_stage"].calls == 5
    assert costs["queue/claim"].calls > 0.1
    assert costs["all"].ms == pytest.approx(sum(c.ms for c in costs.values()) / 2, abs=0.1)


async def test_the_memory_of_a_worker_is_read_at_each_moment_of_its_life() -> None:
    (found,) = await memory.measure(jobs=JOBS, slots=[6], speed=100, progress=lambda _: None)

    assert (found.slots, found.done, found.twice) == (6, JOBS, 0)
    assert 10 < found.started_mb <= found.ready_mb <= found.peak_mb
    assert found.idle_mb <= found.peak_mb


def test_growth_is_the_slope_of_all_samples() -> None:
    samples = [Sample(100, 90.0), Sample(200, 90.5), Sample(300, 91.0)]

    assert growth_mb(samples) == pytest.approx(5)
    assert growth_mb(samples[:1]) is None
    assert growth_mb([]) is None
