"""The bench of growth, with few jobs: every statement is measured, and every claim was full."""

from dataclasses import asdict

import pytest

from blogworker.bench.claim import Backlog
from blogworker.bench.growth import measure
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices

pytestmark = [pytest.mark.anyio, pytest.mark.proof]


async def test_each_size_is_measured_in_a_database_of_its_own() -> None:
    prices = Prices(OpenAISettings(_env_file=None), ReplicateSettings(_env_file=None))

    found = await measure([Backlog(400, 10), Backlog(800, 20)], rounds=2, prices=prices, progress=lambda _: None)

    assert [figure.size for figure in found] == ["400 / 10", "800 / 20"]
    assert all(value > 0 for figure in found for name, value in asdict(figure).items() if name != "size")
