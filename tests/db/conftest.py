"""Databases before and after their migration."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from blogworker.db.grants import ROLES
from blogworker.db.migrate import ours
from blogworker.db.pool import connect
from blogworker.db.roles import create, grant

from .logins import LIFE, Logins


@pytest.fixture
async def empty(empty_url):
    """A connection to a database that was never migrated."""
    connection = await connect(empty_url, timeout_s=5)
    async with connection:
        yield connection


@pytest.fixture
async def migrated(database_url):
    connection = await connect(database_url, timeout_s=5)
    async with connection:
        yield connection


@pytest.fixture(scope="module")
async def logins(module_url: str, anyio_backend: str) -> Iterator[Logins]:
    async with await connect(module_url, timeout_s=5) as connection:
        await create(connection)
        await grant(connection, ours())
    with psycopg.connect(module_url, autocommit=True, row_factory=dict_row) as owner:
        owner.execute(LIFE.encode())
        sessions = {}
        for role in ROLES:
            login = f"{owner.info.dbname}_{role.name}"[-60:]
            owner.execute(f"create role {login} login in role {role.name}".encode())
            url = make_conninfo(module_url, user=login)
            sessions[role.name] = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        yield Logins(owner, module_url, sessions)
        for session in sessions.values():
            user = session.info.user
            session.close()
            owner.execute(f"drop owned by {user}; drop role {user}".encode())
