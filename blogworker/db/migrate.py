"""Bring a database up to date: forward only, while producers and workers go on, safe when ten start at once.

A migration is one transaction, or, where its first line is `-- migrate: no transaction`, statements of their own,
separated by `-- migrate: next`. The second kind is for what takes long: `create index concurrently`, and blocks that
change a few thousand rows and commit. It is recorded when all of it is done. If one statement fails, the next `migrate`
repeats all of them, so each has to allow that.

A lock that all others would have to wait behind is waited for half a second, given up, and tried again; later for
longer, so that an autovacuum gives way.

The migration libraries were tried and set aside: a lock that survives its owner's death, a driver or an ORM that
nothing else here needs.
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
from blogworker.db.alone import alone
from blogworker.db.grants import NOBODY, Role
from blogworker.db.patient import is_transient
from blogworker.db.roles import Ours, grant
from blogworker.db.server import HOME, Server, look_at_relations, look_at_server, quoted
from blogworker.db.sql import query, sql_dir
from blogworker.db.words import in_words
from blogworker.errors import DatabaseUnready
from blogworker.telemetry import get_logger

TABLE = "blogworker_migrations"
NO_TRANSACTION = "-- migrate: no transaction\n"
NEXT = "-- migrate: next\n"
FUNCTIONS = re.compile(r"^\s*create (?:or replace )?function (\w+)", re.MULTILINE)
CREATED = re.compile(r"^create (?:or replace |unlogged )?(?:table|view) (\w+)", re.MULTILINE)

TABLE_LOCK_S = 0.5  # writers wait behind a lock that is waited for; less than deadlock_timeout, so that we yield first
VACUUM_LOCK_S = 1.5  # an autovacuum in the way yields to who has waited for deadlock_timeout, a second
SHORT_WAITS = 3
QUIET_LOCK_S = 60.0  # nobody waits behind those of a migration without a transaction
PATIENCE_S = 60.0  # in which a lock is tried for again and again

log = get_logger()


@dataclass(frozen=True, slots=True)
class Migration:
    version: int
    name: str
    text: str

    @property
    def statements(self) -> list[str] | None:
        """Of a migration without a transaction."""
        return self.text.split(NEXT) if self.text.startswith(NO_TRANSACTION) else None

    @property
    def script(self) -> str:
        """For psql."""
        head = f"-- migration {self.version:04} {self.name}\n"
        return head + (self.text if self.statements else f"begin;\n{self.text}commit;\n")

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All of them, in order. The file name is NNNN_what_changes.sql."""
    return list(_files())


@cache
def _files() -> tuple[Migration, ...]:
    found = []
    for path in (sql_dir() / "migrations").iterdir():
        number, _, name = path.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda m: m.version))


def created_relations(made_by: Iterable[Migration]) -> list[str]:
    """The tables and views that these make."""
    return sorted({name for migration in made_by for name in _created(migration.text)})


@cache
def _created(text: str) -> list[str]:
    return CREATED.findall(text)


def created_functions() -> list[str]:
    """The names of all functions of ours."""
    return sorted({name for migration in migrations() for name in FUNCTIONS.findall(migration.text)})


def ours() -> Ours:
    return Ours([TABLE, *created_relations(migrations())], created_functions())


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
    """Compare. Without our table nothing is applied. Raises DatabaseUnready for another program's table of its name."""
    known = await (await connection.execute(query("db/has_migrations"))).fetchone()
    rows = []
    if known is not None and known["foreign_table"]:
        raise DatabaseUnready(
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


async def migrate(connection: AsyncConnection[DictRow]) -> list[Migration]:
    """Apply what is pending and give it. A second caller waits for the first, then finds nothing to do.

    Raises DatabaseUnready, before anything is changed where that can be foreseen; always with whole migrations applied.
    """
    server = await look_at_server(connection)
    server.require_fit()
    async with alone(connection):
        before = await state(connection)
        if before.unknown or before.changed:
            before.require_current()
        if before.pending:
            await _require_room(connection, server, before)
            if not before.applied:
                await _require_names(connection, server)
            await connection.execute(query("db/create_migrations"))
        for migration in before.pending:
            await _apply_or_explain(connection, migration)
        await _mend_functions(connection, changed=bool(before.pending))
    return list(before.pending)


async def _require_room(connection: AsyncConnection[DictRow], server: Server, before: State) -> None:
    """Raise DatabaseUnready unless the role may change what is ours, and the names of what is to be made are free."""
    if not server.may_create:
        raise DatabaseUnready(
            f"role {server.role} may not create tables in schema {server.schema}: migrate as its owner, "
            f"or grant create on schema {quoted(server.schema or '')} to {quoted(server.role)}"
        )
    ours = set(created_relations(m for m in migrations() if m.version in before.applied))
    for relation in await look_at_relations(connection, sorted(ours)):
        if relation["foreign_owner"]:
            raise DatabaseUnready(
                f"{relation['name']} belongs to {relation['foreign_owner']}, and role {server.role} may not change it: "
                f"migrate as {relation['foreign_owner']}"
            )
    for relation in await look_at_relations(connection, sorted(set(created_relations(before.pending)) - ours)):
        raise DatabaseUnready(
            f"schema {server.schema} already has a {relation['name']} of another program: "
            f"give blogworker a schema of its own: {HOME}"
        )


async def _require_names(connection: AsyncConnection[DictRow], server: Server) -> None:
    """Before the first migration: also the names of functions and types are free."""
    parameters = {"functions": created_functions(), "relations": created_relations(migrations())}
    for found in await (await connection.execute(query("db/foreign_names"), parameters)).fetchall():
        raise DatabaseUnready(
            f"schema {server.schema} already has a {found['kind']} {found['name']} of another program: "
            f"give blogworker a schema of its own: {HOME}"
        )


async def _mend_functions(connection: AsyncConnection[DictRow], *, changed: bool) -> None:
    """Restore the comparison of titles if pg_trgm was dropped with cascade; secure and grant what is new."""
    row = await look_at_functions(connection, needs=NOBODY)
    if row["can_compare"] and not row["compares"]:
        await connection.execute(query("db/compare_titles"))
    if changed and row["can_secure"]:
        await connection.execute(query("db/secure_functions"))
        await grant(connection, ours())


async def look_at_functions(connection: AsyncConnection[DictRow], *, needs: Role) -> DictRow:
    asked = {"reads": needs.reads, "functions": list(needs.functions), "own": created_functions()}
    return await (await connection.execute(query("db/look_at_functions"), asked)).fetchone() or {}


async def _apply_or_explain(connection: AsyncConnection[DictRow], migration: Migration) -> None:
    try:
        await _apply_patiently(connection, migration)
    except PostgresError as error:
        if is_transient(error):
            raise
        raise DatabaseUnready(
            f"migration {migration.version} ({migration.name}) failed, and those before it are applied: "
            f"{in_words(error)}. Mend that, and run `blogworker migrate` again"
        ) from error


async def _apply_patiently(connection: AsyncConnection[DictRow], migration: Migration) -> None:
    started = monotonic()
    failures = 0
    while True:
        try:
            await _apply(connection, migration, TABLE_LOCK_S if failures < SHORT_WAITS else VACUUM_LOCK_S)
            break
        except (LockNotAvailable, DeadlockDetected) as error:
            failures += 1
            if monotonic() - started > PATIENCE_S:
                raise DatabaseUnready(
                    f"migration {migration.version} ({migration.name}) is not applied: another transaction keeps its "
                    "tables locked. Look for the oldest xact_start in pg_stat_activity, end that transaction, and run "
                    "`blogworker migrate` again"
                ) from error
            log.info("migration_waited", version=migration.version, name=migration.name, error=in_words(error))
        await sleep(backoff_s(failures, base_s=TABLE_LOCK_S, cap_s=5))
    log.info(
        "migration_applied",
        version=migration.version,
        name=migration.name,
        duration_s=round(monotonic() - started, 3),
    )


async def _apply(connection: AsyncConnection[DictRow], migration: Migration, table_lock_s: float) -> None:
    facts = {"version": migration.version, "name": migration.name, "checksum": migration.checksum}
    if migration.statements is None:
        async with connection.transaction():
            await _limit_lock_wait(connection, table_lock_s, within=True)
            await connection.execute(migration.text.encode())
            await connection.execute(query("db/record_migration"), facts)
        return
    await _limit_lock_wait(connection, QUIET_LOCK_S, within=False)
    for statement in migration.statements:
        await connection.execute(statement.encode())
    await _limit_lock_wait(connection, 0, within=False)
    await connection.execute(query("db/record_migration"), facts)


async def _limit_lock_wait(connection: AsyncConnection[DictRow], seconds: float, *, within: bool) -> None:
    await connection.execute(query("db/limit_lock_wait"), {"wait": f"{seconds * 1000:.0f}ms", "within": within})
