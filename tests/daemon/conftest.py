"""A bench for workers."""

from uuid import UUID

import pytest

from blogworker.db import compatibility as compatibility_module
from blogworker.db.pool import Database
from blogworker.db.retrying import LONGEST_WAIT_S

from .bench import Bench


@pytest.fixture
async def bench(database: Database, worker_id: UUID) -> Bench:
    bench = Bench(database, worker_id)
    await bench.begin_lease()
    return bench


@pytest.fixture
def quiet_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Still longer than the longest wait between two tries of a statement."""
    monkeypatch.setattr(compatibility_module, "QUIET_S", 1.5 * LONGEST_WAIT_S)
