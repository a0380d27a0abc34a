"""Open the database for a command."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from getpass import getuser
from socket import gethostname
from typing import TypeVar

import anyio

from blogworker.db.grants import READER, Role
from blogworker.db.pool import Database
from blogworker.db.readiness import require_ready
from blogworker.ops.audit import acting_as
from blogworker.printable import printable
from blogworker.section import load_section
from blogworker.settings import DatabaseSettings

T = TypeVar("T")


def login() -> str:
    """Return who runs the command: the person behind sudo, if there is one, and the machine."""
    person = os.environ.get("SUDO_USER")
    if not person:
        try:
            person = getuser()
        except (KeyError, OSError):  # a user without a name
            person = str(os.getuid())
    return f"{printable(person)}@{gethostname()}"


@asynccontextmanager
async def opened(needs: Role = READER) -> AsyncIterator[Database]:
    """Open the database of DATABASE_URL with few connections. Raises DatabaseNotReady unless it is migrated."""
    settings = load_section(DatabaseSettings, pool_min=1, pool_max=4)
    async with Database(settings, application="blogworker cli") as database:
        async with database.connection() as connection:
            await require_ready(connection, needs=needs)
        yield database


def with_database(act: Callable[[Database], Awaitable[T]], *, needs: Role = READER) -> T:
    """Run `act` with the database open. `needs`: the group role whose privileges are checked first."""

    async def run() -> T:
        async with opened(needs) as database:
            with acting_as(login(), "cli"):
                return await act(database)

    return anyio.run(run)
