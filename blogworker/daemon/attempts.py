"""The attempts of one worker: those that wait for a slot, those that run, and those whose outcome is being stored.

A slot is a task that runs one attempt after another. A slot without an attempt is parked until the next attempt wakes
it. So a job that ends at once does not cost a task. The outcome of an attempt is stored while its slot runs the next
one.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import psycopg
from anyio import CancelScope, Event, get_cancelled_exc_class, move_on_after, sleep
from anyio.abc import TaskGroup
from psycopg_pool import PoolTimeout

from blogworker.daemon.attempt import Attempt, Pipeline, outcome_of
from blogworker.daemon.changes import Changes
from blogworker.daemon.ended import EndedAttempts
from blogworker.daemon.gate import Gate, ProbeClaim
from blogworker.daemon.occupancy import Key, Occupancy
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Cancel, Claim, Done, Outcome, Release, Stage
from blogworker.queue.settle import Settler
from blogworker.settings import WorkerSettings
from blogworker.telemetry import tracing
from blogworker.telemetry.facts import gathered

RELEASE_GRACE_S = 2.0  # the time to release jobs when their attempts are cancelled


@dataclass(slots=True, eq=False)
class _Parked:
    """A slot that waits for an attempt. `key`: that attempt; None when the slot is woken: no attempt follows."""

    woken: Event = field(default_factory=Event)
    key: Key | None = None


class Attempts:
    """What a worker does with the jobs that it has claimed.

    `on_free`: called when a slot may have become free. `settled`: the attempts whose outcome was stored; the caller
    clears it. `given_up`: those that ended when the worker stopped, and have no stored outcome.
    """

    def __init__(
        self,
        settler: Settler,
        pipeline: Pipeline,
        *,
        worker: WorkerSettings,
        health: DatabaseHealth,
        gate: Gate,
        on_free: Callable[[], object],
    ) -> None:
        self._settler = settler
        self._pipeline = pipeline
        self._health = health
        self._gate = gate
        self._on_free = on_free
        self._retry_base_s = worker.retry_base
        self._attempts: dict[Key, Attempt] = {}  # all that have no stored outcome
        self._released: set[Key] = set()
        self._parked: list[_Parked] = []
        self._tasks: TaskGroup | None = None
        self._context = copy_context()  # of a slot, before its first attempt
        self._is_closed = self._is_stopping = self._has_given_up = False
        self._running = 0
        self._changes = Changes()
        self._comes_ahead, self._late_watch = Event(), CancelScope()
        self.slots = Occupancy(worker.slot_groups)
        self.ended = EndedAttempts()
        self.settled: set[Key] = set()
        self.given_up: set[Key] = set()

    def __len__(self) -> int:
        return len(self._attempts)

    def __contains__(self, key: Key) -> bool:
        """Return whether this attempt is here, or its outcome was stored since `settled` was cleared."""
        return key in self._attempts or key in self.settled

    def use(self, worker: WorkerSettings) -> None:
        """Continue with other settings. With fewer slots, running jobs end before others begin."""
        self._retry_base_s = worker.retry_base
        self.slots.resize(worker.slot_groups)
        self._fill_slots()

    @property
    def job_ids(self) -> set[int]:
        return {job_id for job_id, _ in self._attempts}

    @property
    def unsettled(self) -> set[Key]:
        """Return the attempts without a stored outcome. When the worker has stopped, the next lease takes them back."""
        return self.given_up | self._attempts.keys()

    def open(self, tasks: TaskGroup) -> None:
        """Run attempts as tasks of this group, until `close`."""
        self._tasks, self._context = tasks, copy_context()
        tasks.start_soon(self._release_late)

    def close(self) -> None:
        """Release the attempts that wait for a slot. The slots end when no attempt is left."""
        self.release(ahead=True)
        self._is_closed = True
        self._late_watch.cancel()
        while self._parked:
            self._parked.pop().woken.set()

    def start(self, attempt: Attempt) -> None:
        """Run a claimed job in a free slot, or as soon as one is free."""
        if self._has_given_up:  # the lease has ended
            self.given_up.add(attempt.key)
            return
        self._attempts[attempt.key] = attempt
        self.slots.start(attempt.key, attempt.claim.stage)
        self._comes_ahead.set()
        self._fill_slots()

    def enter(self, claim: Claim, stage: Stage) -> bool:
        """Take a slot for the next stage of a running job. Return False if the job has to wait for one in the line."""
        entered = self.slots.enter(claim.key, stage)
        self._fill_slots()
        self._on_free()
        return entered

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Stop those of these jobs that are here, because a person cancelled them."""
        unwanted = set(job_ids)
        self._stop([key for key in self._attempts if key[0] in unwanted], Cancel())

    def release(self, *, ahead: bool = False) -> int:
        """Stop all jobs, or those claimed ahead, and requeue them without using an attempt. Return how many."""
        chosen = self.slots.ahead() if ahead else list(self._attempts)
        stopped = [key for key in chosen if not self._attempts[key].scope.cancel_called]
        self._released.update(stopped)
        self._stop(stopped, Release())
        return len(stopped)

    async def _release_late(self) -> None:
        """Requeue the jobs that were claimed ahead and have waited too long for a slot, until `close`."""
        with self._late_watch:
            while True:
                if (late_in_s := self.slots.late_in_s) is None:
                    self._comes_ahead = Event()
                    await self._comes_ahead.wait()
                else:
                    await sleep(late_in_s)
                    self._stop(self.slots.late(), Release())

    def _stop(self, keys: Iterable[Key], outcome: Outcome) -> None:
        waiting = set(self.slots.ahead())
        for key in keys:
            self._attempts[key].scope.cancel()
            if key in waiting:
                self._end_before_start(self._attempts[key], outcome)

    # Slots ----------------------------------------------------------------------------------------------------------

    def _fill_slots(self) -> None:
        """Let the attempts run that have been given a slot."""
        while self.slots.admitted:
            key = self.slots.admitted.popleft()
            if self._tasks is None or self._tasks.cancel_scope.cancel_called or self._is_stopping:
                # An attempt that starts now would be cancelled at its first await.
                self._end_before_start(self._attempts[key], Release())
            elif self._parked:
                parked = self._parked.pop()
                parked.key = key
                parked.woken.set()
            else:
                # Not in the context of the attempt that may have made room.
                self._context.copy().run(self._tasks.start_soon, self._run_slot, key)

    async def _run_slot(self, key: Key | None) -> None:
        """Run this attempt, and then others. Ends with the worker, when all outcomes are stored."""
        try:
            while key is not None:
                if (attempt := self._attempts.get(key)) is not None:
                    await self._run(attempt)
                key = self.slots.admitted.popleft() if self.slots.admitted else None
                self._fill_slots()
                if key is None:
                    key = await self._park()
            await self._changes.until(lambda: not self._attempts)
        except get_cancelled_exc_class():
            # Release the jobs now, otherwise they wait until the lease ends. Some need a while to stop.
            self._is_stopping = True
            with CancelScope(shield=True):
                await self._changes.until(lambda: self._running == 0)
                with move_on_after(RELEASE_GRACE_S):
                    await self._changes.until(lambda: not self._attempts)
            self._give_up()
            raise

    async def _park(self) -> Key | None:
        """Wait for the next attempt of a slot. Return None if there will be none."""
        if self._is_closed:
            return None
        parked = _Parked()
        self._parked.append(parked)
        try:
            await parked.woken.wait()
        except get_cancelled_exc_class():
            if parked in self._parked:
                self._parked.remove(parked)
            elif parked.key is not None and (attempt := self._attempts.get(parked.key)) is not None:
                self._is_stopping = True
                self._end_before_start(attempt, Release())
                if attempt.probe_claim is not None:
                    with move_on_after(RELEASE_GRACE_S, shield=True):
                        await self._return_probe(attempt.probe_claim)
            raise
        return parked.key

    def _give_up(self) -> None:
        """Forget the attempts whose outcome is not stored in time: the next incarnation releases their jobs."""
        self._has_given_up = True
        for key, attempt in self._attempts.items():
            self.given_up.add(key)
            if attempt.context is not None:
                attempt.context.run(tracing.end_attempt, "cancelled", None)
        self._attempts.clear()
        self.slots.clear()
        self._changes.note()

    # One attempt ----------------------------------------------------------------------------------------------------

    async def _run(self, attempt: Attempt) -> None:
        """Run one attempt, and pass its outcome on to be stored."""
        attempt.begin()
        outcome: Outcome | None = Release()  # if this task is cancelled
        self._running += 1
        try:
            with gathered() as attempt.facts, attempt.scope:
                outcome = await outcome_of(
                    attempt,
                    self._pipeline,
                    gate=self._gate,
                    enter=partial(self.enter, attempt.claim),
                    retry_base_s=self._retry_base_s,
                )
            if attempt.scope.cancelled_caught and attempt.key not in self._released:
                outcome = Cancel()
        finally:
            self._running -= 1
            attempt.context = copy_context()
            self._end(attempt, outcome)
            self._changes.note()

    def _end_before_start(self, attempt: Attempt, outcome: Outcome) -> None:
        attempt.context = copy_context()
        attempt.context.run(attempt.begin)
        if attempt.probe_claim is not None and self._tasks is not None and not self._is_stopping:
            self._tasks.start_soon(self._return_probe, attempt.probe_claim)
        self._end(attempt, outcome)

    async def _return_probe(self, probe_claim: ProbeClaim) -> None:
        with suppress(psycopg.Error, PoolTimeout):  # then the probe ends by its own time
            await self._gate.return_probe_claim(probe_claim)

    def _end(self, attempt: Attempt, outcome: Outcome | None) -> None:
        """Free the slot of an attempt, and store its outcome. None: the claim was lost."""
        if attempt.key not in self._attempts:  # given up
            if attempt.context is not None:
                attempt.context.run(tracing.end_attempt, "cancelled", None)
            return
        if isinstance(outcome, Done):
            self._health.compatibility.job_succeeded()
        self.slots.ending(attempt.key)
        if outcome is None:
            self._ended(attempt, None, None)
        else:
            self._settler.store(attempt.claim, outcome, partial(self._ended, attempt, outcome))
        self._on_free()

    def _ended(self, attempt: Attempt, outcome: Outcome | None, status: str | None) -> None:
        """Note that the outcome of an attempt is stored. `status`: of its job; None: the claim was lost."""
        key = attempt.key
        if self._attempts.pop(key, None) is None:  # given up
            if status is not None:
                self.given_up.discard(key)
            return
        if status is not None:
            self.settled.add(key)
        elif outcome is not None and self._is_stopping:
            self.given_up.add(key)  # perhaps rescued: then its death was none
        self._released.discard(key)
        if attempt.context is not None:
            duration_s = monotonic() - attempt.started_at
            attempt.context.run(self.ended.report, outcome, status, duration_s, attempt.facts)
        self.slots.end(key)
        self._changes.note()
        self._fill_slots()
        self._on_free()
