"""A primary and a standby with streaming replication, each a private server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import psycopg
from anyio import CancelScope
from anyio.to_thread import run_sync

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.embedded.place import PORT, Place
from blogworker.db.sql import query
from blogworker.errors import DatabaseNotReady

# Without fsync: the servers crash, and the machine does not. Commits wait for what they promise all the same.
SETTINGS = {
    "synchronous_commit": "on",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "hot_standby": "on",
    "wal_receiver_timeout": "5s",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One of the two servers."""

    server: EmbeddedPostgres
    place: Place

    def run(self, statement: str, **parameters: object) -> list[tuple[object, ...]]:
        """Run a statement by its name on this server."""
        host = str(self.place.socket_dir())
        with psycopg.connect(host=host, port=PORT, user="postgres", dbname="postgres", autocommit=True) as connection:
            cursor = connection.execute(query(statement), parameters)
            return cursor.fetchall() if cursor.description else []

    def crash(self) -> None:
        self.place.halt("immediate")

    def promote(self) -> None:
        """Promote this standby, as an operator does."""
        done = self.place.run("pg_ctl", "promote", "-w")
        if done.returncode != 0:
            raise DatabaseNotReady(f"the standby was not promoted: {done.stderr.strip()}")


@dataclass(frozen=True, slots=True)
class Pair:
    primary: Member
    standby: Member

    @property
    def dsn(self) -> str:
        """The DSN of whichever of both takes writes."""
        folders = ",".join(quote(str(member.place.socket_dir()), safe="/") for member in (self.primary, self.standby))
        return (
            f"postgresql://postgres@/postgres?host={folders}&port={PORT},{PORT}"
            "&target_session_attrs=read-write&gssencmode=disable"
        )

    def make_synchronous(self) -> None:
        """From now on, a commit returns when the standby has it on disk."""
        self.primary.run("bench/failover_synchronous")
        self.primary.run("bench/failover_reload")

    def cut(self) -> None:
        """Cut the standby off. What the primary commits from now on is lost when it crashes."""
        self.standby.run("bench/failover_cut")
        self.standby.run("bench/failover_reload")

    def failover(self) -> None:
        self.primary.crash()
        self.standby.promote()


@asynccontextmanager
async def running_pair() -> AsyncIterator[Pair]:
    """Run both servers during the block, and remove them."""
    with ExitStack() as stack:
        pair = await run_sync(stack.enter_context, _pair())
        try:
            yield pair
        finally:
            with CancelScope(shield=True):
                await run_sync(stack.close)


@contextmanager
def _pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        primary = _member(stack)
        primary.server.start()
        standby = _member(stack)
        standby.place.make()
        source = f"host={primary.place.socket_dir()} port={PORT} user=postgres"
        copied = standby.place.run(
            "pg_basebackup",
            "-D",
            str(standby.place.data),
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
            "-d",
            source,
        )
        if copied.returncode != 0:
            raise DatabaseNotReady(f"the standby was not made: {copied.stderr.strip()}")
        # The sockets are in the data folder, so their lock file was copied too.
        (standby.place.data / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        standby.server.start()
        yield Pair(primary, standby)


def _member(stack: ExitStack) -> Member:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-", ignore_cleanup_errors=True)))
    server = EmbeddedPostgres(folder, durable=False, max_connections=200, settings=SETTINGS)
    stack.callback(server.remove)
    return Member(server, Place.choose(folder.resolve()))
