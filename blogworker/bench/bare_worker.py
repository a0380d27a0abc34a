"""A worker without guarantees, for comparison: `python -m blogworker.bench.bare_worker`.

Each of its tasks claims one blog, runs the present stages with the present clients, and marks it DONE. It has no lease,
no checkpoints, no limiter and no circuit breakers; it stores no post and no cost, and retries nothing. It runs until it
is killed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
from anyio import create_task_group, sleep_forever

from blogworker.bench.unguarded import Unfenced, Unlimited
from blogworker.daemon.clients import open_clients
from blogworker.db.pool import Database, Row
from blogworker.queue.job import Claim, Stage, Status
from blogworker.settings import LogSettings, Settings, load
from blogworker.stages.pipeline import STAGES
from blogworker.stages.preview import Unguarded
from blogworker.stages.work import Clients, Flight, Work
from blogworker.telemetry import configure


class LocalCache:
    """Implements `work.Cache` in this process."""

    def __init__(self, settings: Settings) -> None:
        self.product_s = settings.wix.product_ttl
        self.ideas_s = settings.openai.ideas_ttl
        self._values: dict[str, object] = {}

    async def recall(self, key: str) -> object:
        return self._values.get(key)

    async def remember(self, key: str, value: object, *, ttl_s: float | None) -> None:
        self._values[key] = value

    async def forget(self, key: str) -> None:
        self._values.pop(key, None)

    async def begin_single_flight(self, key: str, claim: Claim, *, ttl_s: float, always: bool = False) -> Flight:
        return Flight(self._values.get(key), ours=True)

    async def end_single_flight(self, key: str, claim: Claim, *, found: Sequence[object], most: int) -> None:
        self._values[key] = found


class BareWorker:
    def __init__(self, settings: Settings, database: Database, providers: Clients) -> None:
        self._settings = settings
        self._database = database
        self._providers = providers
        self._limits = Unlimited(database)
        self._cache = LocalCache(settings)

    async def run(self) -> None:
        """Run all blogs."""
        async with create_task_group() as slots:
            for _ in range(self._settings.worker.concurrency):
                slots.start_soon(self._run_slot)

    async def _run_slot(self) -> None:
        while (row := await self._database.maybe("bench/bare_claim")) is not None:
            try:
                await self._run_stages(row)
            except Exception:  # one blog does not stop its worker
                status = Status.FAILED
            else:
                status = Status.DONE
            await self._database.execute("bench/bare_end", job_id=row["job_id"], status=status)

    async def _run_stages(self, row: Row) -> None:
        checkpoints = Unfenced()
        work = Work(
            Claim(
                **row,
                attempt=1,
                failures=0,
                max_attempts=1,
                stage=Stage.SOURCE,
                site={},
                created_at=datetime.now(UTC),
                publish_in_s=None,
            ),
            checkpoints,
            self._providers,
            self._limits,
            self._settings.openai,
            Unguarded(),
            self._cache,
        )
        for stage, run in STAGES.items():
            await checkpoints.save(stage, (await run(work)).dump())


async def main() -> None:
    settings = load()
    async with (
        Database(settings.database, application="blogworker bare") as database,
        open_clients(settings, Unlimited(database), connections=settings.worker.concurrency) as providers,
    ):
        await BareWorker(settings, database, providers).run()
        await sleep_forever()


if __name__ == "__main__":
    configure(LogSettings(level="error"))
    anyio.run(main)
