"""Check, before anything is changed, that the server, the session and the schema can be used."""

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from blogworker.db.grants import NO_ROLE, Role
from blogworker.db.sql import query
from blogworker.errors import DatabaseNotReady, DatabaseUnavailable
from blogworker.printable import printable

OLDEST = 15  # the oldest major version that the tests run on
HOME = "create schema blogworker, and put ?options=-csearch_path%3Dblogworker at the end of DATABASE_URL"


@dataclass(frozen=True, slots=True)
class Server:
    """The row of inspect_server.sql."""

    version: int
    version_name: str
    encoding: str
    standby: bool
    read_only: bool
    role: str
    schema: str | None
    wanted: str | None
    may_create: bool
    wrong_settings: list[str]

    def require_ready(self) -> None:
        """Raise DatabaseNotReady, or DatabaseUnavailable if waiting may help."""
        if self.version < OLDEST * 10_000:
            raise DatabaseNotReady(f"Postgres {self.version_name} is too old: blogworker needs {OLDEST} or newer")
        if self.encoding != "UTF8":
            raise DatabaseNotReady(
                f"the database's encoding is {self.encoding}, and posts need UTF8: create another one with "
                "`create database ... encoding 'UTF8' template template0`"
            )
        if self.standby or self.read_only:
            kind = "a standby" if self.standby else "read-only (default_transaction_read_only)"
            raise DatabaseUnavailable(
                f"the database is {kind}: point DATABASE_URL at the primary, or wait until it takes writes"
            )
        self._require_schema()
        if self.wrong_settings:
            raise DatabaseNotReady(
                f"a setting of role {self.role}, its database or its server is wrong: "
                f"alter role {quoted(self.role)} set {self.wrong_settings[0]}"
            )

    def _require_schema(self) -> None:
        if self.wanted is not None and self.wanted.startswith("pg_"):
            raise DatabaseNotReady(
                f"the search_path begins with {self.wanted}, a system schema: put the schema of the tables first"
            )
        if self.schema is None:
            named = f"schema {self.wanted} does not exist, or" if self.wanted else "it is empty, or"
            raise DatabaseNotReady(
                f"the search_path has no usable schema: {named} role {self.role} lacks USAGE on it. "
                "Create it, grant it, or set another one: alter role ... set search_path = ..."
            )
        if self.wanted is not None and self.schema not in (self.role, self.wanted):
            raise DatabaseNotReady(
                f"the search_path begins with schema {self.wanted}, which does not exist or which role "
                f"{self.role} may not use: create schema {quoted(self.wanted)}, grant usage on it, or correct the "
                "search_path"
            )


async def inspect_server(connection: AsyncConnection[DictRow]) -> Server:
    row = await (await connection.execute(query("db/inspect_server"))).fetchone()
    return Server(**(row or {}))


async def inspect_relations(
    connection: AsyncConnection[DictRow], names: list[str], *, needs: Role = NO_ROLE
) -> list[dict[str, Any]]:
    asked = {"names": names, "reads": needs.reads, **needs.wanted}
    return await (await connection.execute(query("db/inspect_relations"), asked)).fetchall()


def quoted(name: str) -> str:
    """Return the name as an SQL identifier, quoted if necessary."""
    if name.isidentifier() and name == name.lower():
        return name
    double = name.replace('"', '""')
    if printable(name) == name:
        return f'"{double}"'
    escaped = (f"\\+{ord(char):06x}" if char == "\\" or printable(char) != char else char for char in double)
    return f'U&"{"".join(escaped)}"'
