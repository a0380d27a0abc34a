"""Open the database and the clients, run one worker, and shut everything down in order."""

import signal
from collections.abc import Callable, Mapping
from functools import partial
from uuid import UUID

from anyio import create_task_group, open_signal_receiver
from anyio.abc import TaskStatus

from blogworker.daemon.clients import OpeningClients
from blogworker.daemon.forkserver import ForkServer
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.isolation import WORKER, Isolation, Role, raise_oom_score
from blogworker.daemon.pacing import StageTimes, buckets, pacing
from blogworker.daemon.ticker import every
from blogworker.daemon.worker import Enter
from blogworker.db import grants
from blogworker.db.migrate import state
from blogworker.db.pool import Database
from blogworker.db.readiness import require_ready
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.errors import DatabaseNotReady
from blogworker.queue.job import Claim, Outcome
from blogworker.queue.rescue import FormerLease
from blogworker.quota.breaker import Breakers
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings, WorkerSettings
from blogworker.spend.budget import check_budgets
from blogworker.stages.cache import StoredCache
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.pipeline import attempt
from blogworker.stages.records import Output
from blogworker.stages.work import Work
from blogworker.telemetry import get_logger, systemd

COMPATIBILITY_S = 5.0
SUSPECTS_S = 1.0
RELEASE_AFTER_S = 60.0  # how long jobs wait for an incompatible database to be repaired, before they are released

log = get_logger()


async def run(
    settings: Settings, *, until_empty: bool = False, role: Role = WORKER, forks: ForkServer | None = None
) -> None:
    """Run one worker until a signal, or until the queue is empty. `forks` runs suspects; None: this worker runs none.

    Raises DatabaseNotReady before anything is claimed, or after a newer version has migrated the database. Raises
    LeaseTaken when another process has taken over the worker's name.
    """
    if role.suspects:
        raise_oom_score()
    async with Database(settings.database, application=f"blogworker {settings.worker.name}"[:63]) as database:
        async with database.connection() as connection:
            await require_ready(connection, needs=grants.WORKER)
        health = DatabaseHealth()
        retrying = RetryingDatabase(database, health)
        limiter = Limiter(retrying, buckets(settings), longest_wait_s=settings.worker.quota_patience)
        await limiter.start()
        breakers = Breakers(
            retrying, {"openai": settings.openai.credential, "replicate": settings.replicate.credential}
        )
        await breakers.start()
        cache = StoredCache(retrying, product_s=settings.wix.product_ttl, ideas_s=settings.openai.ideas_ttl)
        warn_unpriced(settings)
        image_trouble, times = settings.replicate.image_trouble, StageTimes()
        async with OpeningClients(settings, limiter) as clients:

            async def pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Output], enter: Enter) -> Outcome:
                checkpoints = StoredCheckpoints(retrying, worker_id, claim, saved)
                worker = settings.worker
                work = Work(
                    claim,
                    checkpoints,
                    clients.opened,
                    limiter,
                    settings.openai,
                    breakers,
                    cache,
                    image_trouble,
                    worker.review_every,
                )
                return await attempt(
                    work,
                    retry_base_s=worker.retry_base,
                    retry_cap_s=worker.retry_cap,
                    timed=times.took,
                    paused=lambda: gate.budget.paused,
                    enter=enter,
                )

            stages = settings.worker.stages
            gate = Gate(breakers, image_trouble, pacing=partial(pacing, settings, times), stages=stages)
            await gate.sync()
            gate.apply(await check_budgets(retrying))
            begin = partial(
                Incarnation,
                settings,
                database,
                health,
                pipeline,
                gate=gate,
                prepare=clients.open,
                waiting=limiter.waiting,
                role=role,
            )
            await Supervisor(begin, settings.worker, database, health, forks).run(until_empty=until_empty)


def warn_unpriced(settings: Settings) -> None:
    """Log each model without a price. Prices do not change while the process runs, so once is enough."""
    prices = {**settings.openai.prices, **settings.replicate.prices}
    for model in sorted({*settings.openai.models, settings.replicate.model}):
        if not prices.get(model):
            log.warning("model_unpriced", model=model)


def drain_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that drain a worker. SIGHUP would kill it by default; `nohup` makes it ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT) if ignored else (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Runs one incarnation after another. When a lease ends, the worker registers again with a new lease.

    `begin` creates an incarnation, not registered yet.
    """

    def __init__(
        self,
        begin: Callable[..., Incarnation],
        worker: WorkerSettings,
        database: Database,
        health: DatabaseHealth,
        forks: ForkServer | None = None,
    ) -> None:
        self._isolation = (
            None if forks is None else Isolation(database, forks, worker.name, drain_timeout_s=worker.drain_timeout)
        )
        self._begin = begin
        self._worker = worker
        self._database = database
        self._health = health
        self._incarnation: Incarnation | None = None
        self._stopping = False
        self._outdated: DatabaseNotReady | None = None

    async def run(self, *, until_empty: bool = False) -> None:
        """Run until the worker is done. Raises DatabaseNotReady after a drain because of a newer database."""
        former: FormerLease | None = None
        settled = released = 0
        async with create_task_group() as watches:
            # These run also without a lease: the process stays up while the database is unavailable, even for hours.
            watches.start_soon(systemd.feed_watchdog)
            await watches.start(self._handle_signals)
            watches.start_soon(every, "compatibility", COMPATIBILITY_S, self._check_compatibility)
            if self._isolation is not None:
                watches.start_soon(every, "suspects", SUSPECTS_S, self._isolation.tick)
            while not self._stopping:
                self._incarnation = self._begin(former=former)
                done = await self._incarnation.run(until_empty=until_empty)
                settled += self._incarnation.worker.ended.settled
                released += self._incarnation.worker.ended.released
                if done:
                    break
                former = self._incarnation.former
                systemd.notify("STATUS=waiting for a new lease")
            watches.cancel_scope.cancel()
        log.info("worker_stopped", worker=self._worker.name, settled=settled, released=released)
        if self._outdated is not None:
            raise self._outdated

    async def _check_compatibility(self) -> None:
        """Handle an incompatible database: release jobs that have waited too long.

        Drain if a newer version has migrated the database, because then waiting does not help.
        """
        if (
            self._incarnation is None
            or self._stopping
            or (waited_s := self._health.compatibility.incompatible_for_s) == 0
        ):
            return
        if waited_s > RELEASE_AFTER_S and (count := self._incarnation.worker.release_running()):
            log.warning("jobs_released", count=count)
        async with self._database.connection() as connection:
            found = await state(connection)
        if found.unknown:
            self._outdated = found.newer()
            log.error("newer_database_found", error=str(self._outdated))
            self._stopping = True
            self._drain(self._incarnation, self._worker.drain_timeout)

    async def _handle_signals(self, *, task_status: TaskStatus[None]) -> None:
        """Drain at the first signal. At a second SIGTERM or SIGINT, release all jobs at once.

        A terminal that closes may send SIGHUP twice, once itself and once through its shell: the second is ignored.
        """
        with open_signal_receiver(*drain_signals()) as signals:
            task_status.started()
            async for received in signals:
                incarnation = self._incarnation
                if received == signal.SIGHUP and self._stopping:
                    continue
                if incarnation is None or self._stopping:
                    self._cut_short()
                    continue
                self._stopping = True
                timeout_s = self._worker.drain_timeout
                in_flight = incarnation.worker.in_flight
                log.info("drain_started", signal=received.name, in_flight=in_flight, drain_timeout_s=timeout_s)
                systemd.notify("STOPPING=1", f"STATUS=draining {in_flight} jobs")
                self._drain(incarnation, timeout_s)

    def _drain(self, incarnation: Incarnation, timeout_s: float) -> None:
        incarnation.drain(timeout_s)
        if self._isolation is not None:
            self._isolation.drain()

    def _cut_short(self) -> None:
        if self._incarnation is not None:
            log.warning("drain_interrupted", in_flight=self._incarnation.worker.in_flight)
            self._drain(self._incarnation, 0)
