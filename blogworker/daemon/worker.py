"""The claim loop: claims jobs for free slots, and starts their attempts."""

from collections.abc import Callable, Iterable
from random import uniform
from uuid import UUID

import psycopg
from anyio import Event, create_task_group, fail_after, move_on_after, sleep
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint_if_cancelled
from psycopg_pool import PoolTimeout

from blogworker.daemon.attempt import Attempt, Pipeline
from blogworker.daemon.attempts import RELEASE_GRACE_S, Attempts
from blogworker.daemon.claim_backoff import ClaimBackoff
from blogworker.daemon.claimer import NO_CLAIMS, Claimer
from blogworker.daemon.ended import EndedAttempts
from blogworker.daemon.gate import Gate, ProbeClaim
from blogworker.db.compatibility import is_incompatible
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.claim import Claimed
from blogworker.queue.job import Claim, Release
from blogworker.queue.settle import Settler
from blogworker.settings import QueueSettings, WorkerSettings
from blogworker.slots import SlotGroup
from blogworker.stages.checkpoint import load
from blogworker.telemetry.progress import Progress

CLAIM_TIMEOUT_S = 10.0
UNAVAILABLE_RETRY_S = 1.0  # until the next claim when the database is unavailable or incompatible
EMPTY_POLL_S = 0.25  # the poll interval of a worker that runs until the queue is empty


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
        self._queue = queue
        self._settings = worker
        self._freed = Event()
        self._woken = Event()
        self._attempts = Attempts(
            settler, pipeline, worker=worker, health=health, gate=gate, on_free=self._note_free_slot
        )
        self._slots = self._attempts.slots

    def use(self, queue: QueueSettings, worker: WorkerSettings) -> None:
        """Continue with other settings. With fewer slots, running jobs end before others are claimed."""
        self._queue, self._settings = queue, worker
        self._attempts.use(worker)
        self._claimer.site_window = queue.max_per_instance
        self._freed.set()
        self.wake()

    @property
    def ended(self) -> EndedAttempts:
        return self._attempts.ended

    @property
    def in_flight(self) -> int:
        return len(self._attempts)

    @property
    def slots_used(self) -> int:
        return self._slots.used

    @property
    def job_ids(self) -> set[int]:
        return self._attempts.job_ids

    @property
    def unsettled(self) -> set[tuple[int, int]]:
        """Return the attempts without a stored outcome. When the worker has stopped, the next lease takes them back."""
        return self._attempts.unsettled

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Stop those of these jobs that are still here, because a person cancelled them."""
        self._attempts.cancel(job_ids)

    def release_running(self, *, ahead: bool = False) -> int:
        """Stop all jobs, or those claimed ahead, and requeue them without using an attempt. Return how many."""
        return self._attempts.release(ahead=ahead)

    def wake(self) -> None:
        """Claim at once: there may be work."""
        self._woken.set()

    async def claim_loop(self, worker_id: UUID, jobs: TaskGroup, *, until_empty: bool = False) -> None:
        """Fill free slots forever, or until the queue is empty."""
        self._attempts.open(jobs)
        try:
            await self._claim_jobs(worker_id, jobs, until_empty=until_empty)
        finally:
            self._attempts.close()

    async def _claim_jobs(self, worker_id: UUID, jobs: TaskGroup, *, until_empty: bool) -> None:
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
        self._attempts.settled.clear()
        most = min(self._queue.batch_size, free)
        if (slots := self._health.compatibility.usable_slots(most, in_flight=self.in_flight)) == 0:
            return None
        statement, found, probe_claim = "queue/claim", NO_CLAIMS, None
        try:
            # Shielded: a claim cancelled after its commit would leave claimed jobs that no worker runs.
            with fail_after(CLAIM_TIMEOUT_S, shield=True):
                found, probe_claim = await self._claimer.take(
                    worker_id, slots, group.stages, probes=self._slots.has_free(group)
                )
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
        if jobs.cancel_scope.cancel_called:  # attempts that start now would be cancelled at their first await
            await self._release(found.claims, probe_claim)
            return found
        self._slots.claimed(group, all_found=len(found.claims) >= slots)
        # Where the database has lost a claim with its history, the attempt of before has it again.
        new = [claim for claim in found.claims if claim.key not in self._attempts]
        self.cancel(claim.job_id for claim in new)  # older attempts that still run here have lost their claims
        for claim in new:
            self._attempts.start(Attempt(claim, saved.get(claim.job_id, {}), probe_claim))
        if probe_claim is not None and not new:
            await self._release((), probe_claim)
        await self._claimer.retire(found)
        return found

    async def _release(self, claims: Iterable[Claim], probe_claim: ProbeClaim | None) -> None:
        """Requeue jobs that were claimed and do not start."""
        keys = {claim.key for claim in claims}
        self._attempts.given_up |= keys
        with move_on_after(RELEASE_GRACE_S, shield=True) as grace:
            async with create_task_group() as tasks:
                tasks.start_soon(self._settler.settle_all, claims, Release())
                if probe_claim is not None:
                    await self._gate.return_probe_claim(probe_claim)
        if not grace.cancelled_caught:
            self._attempts.given_up -= keys

    def _note_free_slot(self) -> None:
        self._freed.set()
        if self._slots.is_wanted:
            self.wake()
