"""The claim loop, and one attempt at a job: claim -> pipeline -> settle."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from random import uniform
from time import monotonic
from uuid import UUID

import psycopg
import structlog
from anyio import CancelScope, Event, create_task_group, fail_after, get_cancelled_exc_class, move_on_after, sleep
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint_if_cancelled
from psycopg_pool import PoolTimeout

from blogworker.daemon.claim_backoff import ClaimBackoff
from blogworker.daemon.claimer import NO_CLAIMS, Claimer
from blogworker.daemon.ended import EndedAttempts
from blogworker.daemon.gate import Gate, ProbeClaim
from blogworker.daemon.occupancy import Occupancy
from blogworker.db.compatibility import is_incompatible
from blogworker.db.messages import message_of
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.errors import LeaseLost
from blogworker.queue.claim import Claimed
from blogworker.queue.job import (
    Cancel,
    Claim,
    Done,
    Failure,
    Outcome,
    OverBudget,
    PauseSite,
    Reject,
    Release,
    Retry,
    Stage,
)
from blogworker.queue.settle import Settler
from blogworker.settings import QueueSettings, WorkerSettings
from blogworker.slots import SlotGroup
from blogworker.stages.checkpoint import load
from blogworker.stages.records import Output
from blogworker.telemetry import get_logger, tracing
from blogworker.telemetry.facts import gathered
from blogworker.telemetry.progress import Progress

CLAIM_TIMEOUT_S = 10.0
RELEASE_GRACE_S = 2.0  # the time to release a job when its attempt is cancelled
UNAVAILABLE_RETRY_S = 1.0  # until the next claim when the database is unavailable or incompatible
EMPTY_POLL_S = 0.25  # the poll interval of a worker that runs until the queue is empty

Enter = Callable[[Stage], bool]
Pipeline = Callable[[Claim, Mapping[str, Output], Enter], Awaitable[Outcome]]

log = get_logger()


class Worker:
    """The job slots of one process. `suspects_only`: run only jobs suspected of killing workers, one at a time.

    `on_claim`: called with each claim that the database has answered.
    """

    def __init__(
        self,
        database: Database,
        settler: Settler,
        pipeline: Pipeline,
        *,
        queue: QueueSettings,
        worker: WorkerSettings,
        health: DatabaseHealth,
        gate: Gate,
        suspects_only: bool = False,
        progress: Progress | None = None,
        on_claim: Callable[[Claimed], object] = bool,
    ) -> None:
        self._progress = progress or Progress()
        self._on_claim = on_claim
        self._database = database
        self._claimer = Claimer(
            database, gate, health, name=worker.name, site_window=queue.max_per_instance, suspects_only=suspects_only
        )
        self._health = health
        self._gate = gate
        self._settler = settler
        self._pipeline = pipeline
        self._queue = queue
        self._settings = worker
        self._freed = Event()
        self._woken = Event()
        self._running: dict[tuple[int, int], CancelScope] = {}  # by job and attempt
        self._settled: set[tuple[int, int]] = set()  # since the last claim began
        self._slots = Occupancy(worker.slot_groups)
        self.unsettled: set[tuple[int, int]] = set()  # attempts that ended here and could not be settled
        self._released: set[tuple[int, int]] = set()
        self.ended = EndedAttempts()

    def use(self, queue: QueueSettings, worker: WorkerSettings) -> None:
        """Continue with other settings. With fewer slots, running jobs end before others are claimed."""
        self._queue, self._settings = queue, worker
        self._slots.resize(worker.slot_groups)
        self._claimer.site_window = queue.max_per_instance
        self._freed.set()
        self.wake()

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @property
    def slots_used(self) -> int:
        return self._slots.used

    @property
    def job_ids(self) -> set[int]:
        return {job_id for job_id, _ in self._running}

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Stop those of these jobs that still run here, because a person cancelled them."""
        unwanted = set(job_ids)
        for scope in [scope for (job_id, _), scope in self._running.items() if job_id in unwanted]:
            scope.cancel()

    def release_running(self, *, ahead: bool = False) -> int:
        """Stop all jobs, or those claimed ahead, and requeue them without using an attempt. Return how many."""
        chosen = self._slots.ahead() if ahead else self._running.keys()
        running = {attempt: scope for attempt in chosen if not (scope := self._running[attempt]).cancel_called}
        self._released |= running.keys()
        for scope in running.values():
            scope.cancel()
        return len(running)

    def wake(self) -> None:
        """Claim at once: there may be work."""
        self._woken.set()

    async def claim_loop(self, worker_id: UUID, jobs: TaskGroup, *, until_empty: bool = False) -> None:
        """Fill free slots forever, or until the queue is empty."""
        backoff = ClaimBackoff()
        while True:
            await checkpoint_if_cancelled()  # claims are shielded: a loop that always finds jobs would never end
            await self._wait_for_slot()
            self._woken = Event()  # now, so that a wake-up during the claim is not lost
            self._progress.expect("claim")
            if (found := await self._claim(worker_id, jobs)) is None:
                await sleep(UNAVAILABLE_RETRY_S)
                continue
            self._on_claim(found)
            if found.claims:
                backoff.reset()
            elif found.look_again:
                await sleep(backoff.next_contended_s())
            elif until_empty and not self.in_flight and await self._claimer.queue_is_empty():
                return
            else:
                longest_s = EMPTY_POLL_S if until_empty else self._settings.poll_interval
                quota_s = None if found.look_in_s is None else uniform(0.7, 1.3) * found.look_in_s
                await self._idle(backoff, backoff.idle_s(longest_s=longest_s, quota_s=quota_s))

    async def _idle(self, backoff: ClaimBackoff, seconds: float) -> None:
        """Sleep until a wake-up, or until it is time to poll."""
        self._progress.expect("claim", seconds)
        with move_on_after(seconds) as idle:
            await self._woken.wait()
        backoff.end_idle(woken=not idle.cancelled_caught)

    async def _wait_for_slot(self) -> None:
        while not self._slots.has_room:
            self._progress.rest("claim")  # jobs end by their own deadlines, and with the lease
            self._freed = Event()
            await self._freed.wait()

    async def _claim(self, worker_id: UUID, jobs: TaskGroup) -> Claimed | None:
        """Claim jobs for each group of slots, and start them. Return None when the database cannot be used."""
        found = NO_CLAIMS
        for group, free in self._slots.rooms():
            with self._slots.reserved(group):
                claimed = await self._claim_for(group, free, worker_id, jobs)
            if claimed is None:
                return None
            found = found.merged(claimed)
        return found

    async def _claim_for(self, group: SlotGroup, free: int, worker_id: UUID, jobs: TaskGroup) -> Claimed | None:
        self._settled.clear()
        most = min(self._queue.batch_size, free)
        if (slots := self._health.compatibility.usable_slots(most, in_flight=self.in_flight)) == 0:
            return None
        statement, found, probe_claim = "queue/claim", NO_CLAIMS, None
        try:
            # Shielded: a claim cancelled after its commit would leave claimed jobs that no worker runs.
            with fail_after(CLAIM_TIMEOUT_S, shield=True):
                found, probe_claim = await self._claimer.take(worker_id, slots, group.stages)
                saved = {}
                if retried := [c.job_id for c in found.claims if c.attempt > 1]:
                    statement = "stages/load_checkpoints"
                    saved = await load(self._database, retried)
                    self._health.note_success(statement)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            await self._release(found.claims, probe_claim)
            if not self._health.note_error(error, statement) or (is_incompatible(error) and statement == "queue/claim"):
                await self._claimer.isolate_faulty_job(error)
            return None
        if jobs.cancel_scope.cancel_called:  # tasks that start now would be cancelled before their first step
            await self._release(found.claims, probe_claim)
            return found
        self._slots.claimed(group, all_found=len(found.claims) >= slots)
        # Where the database has lost a claim with its history, the attempt of before has it again.
        known = self._running.keys() | self._settled
        new = {(c.job_id, c.attempt): c for c in found.claims if (c.job_id, c.attempt) not in known}
        self.cancel(job_id for job_id, _ in new)  # older attempts that still run here have lost their claims
        for attempt, claim in new.items():
            self._running[attempt] = CancelScope()
            self._slots.start(attempt, claim.stage)
            jobs.start_soon(self._run, claim, saved.get(claim.job_id, {}), probe_claim)
        await self._claimer.retire(found)
        return found

    async def _release(self, claims: Iterable[Claim], probe_claim: ProbeClaim | None) -> None:
        with move_on_after(RELEASE_GRACE_S, shield=True):
            async with create_task_group() as tasks:
                tasks.start_soon(self._settler.settle_all, claims, Release())
                if probe_claim is not None:
                    await self._gate.return_probe_claim(probe_claim)

    async def _run(self, claim: Claim, saved: Mapping[str, Output], probe_claim: ProbeClaim | None) -> None:
        """Run one attempt until its outcome is stored."""
        started = monotonic()
        attempt = (claim.job_id, claim.attempt)
        structlog.contextvars.bind_contextvars(**claim.names)  # for this task, which ends with the job
        with gathered() as facts, tracing.attempt(claim):
            try:
                outcome: Outcome | None = Cancel()
                with self._running[attempt]:
                    outcome = await self._attempt(claim, saved, probe_claim)
                if isinstance(outcome, Done):
                    self._health.compatibility.job_succeeded()
                if isinstance(outcome, Cancel) and attempt in self._released:
                    outcome = Release()
                self._slots.ending(attempt)
                self._note_free_slot()
                status = await self._settler.settle(claim, outcome) if outcome is not None else None
                if status is not None:
                    self._settled.add(attempt)
                self.ended.report(outcome, status, monotonic() - started, facts)
            except get_cancelled_exc_class():
                # Release the job now, otherwise it waits until the lease ends.
                self.unsettled.add(attempt)
                with move_on_after(RELEASE_GRACE_S, shield=True):
                    status = await self._settler.settle(claim, Release())
                    self.ended.report(Release(), status, monotonic() - started, facts)
                    if status is not None:
                        self.unsettled.discard(attempt)
                raise
            finally:
                del self._running[attempt]
                self._slots.end(attempt)
                self._released.discard(attempt)
                self._note_free_slot()

    def enter(self, claim: Claim, stage: Stage) -> bool:
        """Take a slot for the next stage of a running job. Return False if the job has to wait for one in the line."""
        entered = self._slots.enter((claim.job_id, claim.attempt), stage)
        self._note_free_slot()
        return entered

    def _note_free_slot(self) -> None:
        self._freed.set()
        if self._slots.is_wanted:
            self.wake()

    async def _attempt(
        self, claim: Claim, saved: Mapping[str, Output], probe_claim: ProbeClaim | None
    ) -> Outcome | None:
        """Return the outcome of the attempt, or None if the claim was lost."""
        if claim.unreadable is not None:
            return Reject(Failure(claim.stage, "Unreadable", claim.unreadable))
        if claim.site_unreadable is not None:
            return PauseSite(Failure(claim.stage, "Unreadable", claim.site_unreadable))
        try:
            async with self._gate.probing(probe_claim):
                if not await self._slots.wait_for_slot((claim.job_id, claim.attempt)):
                    return Release()
                outcome = await self._pipeline(claim, saved, partial(self.enter, claim))
        except LeaseLost:
            return None
        except (psycopg.DataError, psycopg.errors.CheckViolation) as error:
            # A retry would produce the same, and pay for it again.
            message = f"the database refuses the result: {message_of(error)}"
            return Reject(Failure(claim.stage, "Unstorable", message))
        except Exception as error:  # an unexpected error fails this attempt, not the worker
            log.exception("attempt_crashed")
            return Retry(Failure(claim.stage, type(error).__name__, message_of(error)), self._settings.retry_base)
        if isinstance(outcome, OverBudget) and outcome.everywhere:
            # Before the job is PENDING again, otherwise it is claimed at once.
            self._gate.stop_spending(outcome.reason)
        return outcome
