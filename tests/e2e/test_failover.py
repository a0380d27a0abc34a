"""`blogworker bench failover` with fewer jobs: failovers, and a database that is older than what its workers did."""

import pytest

from blogworker.bench.failover import FAULTS, Plan, measure

pytestmark = [pytest.mark.anyio, pytest.mark.proof, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", FAULTS)
async def test_nothing_is_published_twice_and_what_is_repeated_is_done(name: str) -> None:
    """Without a loss of history nothing is lost. Otherwise the loss is noticed, and the site is asked first."""
    fault = FAULTS[name]

    figure = await measure(fault, Plan(jobs=40, sites=4), progress=print)

    assert figure.kept(fault), figure
    assert figure.restores > 0 or not fault.loses, "the loss was not noticed"
    assert figure.attempts_used == 0
