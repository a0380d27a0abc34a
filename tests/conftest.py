"""A real Postgres for all tests: started once, a fresh copy of a migrated database for each test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.redact import SECRETS
from blogworker.settings import DatabaseSettings

TEMPLATE = "migrated"
os.environ["BLOGWORKER_ENV_FILE"] = ""  # no test takes the settings of this machine's own workers

# A property is about what holds, not about how fast this machine makes examples of it.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("here")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests wait for processes, or are slow, go first: the quick ones fill what is left of every core."""
    slow = {item.path for item in items if "e2e" in item.path.parts or item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests() -> Iterator[None]:
    """What one test's settings hold as secret is a plain word to another."""
    yield
    SECRETS.clear()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of the server's `postgres` database. BLOGWORKER_TEST_DATABASE_URL names another server to use."""
    given = os.environ.get("BLOGWORKER_TEST_DATABASE_URL")
    if given:
        yield given
        return
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False, max_connections=300)
    try:
        yield embedded.start()
    finally:
        embedded.remove()


def dsn_of(server: str, name: str) -> str:
    return psycopg.conninfo.make_conninfo(server, dbname=name)


@pytest.fixture(scope="session")
async def template(server: str, anyio_backend: str) -> str:
    """The name of a migrated database that tests are copied from."""
    name = f"{TEMPLATE}_{os.getpid()}"
    await _admin(server, f"create database {name}")
    connection = await connect(dsn_of(server, name), timeout_s=5)
    async with connection:
        await migrate(connection)
    return name


async def _admin(server: str, command: str) -> None:
    connection = await psycopg.AsyncConnection.connect(server, autocommit=True)
    async with connection:
        await connection.execute(command.encode())


@pytest.fixture
async def empty_url(server: str, anyio_backend: str) -> AsyncIterator[str]:
    """The DSN of a database that was never migrated."""
    name = f"t{uuid4().hex}"
    await _admin(server, f"create database {name}")
    yield dsn_of(server, name)
    await _admin(server, f"drop database {name} with (force)")


@pytest.fixture
async def database_url(server: str, template: str) -> AsyncIterator[str]:
    """The DSN of a migrated database of this test's own."""
    name = f"t{uuid4().hex}"
    await _admin(server, f"create database {name} template {template}")
    yield dsn_of(server, name)
    await _admin(server, f"drop database {name} with (force)")


@pytest.fixture
def database_settings(database_url: str, tmp_path: Path) -> DatabaseSettings:
    return DatabaseSettings(url=database_url, pool_max=30, _env_file=None)


@pytest.fixture
async def database(database_settings: DatabaseSettings) -> AsyncIterator[Database]:
    async with Database(database_settings) as opened:
        yield opened


@pytest.fixture
def worker_id() -> UUID:
    return uuid4()
