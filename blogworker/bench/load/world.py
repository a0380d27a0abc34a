"""A fresh database that records every move of every blog, a fresh simulator, and the worker processes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anyio import CancelScope, fail_after, sleep
from psycopg.conninfo import make_conninfo

from blogworker.bench.chaos.fleet import Command, Fleet, worker
from blogworker.bench.chaos.vendors import Vendors, vendors
from blogworker.bench.load import cpu
from blogworker.bench.scratch import database
from blogworker.db.pool import Database
from blogworker.errors import BlogworkerError

LOOK_S = 0.1
BEGIN_WITHIN_S = 60.0  # real seconds until every worker has its lease
CONNECTIONS = 150  # of all workers together; the server allows 200
RECORDER = ("bench/chaos_history", "bench/chaos_record", "bench/chaos_watch")
SEED_LIMITS = {"openai_rpm": 450, "openai_tpm": 450_000, "replicate_rpm": 600}
# Settings of a worker that are seconds. They are divided by the speed, or a worker would be that much slower to react
# than in production. The looks at a picture are not: that many of them are more than two cores carry beside the rest.
SECONDS = {
    "BLOGWORKER_POLL_INTERVAL": 10,
    "BLOGWORKER_QUOTA_PATIENCE": 5,
    "BLOGWORKER_RETRY_BASE": 2,
    "BLOGWORKER_RETRY_CAP": 300,
    "WIX_MEDIA_POLL_INTERVAL": 1,
}


@dataclass(frozen=True, slots=True)
class Scale:
    workers: int
    slots: int  # of each
    speed: float
    wix_rpm: int = 200  # of each site

    @property
    def minute_s(self) -> float:
        """The vendors' minute, in real seconds."""
        return 60 / self.speed

    @property
    def names(self) -> list[str]:
        return [f"load/{n}" for n in range(self.workers)]


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds used so far."""

    workers: float
    simulator: float
    postgres: float
    machine: float  # by every process on the machine

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(
            workers=self.workers - before.workers,
            simulator=self.simulator - before.simulator,
            postgres=self.postgres - before.postgres,
            machine=self.machine - before.machine,
        )

    @property
    def total(self) -> float:
        return self.workers + self.simulator + self.postgres


@dataclass(frozen=True, slots=True)
class World:
    """All that runs. The workers start with `start`."""

    scale: Scale
    database: Database
    url: str
    simulator: Vendors
    fleet: Fleet

    @property
    def logs(self) -> list[Path]:
        return [log for name in self.scale.names if (log := self.fleet.log(name)).exists()]

    async def start(self) -> None:
        """Start the workers; return once each has its lease."""
        for name in self.scale.names:
            await self.fleet.start(name)
        with fail_after(BEGIN_WITHIN_S):
            while (await self.database.one("bench/living_workers"))["workers"] < self.scale.workers:
                self.require_running()
                await sleep(LOOK_S)

    def require_running(self) -> None:
        """Raise, with the end of its log, when a worker has exited."""
        for name in sorted({*self.scale.names} - {*self.fleet.running}):
            said = self.fleet.log(name).read_text(errors="replace")[-2_000:]
            raise BlogworkerError(f"worker {name} has exited: {said}")

    async def cpu(self) -> Cpu:
        pids = [pid for name in self.scale.names if (pid := self.fleet.pid(name)) is not None]
        backend_pid = (await self.database.one("bench/living_workers"))["backend_pid"]
        return Cpu(cpu.used_s(pids), cpu.used_s([self.simulator.pid]), cpu.server_s(backend_pid), cpu.machine_s())


@asynccontextmanager
async def opened(dsn: str, scale: Scale, *, command: Command = worker) -> AsyncIterator[World]:
    """The world while the block lasts, with nothing in the queue."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-load-")))
        simulator = await stack.enter_async_context(vendors(folder, speed=scale.speed, seed=1))
        # The vendors' buckets hold a minute of their own time. Wix's is left at a real minute, because the burst that
        # workers allow a site is in real seconds.
        bursts = {"openai_burst": 1 / scale.speed, "replicate_burst": 1 / scale.speed}
        await simulator.configure(**SEED_LIMITS, **bursts, wix_rpm=scale.wix_rpm)
        fresh = await stack.enter_async_context(database(dsn, pool_max=8))
        for statement in RECORDER:
            await fresh.execute(statement)
        url = make_conninfo(dsn, dbname=(await fresh.one("bench/connected_to"))["name"])
        fleet = Fleet({**simulator.environment, **_settings(scale, url)}, folder, command=command)
        try:
            yield World(scale, fresh, url, simulator, fleet)
        finally:
            with CancelScope(shield=True):
                await fleet.stop()


def _settings(scale: Scale, url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "DATABASE_DIRECT_URL": url,
        "DB_POOL_MAX": str(max(2, min(20, CONNECTIONS // scale.workers - 2))),
        "BLOGWORKER_CONCURRENCY": str(scale.slots),
        "BLOGWORKER_DRAIN_TIMEOUT": "0",
        "BLOGWORKER_LOG_FORMAT": "json",
        "LOG_LEVEL": "debug",  # limiter_waited
        "WIX_RPM": str(max(8, round(scale.wix_rpm * scale.speed))),
        **{name: str(seconds / scale.speed) for name, seconds in SECONDS.items()},
    }


def refusals(stats: dict[str, Any]) -> dict[str, int]:
    """The 429s of each vendor."""
    return {name: counts["throttled"] for name, counts in stats["vendors"].items()}


def used_tokens(stats: dict[str, Any], model: str) -> int:
    """What the vendor has counted for one model."""
    used = stats["openai"]["models"].get(model, {})
    return int(used.get("input_tokens", 0) + used.get("output_tokens", 0))


def published_twice(posts: Sequence[dict[str, Any]]) -> int:
    """Posts that stand on their site under a title that another post of it has."""
    return len(posts) - len({(post["site"], post["title"]) for post in posts})
