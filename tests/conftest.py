"""A real Postgres for all tests: started once, a fresh copy of a migrated database for each test."""

import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import anyio
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.redact import SECRETS
from blogworker.settings import DatabaseSettings
from tests.forks import Forks, forking
from tests.rewriting import rewrite_share

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of ours is made in it
ROOM = 4 * 2**30  # bytes, for the servers of all pytest workers
os.environ["BLOGWORKER_ENV_FILE"] = ""  # no test takes the settings of this machine's own workers

# A property is about what holds, not about how fast this machine makes examples of it.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("search", settings.get_profile("here"), max_examples=300)  # what `make search` takes
settings.load_profile("here")


class Spread(LoadScopeScheduling):
    """A file shares databases, so one pytest worker runs it whole. Tests of processes share nothing and are spread."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]


def pytest_configure(config: pytest.Config) -> None:
    rewrite_share(config, Path(__file__).parent)
    gc.disable()  # collecting thousands of tests makes only objects that stay


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread:
    return Spread(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests go first: the quick ones fill what is left. Those of processes mostly wait, so others run between."""
    slow = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("proof")}
    files: dict[Path, list[pytest.Item]] = {}
    for item in sorted(items, key=lambda item: item.path not in slow):
        files.setdefault(item.path, []).append(item)
    waiting = [[item] for path, tests in files.items() if "e2e" in path.parts for item in tests]
    busy = [tests for path, tests in files.items() if "e2e" not in path.parts]
    turns = chain.from_iterable(zip_longest(waiting, busy, fillvalue=()))
    items[:] = chain.from_iterable(turns)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds until all slots work again after each fault, as measured under a real systemd."""
    passed = terminalreporter.stats.get("passed", [])
    found = [value for report in passed for name, value in report.user_properties if name == "recovered"]
    if found:
        terminalreporter.section("seconds until all slots work again")
        for fault, seconds in found:
            terminalreporter.write_line(f"{seconds:6.1f}  {fault}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests() -> Iterator[None]:
    """A secret in one test's settings may be a plain word in another test."""
    yield
    SECRETS.clear()


@pytest.fixture
def default_hangup() -> Iterator[None]:
    """SIGHUP as it is without `nohup`, which ignores it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forking(tmp_path_factory.mktemp("forks")) as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of the server's `postgres` database. BLOGWORKER_TEST_DATABASE_URL names another server to use."""
    given = os.environ.get("BLOGWORKER_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with ExitStack() as stack:
        if _has_room(MEMORY):
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-tests-", dir=MEMORY)))
        else:
            folder = tmp_path_factory.mktemp("postgres")
        embedded = EmbeddedPostgres(
            folder, durable=False, max_connections=300, settings={"max_wal_size": "64MB", "min_wal_size": "32MB"}
        )
        stack.callback(embedded.remove)
        yield embedded.start()


def _has_room(folder: Path) -> bool:
    """On a disk each database that is made and dropped costs more than the one before: soon ten times as much."""
    return os.access(folder, os.W_OK) and disk_usage(folder).free >= ROOM


@dataclass(frozen=True, slots=True)
class Databases:
    """Makes databases on the tests' server."""

    admin: psycopg.Connection
    server: str

    def create(self, template: str) -> str:
        """The name of a new copy. Its files are copied: a third of what copying it through the log costs."""
        name = f"t{uuid4().hex}"
        self.admin.execute(f"create database {name} template {template} strategy file_copy".encode())
        return name

    def url(self, name: str) -> str:
        return psycopg.conninfo.make_conninfo(self.server, dbname=name)

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """The DSN of a copy that is gone after the block, whoever is still connected."""
        name = self.create(template)
        try:
            yield self.url(name)
        finally:
            self.admin.execute(f"drop database {name} with (force)".encode())


@pytest.fixture(scope="session")
def template(databases: Databases) -> str:
    """The name of a migrated database that tests are copied from."""
    name = databases.create("template0")
    anyio.run(_migrate, databases.url(name))
    return name


async def _migrate(url: str) -> None:
    async with await connect(url, timeout_s=5) as connection:
        await migrate(connection)


@pytest.fixture(scope="session")
def databases(server: str) -> Iterator[Databases]:
    with psycopg.connect(server, autocommit=True) as admin:
        yield Databases(admin, server)


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    """The DSN of a database that was never migrated."""
    with databases.copy("template0") as url:
        yield url


@pytest.fixture
def database_url(databases: Databases, template: str) -> Iterator[str]:
    """The DSN of a migrated database of this test's own."""
    with databases.copy(template) as url:
        yield url


@pytest.fixture(scope="module")
def module_url(databases: Databases, template: str) -> Iterator[str]:
    """The DSN of a migrated database that the tests of one module share."""
    with databases.copy(template) as url:
        yield url


@pytest.fixture
def database_settings(database_url: str, tmp_path: Path) -> DatabaseSettings:
    return DatabaseSettings(url=database_url, pool_min=1, pool_max=30, _env_file=None)


@pytest.fixture
async def database(database_settings: DatabaseSettings) -> AsyncIterator[Database]:
    async with Database(database_settings) as opened:
        yield opened


@pytest.fixture
def worker_id() -> UUID:
    return uuid4()
