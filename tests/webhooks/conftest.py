"""Jobs that end, endpoints, and a keeper that delivers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep
from pydantic import SecretStr

from blogworker.db.pool import Database, connect
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks import deliverer as deliverer_module
from blogworker.webhooks.deliverer import Deliverer

KEY = "k" * 20 + "0123456789abcdef"


class Psql:
    """A person at psql."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def run(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        cursor = await self.connection.execute(text.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def value(self, text: str, *parameters: object) -> Any:
        return next(iter((await self.run(text, *parameters))[0].values()))

    async def job(self, site: str = "shop") -> int:
        found: int = await self.value(
            "insert into blog_generations (instance_id, source_type, source_id) values (%s, 'keyword', 'linen') "
            "returning id",
            site,
        )
        return found

    async def hook(
        self, url: str | None, *, name: str = "hook", events: str = "{done,failed,alert}", **more: Any
    ) -> None:
        columns = {"name": name, "url": url, "events": events, **more}
        marks = ", ".join("%s" for _ in columns)
        await self.run(f"insert into webhooks ({', '.join(columns)}) values ({marks})", *columns.values())

    async def fail(self, *jobs: int) -> None:
        await self.run("update blog_generations set status = 'FAILED', error = 'e' where id = any (%s)", list(jobs))

    async def deliveries(self) -> list[dict[str, Any]]:
        return await self.run("select * from webhook_deliveries order by delivery_id")

    async def until(self, text: str, *parameters: object, within_s: float = 20) -> None:
        """Return once a query gives true."""
        with fail_after(within_s):
            while not await self.value(text, *parameters):
                await sleep(0.02)


@pytest.fixture
async def psql(database_url: str) -> AsyncIterator[Psql]:
    async with await connect(database_url, timeout_s=5) as connection:
        yield Psql(connection)


@pytest.fixture
async def another_psql(database_url: str) -> AsyncIterator[Psql]:
    async with await connect(database_url, timeout_s=5) as connection:
        yield Psql(connection)


@pytest.fixture
def hook_settings() -> WebhookSettings:
    return WebhookSettings(key=SecretStr(KEY), allow_loopback=True, timeout=1.0, _env_file=None)


@pytest.fixture
def promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries within milliseconds."""
    for name in ("FIRST_RETRY_S", "FIRST_REST_S"):
        monkeypatch.setattr(deliverer_module, name, 0.01)
    for name in ("LONGEST_RETRY_S", "LONGEST_REST_S"):
        monkeypatch.setattr(deliverer_module, name, 0.05)
    monkeypatch.setattr(deliverer_module, "POLL_S", 0.02)


@pytest.fixture
def delivering(database: Database, hook_settings: WebhookSettings) -> Callable[..., Any]:
    """A keeper that delivers within the block."""

    @asynccontextmanager
    async def run(settings: WebhookSettings = hook_settings) -> AsyncIterator[Deliverer]:
        keeper = Deliverer(database, settings)
        async with create_task_group() as keepers:
            keepers.start_soon(keeper.run)
            yield keeper
            keepers.cancel_scope.cancel()

    return run
