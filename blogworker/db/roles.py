"""Make the group roles, and keep what they are granted equal to grants.py."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.errors import DuplicateObject, InsufficientPrivilege, UniqueViolation
from psycopg.rows import DictRow

from blogworker.db.grants import ROLES, Role
from blogworker.db.sql import query
from blogworker.errors import DatabaseUnready

NAMES = [role.name for role in ROLES]


@dataclass(frozen=True, slots=True)
class Ours:
    """What the migrations made: names of tables and views, and of functions."""

    relations: Sequence[str]
    functions: Sequence[str]


async def create_statements(connection: AsyncConnection[DictRow]) -> dict[str, str]:
    """The statement for each role that the server lacks, by its name."""
    rows = await (await connection.execute(query("roles/create"), {"roles": NAMES})).fetchall()
    return {row["name"]: row["statement"] for row in rows}


async def create(connection: AsyncConnection[DictRow]) -> tuple[list[str], list[str]]:
    """Create the roles that are missing. Gives the names of those created, and of those that may not be."""
    created, refused = [], []
    for name, statement in (await create_statements(connection)).items():
        try:
            await connection.execute(statement.encode())
            created.append(name)
        except InsufficientPrivilege:
            refused.append(name)
        except (DuplicateObject, UniqueViolation):
            pass  # another session was quicker
    return created, refused


async def grant_statements(connection: AsyncConnection[DictRow], role: Role, ours: Ours) -> list[str]:
    """What gives the role its privileges in this schema, and takes all others."""
    asked = {
        "role": role.name,
        "reads": role.reads,
        "ours": list(ours.relations),
        "own": list(ours.functions),
        "functions": list(role.functions),
        **role.wanted,
    }
    return [row["statement"] for row in await (await connection.execute(query("roles/grants"), asked)).fetchall()]


async def grant(connection: AsyncConnection[DictRow], ours: Ours) -> list[str]:
    """Grant what the roles need to those that there are, in one transaction. Gives their names.

    Raises DatabaseUnready when the tables are another role's.
    """
    rows = await (await connection.execute(query("roles/present"), {"roles": NAMES})).fetchall()
    present = {row["name"] for row in rows}
    granted = [role for role in ROLES if role.name in present]
    try:
        async with connection.transaction():
            for role in granted:
                for statement in await grant_statements(connection, role, ours):
                    await connection.execute(statement.encode())
    except InsufficientPrivilege as error:
        raise DatabaseUnready(
            f"role {connection.info.user} may not grant privileges here ({error.diag.message_primary}): "
            "run `blogworker roles` as the owner of the tables"
        ) from error
    return [role.name for role in granted]
