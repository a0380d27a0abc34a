"""A hosted Postgres: the owner of the database is no superuser, and some functions of the server are refused."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from blogworker.db.grants import WORKER
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.db.readiness import require_ready
from blogworker.ops.restores import reconcile_restore
from blogworker.queue.claim import claim
from blogworker.queue.restores import RestoreWatch
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio

REFUSED = ("pg_control_system()", "pg_current_wal_flush_lsn()", "pg_walfile_name(pg_lsn)")


@pytest.fixture
def hosted_url(empty_url: str) -> Iterator[str]:
    """A database whose owner may create neither roles nor databases, without pg_trgm."""
    owner = f"o{uuid4().hex}"
    with psycopg.connect(empty_url, autocommit=True) as admin:
        for statement in (
            f"create role {owner} login",
            f"alter database {admin.info.dbname} owner to {owner}",
            "revoke create on schema public from public",
            f"grant all on schema public to {owner}",
        ):
            admin.execute(statement.encode())
        yield psycopg.conninfo.make_conninfo(empty_url, user=owner)
        admin.execute(f"reassign owned by {owner} to current_user; drop owned by {owner}; drop role {owner}".encode())


@pytest.mark.parametrize("refuses", [False, True])
async def test_the_queue_works_and_notices_a_restore(hosted_url: str, empty_url: str, refuses: bool) -> None:
    """Without those functions a copy is still noticed; a promotion is not, and has to be told with `reconcile`."""
    if refuses:
        with psycopg.connect(empty_url, autocommit=True) as admin:
            for function in REFUSED:
                admin.execute(f"revoke execute on function {function} from public".encode())
    async with await connect(hosted_url, timeout_s=5) as owner:
        await migrate(owner)
        await require_ready(owner, needs=WORKER)
    async with Database(DatabaseSettings(url=hosted_url, _env_file=None)) as database:
        watch, worker_id = RestoreWatch(), uuid4()
        assert await watch.check(database) is None
        assert (await watch.origin(database, 1)) is None
        worker = {"name": "w", "host": "h", "pid": 1, "version": "0", "concurrency": 1}
        await database.execute("queue/register_worker", worker_id=worker_id, **worker, lease_s=600)
        await database.execute("bench/enqueue_one", instance_id="shop")
        await database.execute("queue/admit_sites", batch=50, only=None, skipped=[])
        (job,) = (await claim(database, worker_id, slots=1, site_window=1)).claims
        assert (await watch.origin(database, job.job_id)).restore is None

        async with database.connection() as connection:
            await connection.execute("update database_history set written_by = '7'")
        assert (await watch.check(database)) is not None
        assert (await watch.origin(database, job.job_id)).restore == watch.latest
        assert (await reconcile_restore(database)).open_jobs == 1
