"""Bring a database up to date: forward only, one transaction a file, safe when ten start at once.

The migration libraries were tried and set aside: a lock that survives its owner's death, a driver or an ORM that
nothing else here needs. The lock is polled with `pg_try_advisory_lock`; a waiting `pg_advisory_lock` deadlocks with
CREATE INDEX CONCURRENTLY, which waits for every older snapshot, the waiter's among them.
"""

import hashlib
from dataclasses import dataclass
from time import monotonic

from anyio import fail_after, sleep
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.sql import query, sql_dir
from blogworker.errors import DatabaseUnready
from blogworker.telemetry import get_logger

LOCK_POLL_S = 0.1
LOCK_TIMEOUT_S = 300.0

log = get_logger()


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All of them, in order. The file name is NNNN_what_changes.sql."""
    found = []
    for path in (sql_dir() / "migrations").iterdir():
        number, _, name = path.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    return sorted(found, key=lambda m: m.version)


@dataclass(frozen=True, slots=True)
class State:
    """What a database has, against what this program has."""

    applied: tuple[int, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[int, ...]  # applied by a newer program
    changed: tuple[int, ...]  # the file is not what was applied

    def require_current(self) -> None:
        """Raise DatabaseUnready unless this program and the database fit."""
        if self.unknown:
            raise self.newer()
        if self.changed:
            raise DatabaseUnready(
                f"migration {self.changed[0]} is not the one this database was made with: install the matching version"
            )
        if self.pending:
            raise DatabaseUnready(f"the database lacks {len(self.pending)} migration(s): run `blogworker migrate`")

    def newer(self) -> DatabaseUnready:
        """What to say of a database that a newer program has migrated."""
        return DatabaseUnready(
            f"the database is newer than this program (it has migration {max(self.unknown)}): upgrade blogworker"
        )


async def state(connection: AsyncConnection[DictRow]) -> State:
    """Compare. A database without our table has nothing applied."""
    known = await (await connection.execute(query("db/has_migrations"))).fetchone()
    rows = []
    if known is not None and known["present"]:
        rows = await (await connection.execute(query("db/applied_migrations"))).fetchall()
    applied = {row["version"]: row["checksum"] for row in rows}
    ours = migrations()
    return State(
        applied=tuple(sorted(applied)),
        pending=tuple(m for m in ours if m.version not in applied),
        unknown=tuple(sorted(set(applied) - {m.version for m in ours})),
        changed=tuple(m.version for m in ours if applied.get(m.version, m.checksum) != m.checksum),
    )


async def migrate(connection: AsyncConnection[DictRow]) -> list[Migration]:
    """Apply what is pending and give it. A second caller waits for the first, then finds nothing to do."""
    await _lock(connection)
    try:
        await connection.execute(query("db/create_migrations"))
        before = await state(connection)
        if before.unknown or before.changed:
            before.require_current()
        for migration in before.pending:
            await _apply(connection, migration)
    finally:
        await connection.execute(query("db/unlock_migrations"))
    return list(before.pending)


async def _lock(connection: AsyncConnection[DictRow]) -> None:
    try:
        with fail_after(LOCK_TIMEOUT_S):
            while True:
                row = await (await connection.execute(query("db/lock_migrations"))).fetchone()
                if row is not None and row["locked"]:
                    return
                await sleep(LOCK_POLL_S)
    except TimeoutError as error:
        raise DatabaseUnready(
            "another migration has been running for five minutes; look for it in pg_stat_activity"
        ) from error


async def _apply(connection: AsyncConnection[DictRow], migration: Migration) -> None:
    started = monotonic()
    async with connection.transaction():
        await connection.execute(query("db/limit_lock_wait"))
        await connection.execute(migration.text.encode())
        await connection.execute(
            query("db/record_migration"),
            {"version": migration.version, "name": migration.name, "checksum": migration.checksum},
        )
    log.info(
        "migration_applied",
        version=migration.version,
        name=migration.name,
        duration_s=round(monotonic() - started, 3),
    )
