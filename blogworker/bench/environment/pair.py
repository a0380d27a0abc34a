"""A primary and a standby with streaming replication, each a private server."""

import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import sample
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from urllib.parse import quote

import psycopg
from anyio import CancelScope
from anyio.to_thread import run_sync

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.embedded.place import Place
from blogworker.db.sql import query
from blogworker.errors import DatabaseNotReady

# Without fsync: the servers crash, and the machine does not. Commits wait for what they promise all the same.
SETTINGS = {
    "synchronous_commit": "on",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "hot_standby": "on",
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "200ms",
    "wal_keep_size": "512MB",  # a standby that is behind when the primary crashes still finds what it needs
}
CAUGHT_UP_TIMEOUT_S, POLL_S = 60.0, 0.05
PORTS = range(20_000, 32_000)  # the system takes others for connections, also while a server is down


@dataclass(frozen=True, slots=True)
class Member:
    """One of the two servers."""

    server: EmbeddedPostgres
    place: Place
    port: int

    def run(self, statement: str, **parameters: object) -> list[tuple[object, ...]]:
        """Run a statement by its name on this server."""
        host = str(self.place.socket_dir())
        with psycopg.connect(
            host=host, port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(query(statement), parameters)
            return cursor.fetchall() if cursor.description else []

    def refuse_writes(self) -> None:
        """Refuse every write from now on, as a primary that was demoted does. Sessions stay connected."""
        self.run("bench/failover_read_only")
        self.run("bench/failover_reload")

    def accept_writes(self) -> None:
        self.run("bench/failover_writable")
        self.run("bench/failover_reload")

    def end_sessions(self, database: str) -> None:
        """End all sessions of a database, as the restart of a pooler does."""
        self.run("bench/failover_terminate", name=database)

    def crash(self) -> None:
        self.place.halt("immediate")

    def promote(self) -> None:
        """Promote this standby, as an operator does."""
        done = self.place.run("pg_ctl", "promote", "-w")
        if done.returncode != 0:
            raise DatabaseNotReady(f"the standby was not promoted: {done.stderr.strip()}")

    def become_standby_of(self, primary: "Member") -> None:
        """Replace the data of this member, which does not run, by a copy of the primary, and start it."""
        self.place.make()
        shutil.rmtree(self.place.data, ignore_errors=True)
        shutil.copyfile(primary.place.home / "password", self.place.home / "password")
        source = f"host={primary.place.socket_dir()} port={primary.port} user=postgres"
        options = ("-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", source)
        copied = self.place.run("pg_basebackup", "-D", str(self.place.data), *options)
        if copied.returncode != 0:
            raise DatabaseNotReady(f"the standby was not made: {copied.stderr.strip()}")
        # The sockets are in the data folder, so their lock file was copied too.
        (self.place.data / f".s.PGSQL.{primary.port}.lock").unlink(missing_ok=True)
        self.server.start()


@dataclass(frozen=True, slots=True)
class Pair:
    primary: Member
    standby: Member

    @property
    def dsn(self) -> str:
        """The DSN of whichever of both takes writes."""
        members = self.primary, self.standby
        folders = ",".join(quote(str(member.place.socket_dir()), safe="/") for member in members)
        return (
            f"postgresql://postgres@/postgres?host={folders}&port={','.join(str(member.port) for member in members)}"
            "&target_session_attrs=read-write&gssencmode=disable"
        )

    def make_synchronous(self) -> None:
        """From now on, a commit returns when the standby has it on disk, and the standby has all earlier ones."""
        self.primary.run("bench/failover_synchronous")
        self.primary.run("bench/failover_reload")
        self.wait_for_standby()

    def wait_for_standby(self) -> None:
        """Wait until the synchronous standby has on disk what the primary has committed by now."""
        [(position,)] = self.primary.run("bench/failover_position")
        deadline = monotonic() + CAUGHT_UP_TIMEOUT_S
        while not self.primary.run("bench/failover_caught_up", position=position):
            if monotonic() > deadline:
                raise DatabaseNotReady("the standby does not catch up with the primary")
            sleep(POLL_S)

    def cut(self) -> None:
        """Cut the standby off. What the primary commits from now on is lost when it crashes."""
        self.standby.run("bench/failover_cut")
        self.standby.run("bench/failover_reload")

    def failover(self) -> "Pair":
        """Crash the primary and promote the standby. Return the pair with its new primary; its standby does not run."""
        self.primary.crash()
        self.standby.promote()
        return Pair(self.standby, self.primary)


@asynccontextmanager
async def running_pair() -> AsyncIterator[Pair]:
    """Do what `started_pair` does, and leave the event loop free meanwhile."""
    with ExitStack() as stack:
        pair = await run_sync(stack.enter_context, started_pair())
        try:
            yield pair
        finally:
            with CancelScope(shield=True):
                await run_sync(stack.close)


@contextmanager
def started_pair() -> Iterator[Pair]:
    """Run both servers during the block, and remove them."""
    with ExitStack() as stack:
        primary = _member(stack)
        primary.server.start()
        standby = _member(stack)
        standby.become_standby_of(primary)
        yield Pair(primary, standby)


def _member(stack: ExitStack) -> Member:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-", ignore_cleanup_errors=True)))
    port = _free_port()
    listens = {"listen_addresses": "127.0.0.1", "port": str(port)}
    server = EmbeddedPostgres(folder, durable=False, max_connections=200, settings={**SETTINGS, **listens})
    stack.callback(server.remove)
    return Member(server, Place.choose(folder.resolve()), port)


def _free_port() -> int:
    for port in sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DatabaseNotReady("no port is free")
