"""Several servers in DATABASE_URL: one that does not answer must not hide one that does."""

import socket
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from anyio import fail_after
from psycopg.conninfo import conninfo_to_dict

from blogworker.db.dedicated import DedicatedConnection
from blogworker.db.pool import Database
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(database_url: str) -> Iterator[DatabaseSettings]:
    """The first server accepts connections and says nothing, as a frozen one, or one behind a dead network."""
    known = conninfo_to_dict(database_url)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = (
            f"postgresql://postgres@/{known['dbname']}?host=127.0.0.1,{quote(str(known['host']), safe='/')}"
            f"&port={silent.getsockname()[1]},{known['port']}&target_session_attrs=read-write"
        )
        yield DatabaseSettings(url=url, pool_min=1, _env_file=None)


async def test_the_lease_is_extended_on_the_server_that_answers(settings: DatabaseSettings) -> None:
    """It has five seconds for that by default, and each attempt begins with the first server again."""
    async with DedicatedConnection(settings, answer_s=5, application="t") as own:
        assert await own.one("queue/ping")


async def test_the_pool_connects_to_the_server_that_answers(settings: DatabaseSettings) -> None:
    with fail_after(15):
        async with Database(settings) as database:
            assert await database.one("queue/ping")
