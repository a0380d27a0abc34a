"""A quiet worker claims nothing, also after a restart; other workers take its part; it claims again when resumed."""

from uuid import uuid4

import pytest

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.status import list_workers
from blogworker.ops.workers import quiet_worker, resume_worker
from blogworker.queue.claim import claim
from blogworker.queue.lease import Lease

pytestmark = pytest.mark.anyio


def lease(database: Database, name: str) -> Lease:
    return Lease(database, name=name, lease_s=30, concurrency=5)


async def claimed(database: Database, holder: Lease) -> int:
    return len((await claim(database, holder.worker_id, slots=3, site_window=3)).claims)


async def test_a_quiet_worker_claims_nothing_until_it_is_resumed(database: Database) -> None:
    await database.execute("bench/insert_jobs", instance_id="s", jobs=30)
    quiet, other = lease(database, "quiet"), lease(database, "other")
    await quiet.begin()
    await other.begin()
    assert await claimed(database, quiet) == 3

    await quiet_worker(database, "quiet", reason="repair")
    assert await claimed(database, quiet) == 0
    assert await claimed(database, other) == 3
    assert await quiet.extend(in_flight=3, draining=False, stats={}) == [], "its running jobs continue"
    states = {each.name: (each.quiet, each.draining) for each in await list_workers(database)}
    assert states == {"quiet": (True, True), "other": (False, False)}

    await quiet.end()
    restarted = lease(database, "quiet")
    await restarted.begin()
    assert await claimed(database, restarted) == 0

    await resume_worker(database, "quiet")
    assert await claimed(database, restarted) == 3


async def test_only_known_workers_become_quiet(database: Database) -> None:
    with pytest.raises(SettingsError, match="known are none"):
        await quiet_worker(database, f"w-{uuid4().hex[:4]}", reason="r")
    with pytest.raises(SettingsError, match="not quiet"):
        await resume_worker(database, "w")
