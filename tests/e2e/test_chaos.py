"""A short `make chaos`: faults on real processes for some seconds, then an audit of every promise."""

from pathlib import Path

import pytest

from blogworker.bench.chaos import Plan, run
from blogworker.bench.chaos.plan import Kind, schedule

pytestmark = pytest.mark.anyio

# All faults fall within seconds, beside other tests: where a process needs ten seconds to start, a pause is long. That
# claims never stop for good is proved all the same: each job has to be DONE.
SHORT = Plan(
    jobs=60,
    sites=6,
    seconds=15,
    seed=7,
    concurrency=6,
    speed=40,
    kill_every_s=3,
    burst_sites=2_000,
    longest_pause_s=150,
)


@pytest.mark.proof
@pytest.mark.timeout(300)
async def test_every_promise_is_kept_while_faults_are_injected(tmp_path: Path) -> None:
    """All kinds of faults at the same time, while jobs are submitted in every way."""
    verdict = await run(SHORT, logs=tmp_path, progress=print)

    assert [f"{promise.name}: {promise.evidence}" for promise in verdict.promises if not promise.kept] == []
    assert [kind for kind in Kind if not verdict.facts.get(kind.value)] == [], "a fault without effect proves nothing"


def test_the_same_seed_gives_the_same_schedule() -> None:
    """So that a failure can be repeated."""
    assert schedule(SHORT) == schedule(SHORT)
    assert schedule(SHORT) != schedule(Plan(jobs=40, sites=5, seconds=15, seed=8))


@pytest.mark.parametrize("kind", Kind)
def test_a_short_schedule_has_every_kind(kind: Kind) -> None:
    for seed in range(50):
        faults = schedule(Plan(jobs=40, sites=5, seconds=15, seed=seed))
        assert kind in {fault.kind for fault in faults}
        assert all(0 <= fault.at_s < 15 for fault in faults)
