"""One blog's attempts on a real queue against the simulated providers, settled as a worker does it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
from anyio import create_task_group

from blogworker.cli.simulation import flags_for
from blogworker.daemon.clients import open_clients
from blogworker.daemon.pacing import buckets
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim
from blogworker.queue.settle import Settler
from blogworker.quota.breaker import Breakers
from blogworker.quota.limiter import Limiter
from blogworker.settings import OpenAISettings, Settings, load
from blogworker.simulator import SimulatorOptions, running_simulator
from blogworker.stages.cache import StoredCache
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.checkpoint import load as load_checkpoints
from blogworker.stages.pipeline import attempt
from blogworker.stages.work import Clients, Guard, Work

from .simulated_clients import Room

SPEED = 100
QUICK: dict[str, dict[str, Any]] = {
    "openai": {"rpm": 60_000, "tpm": 60_000_000, "timeout": 30, "fallback_model": "gpt-5.4-mini"},
    "replicate": {"rpm": 60_000, "reads_rpm": 300_000, "timeout": 30, "poll_interval": 0.02, "deadline": 5},
    "wix": {"rpm": 20_000, "timeout": 30, "media_timeout": 3, "media_poll_interval": 0.02},
}


@dataclass
class Harness:
    """A queue, and all that makes its blogs. `trouble`: what becomes of a post without a picture."""

    database: Any
    clients: Clients
    room: Room
    worker_id: UUID
    openai: OpenAISettings
    limiter: Limiter
    breakers: Guard
    trouble: str = "wait"
    paused: frozenset[str] = frozenset()  # stages

    async def run(self, text: str, *values: object) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []

    async def add(self, site: str, source_type: str = "keyword", source_id: str = "curtains") -> int:
        [row] = await self.run(
            "insert into blog_generations (instance_id, source_type, source_id) values (%s, %s, %s) returning id",
            site, source_type, source_id,
        )  # fmt: skip
        return int(row["id"])

    async def attempt(self) -> dict[str, Any]:
        """One attempt at the blog that is next, settled; the job as the queue has it then."""
        [taken] = await self.claims(1)
        return await self.made(taken)

    async def attempts(self) -> list[dict[str, Any]]:
        """One attempt at each blog there is, all at once."""
        jobs: list[dict[str, Any]] = []

        async def one(taken: Claim) -> None:
            jobs.append(await self.made(taken))

        async with create_task_group() as tasks:
            for taken in await self.claims(100):
                tasks.start_soon(one, taken)
        return jobs

    async def claims(self, slots: int) -> tuple[Claim, ...]:
        """The blogs that are next; none has to wait for its time."""
        await self.run(
            "update blog_generations set status = 'PENDING', run_at = now() "
            "where status in ('PENDING', 'SCHEDULED') and line is null"
        )
        return (await claim(self.database, self.worker_id, slots=slots, site_window=slots)).claims

    async def made(self, taken: Claim) -> dict[str, Any]:
        """One attempt at a blog that was claimed, settled; the job as the queue has it then."""
        saved = (await load_checkpoints(self.database, [taken.job_id]))[taken.job_id]
        checkpoints = StoredCheckpoints(self.database, self.worker_id, taken, saved)
        cache = StoredCache(self.database, product_s=60, ideas_s=60)
        work = Work(
            taken, checkpoints, self.clients, self.limiter, self.openai, self.breakers, cache, self.trouble
        )  # fmt: skip
        outcome = await attempt(work, retry_base_s=1, retry_cap_s=60, paused=lambda: self.paused)
        settler = Settler(RetryingDatabase(self.database, DatabaseHealth()), self.worker_id)
        async with create_task_group() as tasks:
            tasks.start_soon(settler.run)
            await settler.settle(taken, outcome)
            tasks.cancel_scope.cancel()
        return await self.job(taken.job_id)

    async def job(self, job_id: int) -> dict[str, Any]:
        """The blog, its last error, and why its site is paused."""
        [row] = await self.run(
            "select g.id, g.status, g.failures, g.stage, extract(epoch from g.run_at - now()) as wait_s, g.error, "
            "e.kind, e.code, e.message, e.request_id, s.pause_reason "
            "from blog_generations as g join sites as s using (instance_id) left join generation_errors as e on e.id = "
            "(select max(id) from generation_errors where generation_id = g.id) where g.id = %s",
            job_id,
        )
        return row

    async def calls(self, vendor: str, operation: str) -> int:
        return (await self.room.operations(vendor)).count(operation)

    async def checkpoints(self) -> dict[str, Any]:
        return {row["stage"]: row["output"] for row in await self.run("select stage, output from generation_stages")}

    async def breaker(self, provider: str) -> dict[str, Any]:
        [row] = await self.run("select state, misconfigured from provider_health where provider = %s", provider)
        return row

    async def close(self, provider: str) -> None:
        """What a person does when the provider's account is in order again."""
        await self.room.forgive()
        await self.run("update provider_health set state = 'closed' where provider = %s", provider)
        await self.breakers.sync()  # type: ignore[attr-defined]


@asynccontextmanager
async def opened_harness(database: Any, worker_id: UUID, **options: Any) -> AsyncIterator[Harness]:
    """A harness whose providers run at a hundred times their speed. DATABASE_URL has to be set."""
    await database.execute(
        "queue/register_worker", name="w", worker_id=worker_id, host="h", pid=1, version="0", concurrency=1, lease_s=600
    )  # fmt: skip
    dials = SimulatorOptions(**{"speed": SPEED, "openai_tail": 0, "replicate_cold": 0, **options})
    async with running_simulator(dials) as url, httpx2.AsyncClient(base_url=url) as http:
        settings = _settings(url)
        limiter, breakers = Limiter(database, buckets(settings)), Breakers(database)
        await limiter.start()
        await breakers.sync()
        async with open_clients(settings, limiter, connections=4) as clients:
            openai = settings.openai.model_copy(update={"fallback_model": None})
            yield Harness(database, clients, Room(http), worker_id, openai, limiter, breakers)


def _settings(url: str) -> Settings:
    there = flags_for(url)
    return load({section: fields | there[section] for section, fields in QUICK.items()})
