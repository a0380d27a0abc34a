"""How each session of ours begins: with what the program relies on, whoever configured the role or the server."""

from contextlib import suppress

from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.errors import QueryCanceled
from psycopg.rows import DictRow

from blogworker.db.sql import query
from blogworker.redact import SECRETS

TRIES = 20  # a statement_timeout of a millisecond stops even what lifts it, now and then


async def begin_session(connection: AsyncConnection[DictRow]) -> bool:
    """Set what we rely on, in one round trip. Gives whether the server session is this connection's own."""
    known = connection.info
    if known.password not in (known.user, known.dbname):
        SECRETS.learn(known.password)  # it may come from PGPASSWORD or a password file
    for _ in range(TRIES - 1):
        with suppress(QueryCanceled):
            return await _begin(connection)
    return await _begin(connection)


async def _begin(connection: AsyncConnection[DictRow]) -> bool:
    """Both statements are sent as one text, which makes them one transaction; so the client fills in the parameter."""
    cursor = AsyncClientCursor(connection, row_factory=connection.row_factory)
    both = query("db/no_statement_timeout") + query("db/begin_session")
    await cursor.execute(both, {"pid": connection.info.backend_pid})
    cursor.nextset()
    row = await cursor.fetchone()
    return row is not None and bool(row["direct"])
