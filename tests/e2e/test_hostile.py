"""Worker processes with something wrong around them: a pooler in between, a clock that lies, a process that froze."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from blogworker.db.grants import WORKER
from blogworker.db.pool import PREPARE_AFTER, Database, connect
from blogworker.db.readiness import require_ready
from blogworker.errors import DatabaseNotReady
from blogworker.settings import DatabaseSettings

from .conftest import Queue, Start, Vendors, until

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
LEASE_S = 3
POOLED = 4  # connections of the pooler


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Pooler:
    """PgBouncer in transaction mode, with fewer connections than its clients open."""

    program: str
    config: Path
    url: str
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses root, and so does the database
        self.process = subprocess.Popen(
            [self.program, "-q", self.config], user=nobody.pw_uid if nobody else None, cwd="/"
        )
        until(lambda: answers(self.url))

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait()


# That of this system, and others: PGBOUNCERS=/path/of/another:/and/another.
POOLERS = ["pgbouncer", *filter(None, os.environ.get("PGBOUNCERS", "").split(":"))]


@pytest.fixture(params=POOLERS)
def pooler(request: pytest.FixtureRequest, database_url: str) -> Iterator[Pooler]:
    """From 1.21 on it keeps prepared statements for its clients."""
    program = shutil.which(request.param, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        pytest.skip(f"{request.param} is not installed: apt-get install pgbouncer")
    version = re.findall(r"\d+", subprocess.run([program, "--version"], capture_output=True, text=True).stdout)
    prepares = "max_prepared_statements = 200\n" if [int(part) for part in version[:2]] >= [1, 21] else ""
    server = conninfo_to_dict(database_url)
    folder, port = Path(mkdtemp(prefix="bouncer-")), free_port()  # pytest's own folders are closed to other users
    folder.chmod(0o755)
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n{server['dbname']} = host={server['host']} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {POOLED}\nmax_client_conn = 100\nunix_socket_dir =\n"
        f"{prepares}"
    )
    started = Pooler(program, config, f"postgresql://postgres@127.0.0.1:{port}/{server['dbname']}")
    try:
        started.start()
        yield started
    finally:
        started.stop()
        shutil.rmtree(folder)


@pytest.fixture
def pooled_url(pooler: Pooler) -> str:
    """The test's database through the pooler."""
    return pooler.url


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=1, prepare_threshold=None).close()
    except psycopg.OperationalError:
        return False
    return True


def test_behind_a_transaction_pooler_work_is_done_and_deafness_is_told(
    vendors: Vendors, queue: Queue, start: Start, pooled_url: str, site: str
) -> None:
    """LISTEN through such a pooler hears nothing and says nothing: the worker must notice, and poll."""
    worker = start(vendors, DATABASE_URL=pooled_url, BLOGWORKER_POLL_INTERVAL="0.5")
    deaf = worker.logged("tick_failed")
    assert (deaf["tick"], deaf["error_type"]) == ("listen", "NotDelivered")

    queue.add(site, *(f"glaze {n}" for n in range(12)))

    until(queue.queue_is_empty, of=queue.told)
    worker.tell(signal.SIGTERM)
    assert worker.ended() == 0, worker.said()
    assert vendors.duplicates(site) == []


def test_a_pooler_that_is_restarted_costs_no_attempt(
    vendors: Vendors, queue: Queue, start: Start, pooler: Pooler, site: str
) -> None:
    """Killed, and stopped as its unit does (KillSignal). The lease has no other way to the database either."""
    queue.add(site, *(f"slip {n}" for n in range(16)))
    worker = start(vendors, DATABASE_URL=pooler.url, BLOGWORKER_POLL_INTERVAL="0.5", BLOGWORKER_CONCURRENCY="4")
    for number in (signal.SIGKILL, signal.SIGINT):
        done = queue.count("status = 'DONE'")
        until(lambda done=done: queue.count("status = 'DONE'") > done, of=worker.said)
        pooler.stop(number)
        until(lambda: worker.events("database_lost"), of=worker.said)
        pooler.start()

    until(queue.queue_is_empty, of=queue.told)
    assert queue.count("failures > 0 or rescues > 0") == 0
    assert len(worker.events("database_lost")) == len(worker.events("database_recovered"))
    assert vendors.duplicates(site) == []


@pytest.mark.anyio
async def test_statements_are_prepared_only_where_no_pooler_is_between(pooled_url: str, database_url: str) -> None:
    """Behind a pooler in transaction mode another client's statement might be run in place of ours."""
    for url, prepares in ((database_url, True), (pooled_url, False)):
        async with Database(DatabaseSettings(url=SecretStr(url), _env_file=None)) as database:
            for _ in range(2 * PREPARE_AFTER):
                await database.one("queue/ping")
            async with database.connection() as connection:
                assert (connection.prepare_threshold is not None) is prepares


async def settle_anew(database_url: str, *choices: str) -> None:
    """Set these for the database, for all sessions from now on, those of the pooler included."""
    name = conninfo_to_dict(database_url)["dbname"]
    async with await connect(database_url, timeout_s=5) as owner:
        for choice in choices:
            await owner.execute(f"alter database {name} set {choice}".encode())
        await owner.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )


@pytest.mark.anyio
async def test_behind_a_pooler_only_this_clients_settings_are_changed(pooled_url: str, database_url: str) -> None:
    """The pooler keeps some for each client; the others would stay with sessions that serve other programs too."""
    await settle_anew(database_url, "datestyle = 'SQL, DMY'", "timezone = 'Asia/Tokyo'", "statement_timeout = '7s'")
    shown = b"select now() as now, current_setting('timezone') as zone, current_setting('statement_timeout') as most"

    async with Database(DatabaseSettings(url=SecretStr(pooled_url), _env_file=None)) as database:
        for _ in range(9):
            async with database.connection() as connection:
                await require_ready(connection, needs=WORKER)
                row = await (await connection.execute(shown)).fetchone()
            assert row is not None
            assert (row["zone"], row["most"]) == ("UTC", "7s")


@pytest.mark.anyio
async def test_behind_a_pooler_what_we_cannot_set_is_told(pooled_url: str, database_url: str) -> None:
    await settle_anew(database_url, "default_transaction_isolation = 'serializable'")

    async with await connect(pooled_url, timeout_s=5) as connection:
        with pytest.raises(DatabaseNotReady, match="set default_transaction_isolation = 'read committed'"):
            await require_ready(connection, needs=WORKER)


def test_a_direct_connection_beside_the_pooler_wakes_the_worker(
    vendors: Vendors, queue: Queue, start: Start, pooled_url: str, database_url: str, site: str
) -> None:
    worker = start(vendors, DATABASE_URL=pooled_url, DATABASE_DIRECT_URL=database_url, BLOGWORKER_POLL_INTERVAL="3600")
    worker.logged("listen_connected")

    queue.add(site, "salt glaze")

    until(queue.queue_is_empty, of=queue.told)


def test_a_pooler_without_a_free_connection_does_not_hold_the_lease_up(
    vendors: Vendors, queue: Queue, start: Start, pooled_url: str, database_url: str
) -> None:
    """Other programs may take all of its connections: what a worker holds must not be taken back for that."""
    worker = start(vendors, DATABASE_URL=pooled_url, DATABASE_DIRECT_URL=database_url, BLOGWORKER_LEASE=str(LEASE_S))
    worker.logged("listen_connected")
    ends: set[datetime] = set()
    with ExitStack() as stack:
        for _ in range(POOLED):
            other = stack.enter_context(psycopg.connect(pooled_url, prepare_threshold=None))
            other.execute("select 1")  # its transaction stays open

        def outlived() -> bool:
            ends.add(queue.value("select lease_until from workers"))
            return max(ends) - min(ends) > timedelta(seconds=2 * LEASE_S)

        until(outlived, of=worker.said)

    assert not worker.events("lease_lost")


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed: apt-get install faketime")
@pytest.mark.parametrize("clock", ["+2h", "-2h"])
def test_a_wrong_clock_on_one_machine_changes_nothing(
    vendors: Vendors, queue: Queue, start: Start, site: str, clock: str
) -> None:
    """Only the database's clock counts: leases, due times, and the look-up of a draft whose answer was lost."""
    vendors.set("faults", kind="reset_after", operation="drafts.create", site=site, times=3)
    queue.add(site, *(f"glaze {n}" for n in range(6)))
    queue.add_blog(site, "keyword", {"keyword": "tomorrow"}, publish_in_s=86_400)
    wrong = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": clock,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    lying = start(vendors, "--name", "lying", **wrong)
    honest = start(vendors, "--name", "honest")

    until(lambda: queue.count("status = 'DONE'") == 6, of=queue.told)

    until(lambda: queue.count("status = 'SCHEDULED' and stage = 'publish'") == 1, of=queue.told)
    assert queue.value("select count(*) from generation_errors where kind = 'LeaseLost'") == 0
    assert lying.events("lease_lost") == honest.events("lease_lost") == []
    assert len(vendors.posts(site)) == 6
    assert vendors.duplicates(site) == []


def test_a_zombie_that_wakes_after_its_lease_writes_and_publishes_nothing(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """A frozen process believes that it still holds what was rescued long ago."""
    vendors.set("faults", kind="latency", operation="drafts.create", site=site, delay_s=1.0)
    queue.add(site, *(f"glaze {n}" for n in range(8)))
    zombie = start(vendors, "--name", "zombie", "--concurrency", "8", BLOGWORKER_LEASE=str(LEASE_S))
    until(lambda: queue.count("status = 'PROCESSING' and stage in ('image', 'publish')") >= 4, of=queue.told)
    zombie.tell(signal.SIGSTOP)

    other = start(vendors, "--name", "other", BLOGWORKER_LEASE=str(LEASE_S))
    until(queue.queue_is_empty, of=queue.told)
    stored = queue.run("select * from blog_posts order by generation_id")
    zombie.tell(signal.SIGCONT)
    zombie.logged("lease_lost")
    until(lambda: len(zombie.events("worker_started")) == 2, of=zombie.said)

    zombie.tell(signal.SIGTERM)
    assert zombie.ended() == 0, zombie.said()
    assert queue.run("select * from blog_posts order by generation_id") == stored
    assert len(vendors.posts(site)) == 8
    assert vendors.duplicates(site) == []
    assert other.events("lease_lost") == []
