"""Whether a migrated database lets a role work with it. Cheap enough to be asked again while a worker runs."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.migrate import TABLE, created_relations, migrations, state
from blogworker.db.server import Server, look_at_relations, look_at_server, quoted
from blogworker.db.sql import query
from blogworker.errors import DatabaseUnready

NAMED = 3


async def require_fit(connection: AsyncConnection[DictRow], *, writes: bool) -> None:
    """Raise DatabaseUnready, with one line that says what to do, unless all that we do will be let through.

    A role that may only read is enough for commands that only look: `writes` asks for the rest.
    """
    server = await look_at_server(connection)
    server.require_fit()
    names = [TABLE, *created_relations(migrations())]
    found = await look_at_relations(connection, names)
    _require_rows(found, server)
    _require_privileges(found, server, writes=writes)
    (await state(connection)).require_current()
    await _require_functions(connection, server)


def _require_rows(found: Sequence[dict[str, Any]], server: Server) -> None:
    for relation in found:
        if relation["hidden"]:
            raise DatabaseUnready(
                f"row level security hides rows of {relation['name']} from role {server.role}: connect as the tables' "
                f"owner, or `alter role {quoted(server.role)} bypassrls`, or give it a policy `for all using (true)`"
            )


def _require_privileges(found: Sequence[dict[str, Any]], server: Server, *, writes: bool) -> None:
    lacking = [
        f"{privilege} on {relation['name']}"
        for relation in found
        for privilege in relation["lacks"]
        if privilege == "SELECT" or (writes and relation["name"] != TABLE)
    ]
    if lacking:
        wanted = "select, insert, update, delete" if writes else "select"
        raise DatabaseUnready(
            f"role {server.role} lacks {_first(lacking)}: grant {wanted} on all tables in schema "
            f"{quoted(server.schema or '')} to {quoted(server.role)}"
        )


async def _require_functions(connection: AsyncConnection[DictRow], server: Server) -> None:
    row = await (await connection.execute(query("db/look_at_functions"))).fetchone() or {}
    if row["forbidden"]:
        raise DatabaseUnready(
            f"role {server.role} may not execute {_first(row['forbidden'])}: grant execute on all functions in schema "
            f"{quoted(server.schema or '')} to {quoted(server.role)}"
        )
    if not row["compares"]:
        raise DatabaseUnready("titles cannot be compared since pg_trgm was dropped: run `blogworker migrate`")


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
