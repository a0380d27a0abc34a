"""Open the database and the clients, run one worker, and shut everything down in order."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from uuid import UUID

from anyio import create_task_group, sleep

from blogworker.daemon.attempt import Enter
from blogworker.daemon.equipment import Store, equipment_store
from blogworker.daemon.forkserver import ForkServer
from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.isolation import WORKER, Role, raise_oom_score
from blogworker.daemon.observing import observing
from blogworker.daemon.pacing import StageTimes, pacing
from blogworker.daemon.reload import Load, Reloader
from blogworker.daemon.report import Reporter
from blogworker.daemon.supervisor import Supervisor
from blogworker.db import grants
from blogworker.db.pool import Database
from blogworker.db.readiness import require_ready
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.db.sql import read_statements
from blogworker.errors import DatabaseUnavailable
from blogworker.queue.job import Claim, Outcome
from blogworker.queue.rescue import FormerLease
from blogworker.queue.restores import RestoreWatch
from blogworker.quota.breaker import Breakers
from blogworker.settings import Settings
from blogworker.spend.budget import check_budgets
from blogworker.stages.pipeline import attempt
from blogworker.stages.records import Output
from blogworker.telemetry import configure, get_logger, systemd
from blogworker.telemetry.progress import Progress

AWAIT_S = 1.0  # between two tries to reach the database at the start

log = get_logger()


async def run(
    settings: Settings,
    *,
    until_empty: bool = False,
    role: Role = WORKER,
    forks: ForkServer | None = None,
    load: Load | None = None,
) -> None:
    """Run one worker until a signal, or until the queue is empty. `forks` runs suspects; None: this worker runs none.
    `load` reads the settings again; None: they cannot be reloaded.

    Raises DatabaseNotReady before anything is claimed, or after a newer version has migrated the database. Raises
    LeaseTaken when another process has taken over the worker's name.
    """
    if role.suspects:
        raise_oom_score()
    reporter = Reporter(Progress(), DatabaseHealth())
    async with observing(settings, role), create_task_group() as reports:
        reports.start_soon(reporter.run)
        async with _open_database(settings, reporter) as database:
            retrying = RetryingDatabase(database, reporter.health)
            async with equipment_store(settings, retrying) as store:
                machine = _Machine(store, database, retrying, reporter, role)
                supervisor = await machine.start(forks)
                if load is not None:
                    apply = partial(machine.apply, supervisor)
                    supervisor.reloader = Reloader(load, lambda: store.settings, apply)
                await supervisor.run(until_empty=until_empty)
        reports.cancel_scope.cancel()


@asynccontextmanager
async def _open_database(settings: Settings, reporter: Reporter) -> AsyncIterator[Database]:
    """Open the database. Under systemd, wait for it for as long as it takes: starting again would cost more."""
    async with AsyncExitStack() as stack:
        while True:
            application = f"blogworker {settings.worker.name}"[:63]
            database = Database(settings.database, application=application, plans_once=True)
            try:
                await stack.enter_async_context(database)
                async with database.connection() as connection:
                    await require_ready(connection, needs=grants.WORKER)
                break
            except DatabaseUnavailable as error:
                if not systemd.supervised():
                    raise
                if reporter.awaits_database(str(error)):
                    log.warning("database_awaited", error=str(error))
            await sleep(AWAIT_S)
        yield database


class _Machine:
    """Puts the parts of one worker together."""

    def __init__(
        self, store: Store, database: Database, retrying: RetryingDatabase, reporter: Reporter, role: Role
    ) -> None:
        settings = store.settings
        self._store = store
        self._database = database
        self._retrying = retrying
        self._reporter = reporter
        self._role = role
        self._times = StageTimes()
        self._restores = RestoreWatch()
        self._breakers = Breakers(
            retrying, {"openai": settings.openai.credential, "replicate": settings.replicate.credential}
        )
        self._gate = Gate(
            self._breakers,
            settings.replicate.image_trouble,
            pacing=lambda: pacing(store.settings, self._times),
            stages=settings.worker.stages,
        )

    async def start(self, forks: ForkServer | None) -> Supervisor:
        """Store the quotas, read breakers and budgets. Return what runs the worker."""
        read_statements()
        self._reporter.progress.since["limiter"] = self._store.stuck_s
        await self._store.current.limiter.start()
        await self._breakers.start()
        warn_unpriced(self._store.settings)
        await self._gate.sync()
        self._gate.apply(await check_budgets(self._retrying))
        return Supervisor(self.begin, self._store.settings.worker, self._database, self._reporter, forks)

    def begin(self, *, former: FormerLease | None) -> Incarnation:
        """Return the next incarnation, with the current settings."""
        return Incarnation(
            self._store.settings,
            self._database,
            self._reporter.health,
            self._attempt,
            gate=self._gate,
            prepare=self._store.open,
            waiting=self._store.waiting,
            restores=self._restores,
            role=self._role,
            former=former,
            progress=self._reporter.progress,
            on_claim=self._reporter.ready,
        )

    async def apply(self, supervisor: Supervisor, settings: Settings) -> None:
        """Continue with other settings. Jobs in progress end with those that they have started with."""
        await self._store.replace(settings)
        self._gate.image_trouble = settings.replicate.image_trouble
        await supervisor.use(settings)
        warn_unpriced(settings)
        configure(settings.log)

    async def _attempt(self, worker_id: UUID, claim: Claim, saved: Mapping[str, Output], enter: Enter) -> Outcome:
        async with self._store.current.in_use() as equipment:
            worker = equipment.settings.worker
            return await attempt(
                equipment.work(worker_id, claim, saved, self._breakers, self._restores),
                retry_base_s=worker.retry_base,
                retry_cap_s=worker.retry_cap,
                timed=self._times.took,
                paused=lambda: self._gate.budget.paused,
                enter=enter,
            )


def warn_unpriced(settings: Settings) -> None:
    """Log each model without a price. Budgets do not count its cost."""
    prices = {**settings.openai.prices, **settings.replicate.prices}
    for model in sorted({*settings.openai.models, settings.replicate.model}):
        if not prices.get(model):
            log.warning("model_unpriced", model=model)
