"""One incarnation of a worker: one lease, from its registration to its end, and the task groups that depend on it.

    keepers   settle, lease, rescue, promote, breakers, webhooks, heartbeat    background tasks; they outlive the jobs
      jobs    the claim loop and one task per slot                             drained before the keepers stop

The nesting of the task groups is the order of shutdown.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from uuid import UUID

from anyio import CancelScope, create_task_group, current_time, move_on_after
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from blogworker import __version__
from blogworker.daemon.attempt import Enter
from blogworker.daemon.gate import Gate
from blogworker.daemon.heartbeat import Heartbeat
from blogworker.daemon.isolation import WORKER, Role
from blogworker.daemon.messages import start_messages
from blogworker.daemon.ticker import every
from blogworker.daemon.upkeep import Upkeep
from blogworker.daemon.wakeups import WakeUps
from blogworker.daemon.worker import Worker
from blogworker.db.dedicated import DedicatedConnection
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth, RetryingDatabase
from blogworker.ops.history import record_history
from blogworker.queue.claim import Claimed
from blogworker.queue.job import Claim, Outcome
from blogworker.queue.lease import Lease, LeaseEnded, LeaseTaken
from blogworker.queue.notify import Flag, Listener
from blogworker.queue.reconcile import bills, reconcile
from blogworker.queue.rescue import FormerLease, take_back
from blogworker.queue.restores import Restore, RestoreWatch
from blogworker.queue.settle import Settler
from blogworker.quota.upkeep import clean_up
from blogworker.settings import Settings
from blogworker.spend.budget import check_budgets
from blogworker.stages.records import Output
from blogworker.telemetry import get_logger
from blogworker.telemetry.progress import Progress

ADMIT_S = 0.5
PROMOTE_S = 1.0
RECONCILE_S = 1.0
BUDGET_S = 1.0
BREAKERS_S = 1.0
RESCUE_S = 5.0
RESTORES_S = 2.0
RELISTEN_S = 5.0
PARENT_S = 1.0
CANCEL_S = 0.5
SWEEP_S = 60.0
CLEAN_UP_S = 300.0
HISTORY_S = 30.0
RESIZE_S = 3.0
END_LEASE_S = 3.0

FencedPipeline = Callable[[UUID, Claim, Mapping[str, Output], Enter], Awaitable[Outcome]]

log = get_logger()


class Incarnation:
    """The worker with one worker_id.

    `prepare`: what jobs need and the lease does not; it runs before the first claim. `former`: the lease before this
    one, in the same process. `on_claim`: called after each claim that the database has answered.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        health: DatabaseHealth,
        pipeline: FencedPipeline,
        *,
        gate: Gate,
        prepare: Callable[[], Awaitable[None]] = checkpoint,
        waiting: Callable[[], Mapping[str, int]] = dict,
        restores: RestoreWatch | None = None,
        role: Role = WORKER,
        former: FormerLease | None = None,
        progress: Progress | None = None,
        on_claim: Callable[[], object] = bool,
    ) -> None:
        self._progress = progress or Progress()
        self._on_claim = on_claim
        self._gate = gate
        self._prepare = prepare
        self._role = role
        self._former = former
        self._settings = settings
        self._restores = restores or RestoreWatch()
        self._waiting = waiting  # how many callers wait for quota, by bucket
        self._database = database
        self._lease_connection = DedicatedConnection(
            settings.database, answer_s=settings.worker.extend_s, application="blogworker lease"
        )
        self._lease = Lease(
            RetryingDatabase(self._lease_connection, health, on_try=partial(self._progress.expect, "lease")),
            name=settings.worker.name,
            lease_s=settings.worker.lease,
            concurrency=settings.worker.concurrency,
        )
        self._retrying = RetryingDatabase(database, health)
        self._registry = RetryingDatabase(database, health, on_try=partial(self._progress.expect, "lease"))
        strict = RetryingDatabase(database, health, retries_incompatible=False)
        self._settler = Settler(self._retrying, self._lease.worker_id, strict=strict)
        self.worker = Worker(
            database,
            self._settler,
            partial(pipeline, self._lease.worker_id),
            queue=settings.queue,
            worker=settings.worker,
            health=health,
            gate=gate,
            suspects_only=role.suspects,
            progress=self._progress,
            on_claim=self._note_claim,
        )
        self._upkeep = Upkeep(database, self.worker.wake)
        self._wake_ups, self._cancel_flag = WakeUps(self.worker.wake), Flag()
        self._listener = Listener(settings.database, database, work=self._wake_ups.work, cancel=self._cancel_flag)
        self._registering, self._claiming = CancelScope(), CancelScope()
        self._drain_until: float | None = None
        self._keepers: TaskGroup | None = None
        self._jobs: TaskGroup | None = None
        self._restore: Restore | None = None  # the latest one when this lease began

    def drain(self, timeout_s: float) -> None:
        """Stop claiming, and release what was claimed ahead. Running jobs may continue for `timeout_s`, then they are
        released."""
        self._drain_until = current_time() + timeout_s
        self._registering.cancel()
        self._claiming.cancel()
        self.worker.release_running(ahead=True)
        self._set_jobs_deadline()

    @property
    def registered(self) -> bool:
        """Whether it has held its lease."""
        return self._lease.good_until > 0

    async def use(self, settings: Settings) -> None:
        """Continue with other settings: more or fewer slots, another poll interval and so on."""
        self._settings = settings
        self.worker.use(settings.queue, settings.worker)
        slots = self._lease.concurrency = settings.worker.concurrency
        with move_on_after(RESIZE_S):  # if the database is away, the next lease stores it
            await self._retrying.execute("queue/resize_worker", worker_id=self._lease.worker_id, concurrency=slots)

    async def run(self, *, until_empty: bool) -> bool:
        """Run until the worker is done. Return False if its lease ended, so that a new lease is needed to continue.

        Raises LeaseTaken when another process has taken over the name.
        """
        async with self._lease_connection:
            with self._registering:
                await self._register()
            if self._registering.cancelled_caught:
                return True
            ended: LeaseEnded | None = None
            try:
                await self._work(until_empty=until_empty)
            except* LeaseEnded as group:
                ended = _first(group)
            if ended is None:
                await self._end()
                return True
        log.error("lease_lost", worker=self._lease.name, error=str(ended))
        if isinstance(ended, LeaseTaken):
            raise ended
        return False

    @property
    def former(self) -> FormerLease:
        """Return what the next incarnation takes back."""
        return FormerLease(self._lease.worker_id, tuple(self.worker.unsettled))

    async def _register(self) -> None:
        self._restore = await self._restores.check(self._registry)
        registration = await self._lease.begin()
        if registration.replaced:
            log.warning("worker_replaced", worker=self._lease.name)
        if self._former is not None:
            await take_back(self._registry, self._former)
        log.info(
            "worker_started",
            worker=self._lease.name,
            worker_id=str(registration.worker_id),
            version=__version__,
            concurrency=self._settings.worker.concurrency,
        )

    async def _work(self, *, until_empty: bool) -> None:
        async with create_task_group() as self._keepers:
            self._keepers.start_soon(self._settler.run)
            async with create_task_group() as self._jobs:
                self._set_jobs_deadline()
                self._start_keepers(self._keepers)
                try:
                    with self._claiming:
                        await self._prepare()
                        await self.worker.claim_loop(self._lease.worker_id, self._jobs, until_empty=until_empty)
                finally:
                    self._progress.rest("claim")  # the next lease may be far off
            # Do not compare clocks here: the lease may have been extended while the jobs were stopping.
            if self._jobs.cancel_scope.cancelled_caught and self._drain_until is None:
                raise LeaseEnded("the database did not answer before the lease ended")
            self._keepers.cancel_scope.cancel()

    def _start_keepers(self, keepers: TaskGroup) -> None:
        worker = self._settings.worker
        keepers.start_soon(partial(every, "lease", worker.extend_s, self._extend, fatal=(LeaseEnded,)))
        keepers.start_soon(every, "restores", RESTORES_S, partial(self._restores.check, self._database))
        keepers.start_soon(every, "rescue", RESCUE_S, self._rescue)
        keepers.start_soon(every, "admit", ADMIT_S, self._upkeep.admit)
        keepers.start_soon(every, "promote", PROMOTE_S, self._upkeep.promote)
        keepers.start_soon(every, "sweep", SWEEP_S, self._upkeep.sweep)
        keepers.start_soon(every, "reconcile", RECONCILE_S, partial(reconcile, self._database, bills()))
        keepers.start_soon(every, "budget", BUDGET_S, self._check_budget)
        keepers.start_soon(every, "breakers", BREAKERS_S, self._sync_breakers)
        keepers.start_soon(every, "listen", RELISTEN_S, self._listener.run)
        keepers.start_soon(every, "wake", 0, self._wake_ups.wake_once)
        keepers.start_soon(partial(every, "cancel", CANCEL_S, self._cancel_when_set, fatal=(LeaseEnded,)))
        keepers.start_soon(every, "history", HISTORY_S, partial(record_history, self._database))
        if not self._role.suspects:  # a suspect may kill this process at any time
            start_messages(keepers, self._database, self._settings.webhook)
        keepers.start_soon(every, "quotas", CLEAN_UP_S, partial(clean_up, self._database))
        if self._role.parent is not None:
            keepers.start_soon(every, "parent", PARENT_S, self._drain_with_parent)
        heartbeat = Heartbeat(
            self._database, self.worker, name=self._lease.name, slots=lambda: self._settings.worker.concurrency
        )
        keepers.start_soon(every, "heartbeat", worker.heartbeat_interval, heartbeat.beat)

    def _set_jobs_deadline(self) -> None:
        """Cancel the jobs before the lease ends, or at the end of the drain."""
        if self._jobs is not None:
            good_until = self._lease.good_until
            self._jobs.cancel_scope.deadline = min(good_until, self._drain_until or good_until)

    async def _extend(self) -> None:
        stats = {
            "outcomes": dict(self.worker.ended.outcomes),
            "waiting": dict(self._waiting()),
            "pool_waiting": self._database.stats().get("requests_waiting", 0),
            "needs": self._gate.needs(),
        }
        try:
            cancelled = await self._lease.extend(
                in_flight=self.worker.slots_used, draining=self._drain_until is not None, stats=stats
            )
        except LeaseTaken as taken:
            if await self._restores.check(self._retrying) == self._restore:
                raise
            raise LeaseEnded("the database has lost history, and the registration of this worker with it") from taken
        self._progress.expect("lease", 2 * self._settings.worker.extend_s)
        self._set_jobs_deadline()
        self.worker.cancel(cancelled)

    def _note_claim(self, found: Claimed) -> None:
        self._on_claim()
        if found.claims:
            self._wake_ups.note_found()

    async def _cancel_when_set(self) -> None:
        await self._cancel_flag.wait_and_clear()
        await self._extend()  # the answer names the cancelled jobs

    async def _rescue(self) -> None:
        await self._upkeep.rescue(self._lease.worker_id, self.worker.job_ids)

    async def _check_budget(self) -> None:
        if self._gate.apply(await check_budgets(self._database)):
            self.worker.wake()

    async def _sync_breakers(self) -> None:
        if await self._gate.sync():
            self.worker.wake()

    async def _drain_with_parent(self) -> None:
        if self._role.orphaned and self._drain_until is None:
            self.drain(self._settings.worker.drain_timeout)

    async def _end(self) -> None:
        with move_on_after(END_LEASE_S):
            await self._lease.end()


def _first(group: BaseExceptionGroup[LeaseEnded]) -> LeaseEnded:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LeaseEnded)  # noqa: S101 - except* catches no other
    return error
