"""Check that a database is migrated and that the role may do all that a command needs. The checks are cheap."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.grants import Role
from blogworker.db.migrate import TABLE, inspect_functions, ours, state
from blogworker.db.server import Server, inspect_relations, inspect_server, quoted
from blogworker.errors import DatabaseNotReady

NAMED = 3


async def require_ready(connection: AsyncConnection[DictRow], *, needs: Role) -> None:
    """Raise DatabaseNotReady, with a message that says what to do, unless the database is ready.

    `needs`: the group role of grants.py whose privileges the command requires.
    """
    server = await inspect_server(connection)
    server.require_ready()
    found = await inspect_relations(connection, list(ours().relations), needs=needs)
    if needs.reads:
        _require_rows(found, server)
    _require_privileges(found, server, needs)
    if all(relation["readable"] for relation in found if relation["name"] == TABLE):
        (await state(connection)).require_current()
    await _require_functions(connection, server, needs)


def _require_rows(found: Sequence[dict[str, Any]], server: Server) -> None:
    for relation in found:
        if relation["hidden"]:
            raise DatabaseNotReady(
                f"row level security hides rows of {relation['name']} from role {server.role}: connect as the tables' "
                f"owner, or `alter role {quoted(server.role)} bypassrls`, or give it a policy `for all using (true)`"
            )


def _require_privileges(found: Sequence[dict[str, Any]], server: Server, needs: Role) -> None:
    lacking = [f"{privilege} on {relation['name']}" for relation in found for privilege in relation["lacks"]]
    if lacking:
        raise DatabaseNotReady(f"role {server.role} lacks {_first(lacking)}; {how_to_grant(server.role, needs)}")


async def _require_functions(connection: AsyncConnection[DictRow], server: Server, needs: Role) -> None:
    row = await inspect_functions(connection, needs=needs)
    if row["missing"]:
        raise DatabaseNotReady(f"there is no function {_first(row['missing'])}: run `blogworker migrate`")
    if row["forbidden"]:
        raise DatabaseNotReady(
            f"role {server.role} may not execute {_first(row['forbidden'])}; {how_to_grant(server.role, needs)}"
        )
    if not row["compares"]:
        raise DatabaseNotReady(
            "titles cannot be compared because the extension pg_trgm was dropped: run `blogworker migrate`"
        )


def how_to_grant(role: str, needs: Role) -> str:
    """Return what to do so that a role gets the privileges of a group role."""
    return f"as the owner of the tables run `blogworker roles`, then: grant {needs.name} to {quoted(role)}"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
