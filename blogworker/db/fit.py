"""Whether a migrated database lets a role work with it. Cheap enough to be asked again while a worker runs."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.grants import Role
from blogworker.db.migrate import TABLE, look_at_functions, ours, state
from blogworker.db.server import Server, look_at_relations, look_at_server, quoted
from blogworker.errors import DatabaseUnready

NAMED = 3


async def require_fit(connection: AsyncConnection[DictRow], *, needs: Role) -> None:
    """Raise DatabaseUnready, in one line that says what to do, unless the database permits all that will be done.

    `needs`: the group role of grants.py whose privileges that takes.
    """
    server = await look_at_server(connection)
    server.require_fit()
    found = await look_at_relations(connection, list(ours().relations), needs=needs)
    if needs.reads:
        _require_rows(found, server)
    _require_privileges(found, server, needs)
    if all(relation["readable"] for relation in found if relation["name"] == TABLE):
        (await state(connection)).require_current()
    await _require_functions(connection, server, needs)


def _require_rows(found: Sequence[dict[str, Any]], server: Server) -> None:
    for relation in found:
        if relation["hidden"]:
            raise DatabaseUnready(
                f"row level security hides rows of {relation['name']} from role {server.role}: connect as the tables' "
                f"owner, or `alter role {quoted(server.role)} bypassrls`, or give it a policy `for all using (true)`"
            )


def _require_privileges(found: Sequence[dict[str, Any]], server: Server, needs: Role) -> None:
    lacking = [f"{privilege} on {relation['name']}" for relation in found for privilege in relation["lacks"]]
    if lacking:
        raise DatabaseUnready(f"role {server.role} lacks {_first(lacking)}; {_advice(server, needs)}")


async def _require_functions(connection: AsyncConnection[DictRow], server: Server, needs: Role) -> None:
    row = await look_at_functions(connection, needs=needs)
    if row["missing"]:
        raise DatabaseUnready(f"there is no function {_first(row['missing'])}: run `blogworker migrate`")
    if row["forbidden"]:
        raise DatabaseUnready(
            f"role {server.role} may not execute {_first(row['forbidden'])}; {_advice(server, needs)}"
        )
    if not row["compares"]:
        raise DatabaseUnready("titles cannot be compared since pg_trgm was dropped: run `blogworker migrate`")


def _advice(server: Server, needs: Role) -> str:
    return f"let the owner of the tables run `blogworker roles`, then: grant {needs.name} to {quoted(server.role)}"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
