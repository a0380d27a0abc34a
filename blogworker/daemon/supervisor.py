"""Builds the world, runs one worker in it, and takes it down in order."""

import signal
from collections.abc import Mapping
from functools import partial
from time import monotonic

from anyio import CancelScope, create_task_group, current_time, move_on_after, open_signal_receiver
from anyio.abc import TaskGroup, TaskStatus

from blogworker import __version__
from blogworker.daemon import systemd
from blogworker.daemon.ticker import every
from blogworker.daemon.worker import Pipeline, Worker
from blogworker.db.migrate import state
from blogworker.db.pool import Database
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.wix import WixClient
from blogworker.queue.job import Claim, Outcome
from blogworker.queue.lease import Lease, LeaseEnded
from blogworker.queue.notify import listen
from blogworker.queue.promote import promote
from blogworker.queue.rescue import rescue
from blogworker.queue.settle import Settler
from blogworker.quota.bucket import Bucket
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.pipeline import attempt
from blogworker.stages.work import Output, Vendors, Work
from blogworker.telemetry import get_logger

PROMOTE_S = 1.0
RESCUE_S = 5.0
RELISTEN_S = 5.0
GOODBYE_S = 3.0

log = get_logger()


async def run(settings: Settings, *, until_empty: bool = False) -> None:
    """Run one worker until a signal, or until the queue is empty.

    Raises DatabaseUnready before anything is claimed; LeaseEnded when another process took over.
    """
    spare = settings.worker.concurrency
    async with (
        Database(settings.database, application=f"blogworker {settings.worker.name}"[:63]) as database,
        OpenAIClient(settings.openai, connections=spare) as openai,
        ReplicateClient(settings.replicate, connections=spare) as replicate,
        WixClient(settings.wix, connections=spare) as wix,
    ):
        async with database.connection() as connection:
            (await state(connection)).require_current()
        limiter = Limiter(database, buckets(settings))
        await limiter.open()
        vendors = Vendors(openai=openai, replicate=replicate, wix=wix if settings.wix.configured else None)
        lease = Lease(
            database,
            name=settings.worker.name,
            lease_s=settings.worker.lease,
            concurrency=settings.worker.concurrency,
        )

        async def pipeline(claim: Claim, saved: Mapping[str, Output]) -> Outcome:
            checkpoints = StoredCheckpoints(database, lease.worker_id, claim, saved)
            work = Work(claim=claim, checkpoints=checkpoints, vendors=vendors, limiter=limiter, openai=settings.openai)
            return await attempt(work, retry_base_s=settings.worker.retry_base, retry_cap_s=settings.worker.retry_cap)

        await Supervisor(settings, database, lease, pipeline).run(until_empty=until_empty)


def buckets(settings: Settings) -> dict[str, Bucket]:
    """The quotas our calls are charged to: one a text model, one for images."""
    text = {
        name: Bucket(name, "openai", settings.openai.rpm, settings.openai.tpm)
        for name in (f"openai/{settings.openai.ideas_model}", f"openai/{settings.openai.content_model}")
    }
    images = "replicate/predictions"
    return text | {images: Bucket(images, "replicate", settings.replicate.rpm, None)}


class Supervisor:
    """The task groups of one worker. Their nesting is the order of shutdown."""

    def __init__(self, settings: Settings, database: Database, lease: Lease, pipeline: Pipeline) -> None:
        self._settings = settings
        self._database = database
        self._lease = lease
        self._settler = Settler(database, lease.worker_id)
        self._worker = Worker(database, self._settler, pipeline, queue=settings.queue, worker=settings.worker)
        self._drain_until: float | None = None
        self._started = monotonic()

    async def run(self, *, until_empty: bool) -> None:
        await self._begin()
        try:
            await self._work(until_empty=until_empty)
        except* LeaseEnded:
            log.error("lease_lost", worker=self._settings.worker.name, in_flight=self._worker.in_flight)
            raise
        await self._end()

    async def _work(self, *, until_empty: bool) -> None:
        async with create_task_group() as keepers:
            keepers.start_soon(self._settler.run)
            async with create_task_group() as jobs:
                claiming = CancelScope()
                await keepers.start(self._stop_on_signal, claiming, jobs)
                self._start_keepers(keepers, jobs)
                systemd.notify("READY=1", f"STATUS=claiming as {self._settings.worker.name}")
                with claiming:
                    await self._worker.claim_loop(self._lease.worker_id, jobs, until_empty=until_empty)
            if jobs.cancel_scope.cancelled_caught and self._drain_until is None:
                raise LeaseEnded(f"the database was silent for so long that the lease of {self._lease.name} ended")
            keepers.cancel_scope.cancel()

    async def _begin(self) -> None:
        worker = self._settings.worker
        registration = await self._lease.begin()
        if registration.replaced:
            log.warning("worker_replaced", worker=worker.name)
        log.info(
            "worker_started",
            worker=worker.name,
            worker_id=str(registration.worker_id),
            version=__version__,
            concurrency=worker.concurrency,
        )

    def _start_keepers(self, keepers: TaskGroup, jobs: TaskGroup) -> None:
        worker = self._settings.worker
        extend = partial(self._extend, jobs)
        keepers.start_soon(partial(every, "lease", worker.extend_s, extend, fatal=(LeaseEnded,)))
        keepers.start_soon(every, "rescue", RESCUE_S, self._rescue)
        keepers.start_soon(every, "promote", PROMOTE_S, self._promote)
        keepers.start_soon(every, "listen", RELISTEN_S, self._listen)
        keepers.start_soon(every, "heartbeat", worker.heartbeat_interval, self._heartbeat)
        if (interval_s := systemd.watchdog_interval_s()) is not None:
            keepers.start_soon(every, "watchdog", interval_s, self._ping)

    async def _stop_on_signal(self, claiming: CancelScope, jobs: TaskGroup, *, task_status: TaskStatus[None]) -> None:
        """The first signal drains; the second releases what is held at once."""
        with open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for received in signals:
                if self._drain_until is not None:
                    log.warning("drain_cut_short", in_flight=self._worker.in_flight)
                    jobs.cancel_scope.cancel()
                    continue
                timeout_s = self._settings.worker.drain_timeout
                self._drain_until = current_time() + timeout_s
                log.info(
                    "drain_started",
                    signal=received.name,
                    in_flight=self._worker.in_flight,
                    drain_timeout_s=timeout_s,
                )
                systemd.notify("STOPPING=1", f"STATUS=draining {self._worker.in_flight} jobs")
                claiming.cancel()
                self._limit(jobs)

    def _limit(self, jobs: TaskGroup) -> None:
        """Jobs stop by themselves before the lease ends, and when the drain has taken long enough."""
        jobs.cancel_scope.deadline = min(self._lease.good_until, self._drain_until or self._lease.good_until)

    async def _extend(self, jobs: TaskGroup) -> None:
        await self._lease.extend(
            in_flight=self._worker.in_flight,
            draining=self._drain_until is not None,
            stats={"outcomes": dict(self._worker.outcomes), "up_s": round(monotonic() - self._started)},
        )
        self._limit(jobs)

    async def _rescue(self) -> None:
        found = await rescue(self._database)
        if found.jobs:
            log.warning("jobs_rescued", count=found.jobs, failed=found.failed)

    async def _promote(self) -> None:
        if promoted := await promote(self._database):
            log.debug("jobs_promoted", count=promoted)

    async def _listen(self) -> None:
        await listen(self._settings.database, self._worker.wake)

    async def _ping(self) -> None:
        systemd.notify("WATCHDOG=1")

    async def _heartbeat(self) -> None:
        fleet = await self._database.one("ops/heartbeat")
        log.info(
            "heartbeat",
            worker=self._settings.worker.name,
            slots=self._settings.worker.concurrency,
            in_flight=self._worker.in_flight,
            outcomes=dict(self._worker.outcomes),
            pool=self._database.stats(),
            **fleet,
        )

    async def _end(self) -> None:
        with move_on_after(GOODBYE_S):
            await self._lease.end()
        log.info("worker_stopped", worker=self._settings.worker.name, outcomes=dict(self._worker.outcomes))
