"""Migrate a database: forward only, while producers and workers run, and safely when several processes start it.

A migration is one transaction. If its first line is `-- migrate: no transaction`, it is a list of separate statements,
divided by `-- migrate: next`. That kind is for slow changes: `create index concurrently`, and blocks that change a few
thousand rows and commit. It is recorded when all its statements are done. If one of them fails, the next `migrate`
repeats all of them, so each must be repeatable.

While a migration waits for a table lock, all other transactions wait behind it. So it gives up after half a second and
retries. Later it waits longer, so that an autovacuum is cancelled in its favour.

Migration libraries were tried and rejected: their lock survives the death of its owner, or they need a driver or an ORM
that nothing else here needs.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from time import monotonic

from anyio import sleep
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from psycopg.errors import DeadlockDetected, LockNotAvailable
from psycopg.rows import DictRow

from blogworker.backoff import backoff_s
from blogworker.db.grants import NO_ROLE, Role
from blogworker.db.messages import message_of
from blogworker.db.migration_lock import migration_lock
from blogworker.db.migration_progress import Progress
from blogworker.db.retrying import is_transient
from blogworker.db.roles import Ours, grant
from blogworker.db.server import HOME, Server, inspect_relations, inspect_server, quoted
from blogworker.db.sql import query, sql_dir
from blogworker.errors import DatabaseNotReady
from blogworker.telemetry import get_logger

TABLE = "blogworker_migrations"
NO_TRANSACTION = "-- migrate: no transaction\n"
NEXT = "-- migrate: next\n"
FUNCTIONS = re.compile(r"^\s*create (?:or replace )?function (\w+)", re.MULTILINE)
CREATED = re.compile(r"^create (?:or replace |unlogged )?(?:table|view) (\w+)", re.MULTILINE)

TABLE_LOCK_S = 0.5  # writers wait behind this; less than deadlock_timeout, so that the migration gives up first
VACUUM_LOCK_S = 1.5  # longer than deadlock_timeout (1 s), after which a blocking autovacuum is cancelled
SHORT_WAITS = 3
CONCURRENT_LOCK_S = 60.0  # for a migration without a transaction: nothing waits behind its locks
LOCK_RETRY_S = 60.0  # how long a table lock is retried

log = get_logger()


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def statements(self) -> list[str] | None:
        """Return the statements of a migration without a transaction, else None."""
        return self.text.split(NEXT) if self.text.startswith(NO_TRANSACTION) else None

    @property
    def script(self) -> str:
        """Return the text as a script for psql."""
        head = f"-- migration {self.version:04} {self.name}\n"
        return head + (self.text if self.statements else f"begin;\n{self.text}commit;\n")

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return all migrations in order. The file name is NNNN_what_changes.sql."""
    return list(_files())


@cache
def _files() -> tuple[Migration, ...]:
    found = []
    for path in (sql_dir() / "migrations").iterdir():
        number, _, name = path.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda m: m.version))


def created_relations(creators: Iterable[Migration]) -> list[str]:
    """Return the names of the tables and views that these migrations create."""
    return sorted({name for migration in creators for name in _created(migration.text)})


@cache
def _created(text: str) -> list[str]:
    return CREATED.findall(text)


def created_functions() -> list[str]:
    """Return the names of all our functions."""
    return sorted({name for migration in migrations() for name in FUNCTIONS.findall(migration.text)})


def ours() -> Ours:
    return Ours([TABLE, *created_relations(migrations())], created_functions())


@dataclass(frozen=True, slots=True)
class State:
    """The migrations of a database compared with those of this program."""

    applied: tuple[int, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[int, ...]  # applied by a newer program
    changed: tuple[int, ...]  # the file differs from the migration that was applied

    def require_current(self) -> None:
        """Raise DatabaseNotReady unless the database has exactly this program's migrations."""
        if self.unknown:
            raise self.newer()
        if self.changed:
            raise DatabaseNotReady(
                f"migration {self.changed[0]} differs from the one applied here: install the matching version"
            )
        if self.pending:
            raise DatabaseNotReady(f"the database lacks {len(self.pending)} migration(s): run `blogworker migrate`")

    def newer(self) -> DatabaseNotReady:
        """Return the error for a database that a newer version has migrated."""
        return DatabaseNotReady(
            f"the database is newer than this program (it has migration {max(self.unknown)}): upgrade blogworker"
        )


async def state(connection: AsyncConnection[DictRow]) -> State:
    """Compare. Without our table no migration is applied. Raises DatabaseNotReady if another program has that table."""
    known = await (await connection.execute(query("db/has_migrations"))).fetchone()
    rows = []
    if known is not None and known["foreign_table"]:
        raise DatabaseNotReady(
            f"{TABLE} is a table of another program here: give blogworker a schema of its own: {HOME}"
        )
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


async def migrate(
    connection: AsyncConnection[DictRow], *, watch: AsyncConnection[DictRow] | None = None
) -> list[Migration]:
    """Apply the pending migrations and return them. A second caller waits for the first and then has nothing to do.

    `watch`: another connection to the same database, to log the progress of long statements.

    Raises DatabaseNotReady, if possible before anything is changed. No migration is ever applied in part.
    """
    server = await inspect_server(connection)
    server.require_ready()
    async with migration_lock(connection):
        before = await state(connection)
        if before.unknown or before.changed:
            before.require_current()
        if before.pending:
            await _require_room(connection, server, before)
            if not before.applied:
                await _require_names(connection, server)
            await connection.execute(query("db/create_migrations"))
        for migration in before.pending:
            await _apply_or_explain(connection, migration, watch)
        await _repair_functions(connection, changed=bool(before.pending))
    return list(before.pending)


async def _require_room(connection: AsyncConnection[DictRow], server: Server, before: State) -> None:
    """Raise DatabaseNotReady unless the role may alter our tables and the names of new relations are free."""
    if not server.may_create:
        raise DatabaseNotReady(
            f"role {server.role} may not create tables in schema {server.schema}: migrate as its owner, "
            f"or grant create on schema {quoted(server.schema or '')} to {quoted(server.role)}"
        )
    ours = set(created_relations(m for m in migrations() if m.version in before.applied))
    for relation in await inspect_relations(connection, sorted(ours)):
        if relation["foreign_owner"]:
            raise DatabaseNotReady(
                f"{relation['name']} belongs to {relation['foreign_owner']}, and role {server.role} may not change it: "
                f"migrate as {relation['foreign_owner']}"
            )
    for relation in await inspect_relations(connection, sorted(set(created_relations(before.pending)) - ours)):
        raise DatabaseNotReady(
            f"schema {server.schema} already has a {relation['name']} of another program: "
            f"give blogworker a schema of its own: {HOME}"
        )


async def _require_names(connection: AsyncConnection[DictRow], server: Server) -> None:
    """Before the first migration, raise DatabaseNotReady unless the names of functions and types are free."""
    parameters = {"functions": created_functions(), "relations": created_relations(migrations())}
    for found in await (await connection.execute(query("db/foreign_names"), parameters)).fetchall():
        raise DatabaseNotReady(
            f"schema {server.schema} already has a {found['kind']} {found['name']} of another program: "
            f"give blogworker a schema of its own: {HOME}"
        )


async def _repair_functions(connection: AsyncConnection[DictRow], *, changed: bool) -> None:
    """Restore the comparison of titles if pg_trgm was dropped with cascade. Secure and grant new functions."""
    row = await inspect_functions(connection, needs=NO_ROLE)
    if row["can_compare"] and not row["compares"]:
        await connection.execute(query("db/compare_titles"))
    if changed and row["can_secure"]:
        await connection.execute(query("db/secure_functions"))
        await grant(connection, ours())


async def inspect_functions(connection: AsyncConnection[DictRow], *, needs: Role) -> DictRow:
    asked = {"reads": needs.reads, "functions": list(needs.functions), "own": created_functions()}
    return await (await connection.execute(query("db/inspect_functions"), asked)).fetchone() or {}


async def _apply_or_explain(
    connection: AsyncConnection[DictRow], migration: Migration, watch: AsyncConnection[DictRow] | None
) -> None:
    try:
        await _apply_with_retries(connection, migration, watch)
    except PostgresError as error:
        if is_transient(error):
            raise
        raise DatabaseNotReady(
            f"migration {migration.version} ({migration.name}) failed, and those before it are applied: "
            f"{message_of(error)}. Fix that and run `blogworker migrate` again"
        ) from error


async def _apply_with_retries(
    connection: AsyncConnection[DictRow], migration: Migration, watch: AsyncConnection[DictRow] | None
) -> None:
    started, failures = monotonic(), 0
    progress = Progress(connection, watch, version=migration.version, steps=len(migration.statements or [""]))
    while True:
        try:
            lock_s = TABLE_LOCK_S if failures < SHORT_WAITS else VACUUM_LOCK_S
            await _apply(connection, migration, lock_s, progress)
            break
        except (LockNotAvailable, DeadlockDetected) as error:
            failures += 1
            if monotonic() - started > LOCK_RETRY_S:
                raise DatabaseNotReady(
                    f"migration {migration.version} ({migration.name}) is not applied: another transaction keeps its "
                    "tables locked. Find the oldest xact_start in pg_stat_activity, end that transaction, and run "
                    "`blogworker migrate` again"
                ) from error
            log.info("migration_waited", version=migration.version, name=migration.name, error=message_of(error))
        await sleep(backoff_s(failures, base_s=TABLE_LOCK_S, cap_s=5))
    log.info(
        "migration_applied",
        version=migration.version,
        name=migration.name,
        duration_s=round(monotonic() - started, 3),
    )


async def _apply(
    connection: AsyncConnection[DictRow], migration: Migration, table_lock_s: float, progress: Progress
) -> None:
    facts = {"version": migration.version, "name": migration.name, "checksum": migration.checksum}
    if migration.statements is None:
        async with connection.transaction():
            await _limit_lock_wait(connection, table_lock_s, within=True)
            await connection.execute(migration.text.encode())
            await connection.execute(query("db/record_migration"), facts)
        return
    await _limit_lock_wait(connection, CONCURRENT_LOCK_S, within=False)
    for step, statement in enumerate(migration.statements, 1):
        async with progress.reporting(step):
            await connection.execute(statement.encode())
    await _limit_lock_wait(connection, 0, within=False)
    await connection.execute(query("db/record_migration"), facts)


async def _limit_lock_wait(connection: AsyncConnection[DictRow], seconds: float, *, within: bool) -> None:
    await connection.execute(query("db/limit_lock_wait"), {"wait": f"{seconds * 1000:.0f}ms", "within": within})
