"""A database that the stories of one module share, one after another."""

from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest

from blogworker.db.pool import connect


@pytest.fixture(scope="module")
async def module_url(server: str, template: str) -> AsyncIterator[str]:
    name = f"m{uuid4().hex}"
    admin = await connect(server, timeout_s=5)
    async with admin:
        await admin.execute(f"create database {name} template {template}".encode())
        yield psycopg.conninfo.make_conninfo(server, dbname=name)
        await admin.execute(f"drop database {name} with (force)".encode())
