"""A new database with a history of all jobs, a new simulator with the limits of the seed, and the workers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import fail_after, sleep

from blogworker.bench.chaos.evidence import JOB_HISTORY, record
from blogworker.bench.environment import Environment, environment
from blogworker.bench.environment.fleet import Command, worker
from blogworker.bench.load import cpu
from blogworker.errors import BlogworkerError

POLL_S = 0.1
START_TIMEOUT_S = 60.0
CONNECTIONS = 150  # of all workers together; the server allows 200
SEED_LIMITS = {"openai_rpm": 450, "openai_tpm": 450_000, "replicate_rpm": 600}
# Settings of a worker in seconds. They are divided by the speed, or a worker would react that much more slowly than in
# production. The poll interval of Replicate is not divided, because two cores cannot handle so many polls.
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
    slots: int  # of each worker
    speed: float
    wix_rpm: int = 200  # of each site

    @property
    def minute_s(self) -> float:
        """A minute of the providers' clock in real seconds."""
        return 60 / self.speed

    @property
    def names(self) -> list[str]:
        return [f"load/{n}" for n in range(self.workers)]


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds so far."""

    workers: float
    simulator: float
    postgres: float
    machine: float  # of all processes of the machine

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
class Cluster(Environment):
    scale: Scale

    @property
    def logs(self) -> list[Path]:
        return [log for name in self.scale.names if (log := self.fleet.log(name)).exists()]

    async def start(self) -> None:
        """Start the workers, and return when each has its lease. Raises TimeoutError or BlogworkerError."""
        for name in self.scale.names:
            await self.fleet.start(name)
        with fail_after(START_TIMEOUT_S):
            while (await self.database.one("bench/live_workers"))["workers"] < self.scale.workers:
                self.require_running()
                await sleep(POLL_S)

    def require_running(self) -> None:
        """Raises BlogworkerError with the end of its log if a worker has exited."""
        for name in sorted({*self.scale.names} - {*self.fleet.running}):
            log = self.fleet.log(name).read_text(errors="replace")[-2_000:]
            raise BlogworkerError(f"worker {name} has exited: {log}")

    async def cpu(self) -> Cpu:
        pids = [pid for name in self.scale.names if (pid := self.fleet.pid(name)) is not None]
        backend_pid = (await self.database.one("bench/live_workers"))["backend_pid"]
        return Cpu(cpu.used_s(pids), cpu.used_s([self.simulator.pid]), cpu.server_s(backend_pid), cpu.machine_s())


@asynccontextmanager
async def running_cluster(dsn: str, scale: Scale, *, command: Command = worker) -> AsyncIterator[Cluster]:
    """Run a cluster during the block. The queue is empty, and the workers run after `start`."""
    async with environment(dsn, _settings(scale), speed=scale.speed, pool_max=8, command=command) as env:
        # The buckets of the providers hold a minute of their own clock. That of Wix holds a real minute, because the
        # burst that workers allow a site is in real seconds.
        bursts = {"openai_burst": 1 / scale.speed, "replicate_burst": 1 / scale.speed}
        await env.simulator.configure(**SEED_LIMITS, **bursts, wix_rpm=scale.wix_rpm)
        await record(env.database, JOB_HISTORY)
        yield Cluster(env.database, env.simulator, env.fleet, scale)


def _settings(scale: Scale) -> dict[str, str]:
    return {
        "DB_POOL_MAX": str(max(2, min(20, CONNECTIONS // scale.workers - 2))),
        "BLOGWORKER_CONCURRENCY": str(scale.slots),
        "BLOGWORKER_DRAIN_TIMEOUT": "0",
        "LOG_LEVEL": "debug",  # for limiter_waited
        "WIX_RPM": str(max(8, round(scale.wix_rpm * scale.speed))),
        **{name: str(seconds / scale.speed) for name, seconds in SECONDS.items()},
    }


def refusals(stats: dict[str, Any]) -> dict[str, int]:
    """Return the number of 429 answers by provider."""
    return {name: counts["throttled"] for name, counts in stats["vendors"].items()}


def used_tokens(stats: dict[str, Any], model: str) -> int:
    """Return the tokens of a model that the provider has counted."""
    used = stats["openai"]["models"].get(model, {})
    return int(used.get("input_tokens", 0) + used.get("output_tokens", 0))


def published_twice(posts: Sequence[dict[str, Any]]) -> int:
    """Return the number of posts with the same site and title as another post."""
    return len(posts) - len({(post["site"], post["title"]) for post in posts})
