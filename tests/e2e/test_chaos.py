"""The short form of `make chaos`: a storm of seconds over real processes, and every promise asked for afterwards."""

from pathlib import Path

import pytest

from blogworker.bench.chaos import Plan, run
from blogworker.bench.chaos.plan import Kind, schedule

pytestmark = pytest.mark.anyio

SHORT = Plan(
    blogs=60, sites=6, seconds=15, seed=7, concurrency=6, speed=40, kill_every_s=3, burst_sites=2_000, calm_s=60
)


@pytest.mark.proof
@pytest.mark.timeout(300)
async def test_every_promise_is_kept_through_a_storm(tmp_path: Path) -> None:
    """Kills, zombies, crashes of Postgres, a poor link, lost answers, poisoned rows, a crowd of sites, notifications,
    and a database that does not fit for a while, all at once; work comes in by every way."""
    verdict = await run(SHORT, logs=tmp_path, say=print)

    assert [f"{promise.name}: {promise.evidence}" for promise in verdict.promises if not promise.kept] == []
    assert [kind for kind in Kind if not verdict.facts.get(kind.value)] == [], "what never struck proves nothing"


def test_a_storm_is_the_same_whenever_its_seed_is() -> None:
    """What one run found, the next can look at again."""
    assert schedule(SHORT) == schedule(SHORT)
    assert schedule(SHORT) != schedule(Plan(blogs=40, sites=5, seconds=15, seed=8))


@pytest.mark.parametrize("kind", Kind)
def test_even_a_short_storm_has_every_kind(kind: Kind) -> None:
    for seed in range(50):
        blows = schedule(Plan(blogs=40, sites=5, seconds=15, seed=seed))
        assert kind in {blow.kind for blow in blows}
        assert all(0 <= blow.at_s < 15 for blow in blows)
