"""Create the group roles and set their privileges to those of grants.py."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.errors import DuplicateObject, InsufficientPrivilege, UniqueViolation
from psycopg.rows import DictRow

from blogworker.db.grants import ROLES, Role
from blogworker.db.sql import query
from blogworker.errors import DatabaseNotReady

NAMES = [role.name for role in ROLES]


@dataclass(frozen=True, slots=True)
class Ours:
    """The names of all tables, views and functions that the migrations create."""

    relations: Sequence[str]
    functions: Sequence[str]


async def create_statements(connection: AsyncConnection[DictRow]) -> dict[str, str]:
    """Return the CREATE ROLE statement of each missing role, by the role's name."""
    rows = await (await connection.execute(query("roles/create"), {"roles": NAMES})).fetchall()
    return {row["name"]: row["statement"] for row in rows}


async def create(connection: AsyncConnection[DictRow]) -> tuple[list[str], list[str]]:
    """Create the missing roles. Return the names of those created, and of those that we may not create."""
    created, refused = [], []
    for name, statement in (await create_statements(connection)).items():
        try:
            await connection.execute(statement.encode())
            created.append(name)
        except InsufficientPrivilege:
            refused.append(name)
        except (DuplicateObject, UniqueViolation):
            pass  # another session has just created it
    return created, refused


async def grant_statements(connection: AsyncConnection[DictRow], role: Role, ours: Ours) -> list[str]:
    """Return the statements that grant the role its privileges in this schema and revoke all others."""
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
    """Grant the existing roles their privileges, in one transaction. Return their names.

    Raises DatabaseNotReady if the caller does not own the tables.
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
        raise DatabaseNotReady(
            f"role {connection.info.user} may not grant privileges here ({error.diag.message_primary}): "
            "run `blogworker roles` as the owner of the tables"
        ) from error
    return [role.name for role in granted]
