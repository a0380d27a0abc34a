"""Calls of a provider, and how each ends."""

from collections import Counter
from collections.abc import Awaitable

from anyio import create_task_group

from blogworker.db.pool import Database
from blogworker.errors import (
    ProviderDown,
    ProviderError,
    Unavailable,
)
from blogworker.quota.breaker import Breakers
from blogworker.quota.call import Probe

WITHIN_S = 45.0


def failure(
    kind: type[ProviderError] = Unavailable,
    *,
    status: int | None = 503,
    code: str | None = None,
    provider: str = "openai",
) -> ProviderError:
    return kind("as said", provider=provider, status=status, code=code)


async def call(
    breakers: Breakers,
    error: BaseException | None = None,
    *,
    exempt=(),
    site: str | None = None,
    secondary: bool = False,
) -> str:
    """How a call ends that ends so."""
    try:
        async with breakers.guarding("openai", exempt=exempt, site=site, secondary=secondary):
            if error is not None:
                raise error
    except ProviderDown as down:
        return "down" if down.__cause__ else "kept back"
    except ProviderError as met:
        return type(met).__name__
    return "done"


async def calls(
    breakers: Breakers, count: int, error: ProviderError | None = None, *, site: str | None = None
) -> Counter[str]:
    """Many at once, as the slots of a worker make them."""
    ends: Counter[str] = Counter()

    async def one() -> None:
        ends[await call(breakers, error, site=site)] += 1

    async with create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return ends


class Person:
    """At psql."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def run(self, text: str) -> list[dict[str, object]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode())
            return await cursor.fetchall() if cursor.description else []

    async def due(self) -> None:
        """The next probe's time has come."""
        await self.run("update provider_health set retry_at = clock_timestamp() where state = 'open'")

    async def row(self) -> dict[str, object]:
        return (await self.run("select * from provider_health where provider = 'openai'"))[0]


async def opened(breakers: Breakers) -> None:
    await calls(breakers, 5, failure())


async def probing(breakers: Breakers, person: Person, *, open_by: Awaitable[object] | None = None) -> Probe:
    """The breaker is open, and this process may send the probe."""
    await (open_by or opened(breakers))
    await person.due()
    await breakers.sync()
    probe = await breakers.take_probe()
    assert probe is not None
    return probe
