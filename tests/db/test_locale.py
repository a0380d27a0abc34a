"""A database whose locale has other small letters: in Turkish that of I is a dotless i."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from blogworker.db.migrate import migrate, ours
from blogworker.db.pool import connect
from blogworker.db.roles import create, grant
from blogworker.db.sql import query

pytestmark = pytest.mark.anyio


@pytest.fixture
def turkish_url(databases) -> Iterator[str]:
    name = f"t{uuid4().hex}"
    try:
        databases.admin.execute(
            f"create database {name} encoding 'UTF8' locale_provider icu icu_locale 'tr' locale 'C.UTF-8' "
            "template template0".encode()
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server has no ICU")
    yield databases.url(name)
    databases.admin.execute(f"drop database {name} with (force)".encode())


async def test_a_turkish_database_has_roles_messages_and_schemas(turkish_url):
    async with await connect(turkish_url, timeout_s=5) as connection:

        async def value(text: str):
            return next(iter((await (await connection.execute(text.encode())).fetchone()).values()))

        assert await value("select lower('I')") == "\u0131"
        await migrate(connection)
        await create(connection)
        await grant(connection, ours())

        await connection.execute(
            b"insert into webhooks (name, url, events) values ('h', 'https://x.example.com', '{failed}'); "
            b"insert into blog_generations (instance_id, source_type, source_id) values ('shop', 'keyword', 'k'); "
            b"update blog_generations set status = 'FAILED'"
        )
        assert await value("select array_agg(event) from webhook_deliveries") == ["failed"]

        await connection.execute(b"set search_path = ISHOP, public")
        found = await (await connection.execute(query("db/inspect_server"))).fetchone()
        assert found["wanted"] == "ishop"
