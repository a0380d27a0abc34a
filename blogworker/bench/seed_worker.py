"""A worker like that of the seed, for comparison: `python -m blogworker.bench.seed_worker CONFIG`, with CONFIG as JSON.

It selects a hundred rows without a lock, marks them, and runs them in batches of fifty, each of which waits for its
slowest job. Its limiters know only their own process and estimates. It stores no checkpoints, and two workers can run
the same job. The stages and the clients of the providers are the present ones.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from uuid import UUID

import anyio
from anyio import create_task_group, sleep
from psycopg.errors import DeadlockDetected
from pydantic import TypeAdapter

from blogworker.bench.quota.seed_limiter import BATCH, SeedLimiter
from blogworker.bench.scratch import register
from blogworker.bench.unguarded import Unfenced, Unlimited
from blogworker.daemon.clients import open_clients
from blogworker.db.pool import Database, Row
from blogworker.queue.job import Claim, Done, Outcome, Retry, Stage, Status, Wait
from blogworker.quota.limiter import Permit
from blogworker.settings import OpenAISettings, Settings, load
from blogworker.stages.pipeline import attempt
from blogworker.stages.preview import Recalled, Unguarded
from blogworker.stages.work import Clients, Work
from blogworker.telemetry import configure

CLAIM, SITE_WINDOW = 100, 20
POLL_S = 10.0  # by the providers' clock
IDEAS_TOKENS, CONTENT_TOKENS = 2_000, 4_000
RPM, TPM, IMAGES_RPM = 450, 450_000, 600
TRIES = 3  # the SDKs retry twice by themselves


@dataclass(frozen=True, slots=True)
class SeedWorkerConfig:
    name: str
    speed: float


class SeedLimits(Unlimited):
    """The limiters of one process, for text and for images. Other calls are not limited."""

    def __init__(self, database: Database, openai: OpenAISettings, *, minute_s: float) -> None:
        super().__init__(database)
        self._ideas = f"openai/{openai.ideas_model}"
        self._text = SeedLimiter(requests=RPM, tokens=TPM, minute_s=minute_s)
        self._images = SeedLimiter(requests=IMAGES_RPM, tokens=IMAGES_RPM, minute_s=minute_s)

    @asynccontextmanager
    async def permit(
        self, bucket: str, *, tokens: int = 0, turn: float = 0.0, spares: int = 0
    ) -> AsyncIterator[Permit]:
        async with self._turn(bucket), super().permit(bucket, tokens=tokens) as permit:
            yield permit

    def _turn(self, bucket: str) -> AbstractAsyncContextManager[None]:
        if bucket.startswith("openai/"):
            return self._text.permit(IDEAS_TOKENS if bucket == self._ideas else CONTENT_TOKENS)
        return self._images.permit(1) if bucket == "replicate/predictions" else nullcontext()


class SeedWorker:
    """Runs jobs until it is killed."""

    def __init__(self, settings: Settings, database: Database, providers: Clients, limits: SeedLimits) -> None:
        self._settings = settings
        self._database = database
        self._providers = providers
        self._limits = limits

    async def run(self, worker_id: UUID, *, poll_s: float) -> None:
        while True:
            found = await self._database.rows("bench/seed_claim", slots=CLAIM, site_window=SITE_WINDOW)
            job_ids = [row["id"] for row in found]
            if not job_ids:
                await sleep(poll_s)
                continue
            try:
                await self._database.execute("bench/seed_mark", worker_id=worker_id, job_ids=job_ids)
            except DeadlockDetected:
                continue
            rows = await self._database.rows("bench/seed_rows", job_ids=job_ids)
            for first in range(0, len(rows), BATCH):
                async with create_task_group() as batch:
                    for row in rows[first : first + BATCH]:
                        batch.start_soon(self._run_job, row)

    async def _run_job(self, row: Row) -> None:
        work = self._work(row)
        status = Status.FAILED
        for _ in range(TRIES):
            match await self._outcome(work):
                case Done():
                    status = Status.DONE
                    break
                case Wait(delay_s=delay_s) | Retry(delay_s=delay_s):
                    await sleep(delay_s)
                case _:
                    break
        await self._database.execute("bench/seed_end", job_id=row["job_id"], status=status)

    async def _outcome(self, work: Work) -> Outcome | None:
        worker = self._settings.worker
        try:
            return await attempt(work, retry_base_s=worker.retry_base, retry_cap_s=worker.retry_cap)
        except Exception:  # one job does not stop its batch
            return None

    def _work(self, row: Row) -> Work:
        claim = Claim(**row, failures=0, max_attempts=1, stage=Stage.SOURCE, publish_in_s=None)
        cache = Recalled(self._database, product_s=self._settings.wix.product_ttl, ideas_s=1)
        return Work(claim, Unfenced(), self._providers, self._limits, self._settings.openai, Unguarded(), cache)


async def main(config: SeedWorkerConfig) -> None:
    settings = load()
    async with Database(settings.database) as database:
        limits = SeedLimits(database, settings.openai, minute_s=60 / config.speed)
        async with open_clients(settings, limits, connections=BATCH) as providers:
            worker_id = await register(database, config.name)
            await SeedWorker(settings, database, providers, limits).run(worker_id, poll_s=POLL_S / config.speed)


if __name__ == "__main__":
    sections = load()
    configure(sections.log)
    anyio.run(main, TypeAdapter(SeedWorkerConfig).validate_json(sys.argv[1]))
