"""Begin each session with the settings that the program relies on, however the role and the server are configured."""

from contextlib import suppress

from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.errors import QueryCanceled
from psycopg.rows import DictRow

from blogworker.db.sql import query
from blogworker.redact import SECRETS

TRIES = 20  # a statement_timeout of 1 ms sometimes cancels even the statement that removes it


async def begin_session(connection: AsyncConnection[DictRow], *, plans_once: bool = False) -> bool:
    """Set the session up in one round trip. Return whether the connection is direct, without a pooler in between.

    `plans_once`: make one plan of each statement, for any parameters, also of those inside functions.
    """
    known = connection.info
    if known.password not in (known.user, known.dbname):
        SECRETS.learn(known.password)  # it may come from PGPASSWORD or a password file
    for _ in range(TRIES - 1):
        with suppress(QueryCanceled):
            return await _begin(connection, plans_once=plans_once)
    return await _begin(connection, plans_once=plans_once)


async def _begin(connection: AsyncConnection[DictRow], *, plans_once: bool) -> bool:
    """Send both statements as one text, which is one transaction. Therefore the client has to insert the parameter."""
    cursor = AsyncClientCursor(connection, row_factory=connection.row_factory)
    both = query("db/no_statement_timeout") + query("db/begin_session")
    mode = "force_generic_plan" if plans_once else "auto"
    await cursor.execute(both, {"pid": connection.info.backend_pid, "plan_cache_mode": mode})
    cursor.nextset()
    row = await cursor.fetchone()
    return row is not None and bool(row["direct"])
