"""`blogworker bench failover` with fewer jobs: failovers, and a database that is older than what its workers did."""

import pytest

from blogworker.bench.failover import FAULTS, Plan, measure

pytestmark = [pytest.mark.anyio, pytest.mark.proof, pytest.mark.timeout(180)]


@pytest.mark.parametrize("name", ["failover, standby 2 s behind", "dump restored, 4 s old"])
async def test_nothing_is_published_twice_and_what_is_repeated_is_done(name: str) -> None:
    """With a synchronous standby nothing is lost. Otherwise the loss is noticed, and the site is asked first."""
    fault = FAULTS[name]

    figure = await measure(fault, Plan(jobs=40, sites=4), progress=print)

    assert figure.kept(fault), figure
    assert figure.restores > 0, "the loss was not noticed"
    assert figure.attempts_used == 0
