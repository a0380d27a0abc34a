"""The claim loop and one attempt: claim -> pipeline -> settle."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import uniform
from time import monotonic
from uuid import UUID

import psycopg
import structlog
from anyio import CancelScope, Event, fail_after, get_cancelled_exc_class, move_on_after, sleep
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from psycopg_pool import PoolTimeout

from blogworker.daemon.claimer import NOTHING, Claimer
from blogworker.daemon.gate import Gate, ProbeClaim
from blogworker.db.misfit import misfit
from blogworker.db.patient import DatabaseHealth
from blogworker.db.pool import Database
from blogworker.db.words import in_words
from blogworker.errors import LeaseLost
from blogworker.queue.claim import Claimed
from blogworker.queue.job import Cancel, Claim, Done, Failure, Outcome, OverBudget, PauseSite, Reject, Release, Retry
from blogworker.queue.settle import Settler
from blogworker.settings import QueueSettings, WorkerSettings
from blogworker.spend.budget import Budget
from blogworker.stages.checkpoint import load
from blogworker.stages.work import Output
from blogworker.telemetry import get_logger
from blogworker.telemetry.facts import Facts, gathered

CLAIM_TIMEOUT_S = 10.0
RELEASE_GRACE_S = 2.0  # to hand a job back when its attempt is cancelled
LOOK_AGAIN_S = 0.004  # first wait when a claim was short only because others were claiming; doubles
LOOK_AGAIN_CAP_S = 1.0
DOUBLINGS = 20  # past any wait there is
AWAY_S = 1.0  # until the next claim when the database could not be reached, or does not fit
EMPTY_POLL_S = 0.25  # how soon a worker that runs until the queue is empty looks whether it is

Pipeline = Callable[[Claim, Mapping[str, Output]], Awaitable[Outcome]]

log = get_logger()


class Worker:
    """The slots of one process. `alone`: they are for suspects of killing workers, one at a time."""

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
        alone: bool = False,
    ) -> None:
        self._database = database
        self._claimer = Claimer(
            database, gate, health, name=worker.name, site_window=queue.max_per_instance, alone=alone
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
        self.lost: set[tuple[int, int]] = set()  # attempts that ended here and could not be settled
        self._released: set[tuple[int, int]] = set()
        self.outcomes: Counter[str] = Counter()  # by the status that each attempt left
        self.settled = self.released = 0

    @property
    def in_flight(self) -> int:
        return len(self._running)

    @property
    def held(self) -> set[int]:
        """The jobs that run here."""
        return {job_id for job_id, _ in self._running}

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Stop these jobs, if they still run here: a person asked for it."""
        unwanted = set(job_ids)
        for (job_id, _), scope in self._running.items():
            if job_id in unwanted:
                scope.cancel()

    def release_all(self) -> int:
        """Stop what runs here; it is PENDING again, without using an attempt. Gives how many."""
        running = {attempt: scope for attempt, scope in self._running.items() if not scope.cancel_called}
        self._released |= running.keys()
        for scope in running.values():
            scope.cancel()
        return len(running)

    def wake(self) -> None:
        """There may be work."""
        self._woken.set()

    async def claim_loop(self, worker_id: UUID, jobs: TaskGroup, *, until_empty: bool = False) -> None:
        """Fill free slots for ever, or until nothing is left to do."""
        hidden = quiet = 0
        while True:
            await checkpoint()  # the claim is shielded: a loop that keeps finding jobs would never notice its end
            await self._slot_free()
            self._woken = Event()  # before the claim: what arrives during it must not be slept through
            found = await self._claim(worker_id, jobs)
            if found is None:
                await sleep(AWAY_S)
            elif found.look_again:
                quiet = 0 if found.claims else quiet
                hidden = 0 if found.claims else hidden + 1
                if hidden:
                    await sleep(_doubled_s(hidden, longest_s=LOOK_AGAIN_CAP_S))
            elif until_empty and not self.in_flight and await self._claimer.all_done():
                return
            else:
                hidden = 0
                longest_s = EMPTY_POLL_S if until_empty else self._settings.poll_interval
                if found.look_in_s is not None:  # a quota holds jobs back: look when it lets some go on
                    longest_s = min(longest_s, uniform(0.7, 1.3) * found.look_in_s)
                    quiet = DOUBLINGS
                quiet = await self._idle(quiet, longest_s=longest_s)

    async def _idle(self, quiet: int, *, longest_s: float) -> int:
        """Sleep until woken, or until it is time to look by ourselves: soon after a wake, then ever later.

        Producers that come within moments of one who woke us do not notify again, and may commit after our claim.
        """
        with move_on_after(_doubled_s(quiet, longest_s=longest_s)):
            await self._woken.wait()
            return 0
        return quiet + 1

    async def _slot_free(self) -> None:
        while self.in_flight >= self._settings.concurrency:
            self._freed = Event()
            await self._freed.wait()

    async def _claim(self, worker_id: UUID, jobs: TaskGroup) -> Claimed | None:
        """None: the database cannot be claimed from now."""
        started = monotonic()
        free = min(self._queue.batch_size, self._settings.concurrency - self.in_flight)
        if (slots := self._health.fit.room(free, in_flight=self.in_flight)) == 0:
            return None
        statement = "queue/claim"
        found, trial = NOTHING, None
        try:
            # Shielded: cancelled after its commit it would leave jobs held by nobody who knows of them.
            with fail_after(CLAIM_TIMEOUT_S, shield=True):
                found, trial = await self._claimer.take(worker_id, slots)
                saved = {}
                if again := [c.job_id for c in found.claims if c.attempt > 1]:
                    statement = "stages/load_checkpoints"
                    saved = await load(self._database, again)
                    self._health.found(statement)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            await self._release(found.claims, trial)
            if not self._health.trouble(error, statement) or (misfit(error) and statement == "queue/claim"):
                await self._claimer.single_out(error)
            return None
        if jobs.cancel_scope.cancel_called:  # tasks started now would not take a single step
            await self._release(found.claims, trial)
            return found
        for taken in found.claims:
            self.cancel([taken.job_id])  # an attempt that still runs here was rescued meanwhile: it is lost
            self._running[taken.job_id, taken.attempt] = CancelScope()
            jobs.start_soon(self._run, taken, saved.get(taken.job_id, {}), trial)
        if found.claims:
            sites = len({c.instance_id for c in found.claims})
            duration_s = round(monotonic() - started, 4)
            log.debug("jobs_claimed", count=len(found.claims), sites=sites, duration_s=duration_s)
        return found

    async def _release(self, claims: Iterable[Claim], trial: ProbeClaim | None) -> None:
        with move_on_after(RELEASE_GRACE_S, shield=True):
            for taken in claims:
                await self._settler.settle(taken, Release())
            if trial is not None:
                await self._gate.unused(trial)

    async def _run(self, taken: Claim, saved: Mapping[str, Output], trial: ProbeClaim | None) -> None:
        """One attempt, from its claim until its outcome is stored; only then is the slot free."""
        started = monotonic()
        job = {"job_id": taken.job_id, "instance_id": taken.instance_id, "attempt": taken.attempt}
        with structlog.contextvars.bound_contextvars(**job), gathered() as facts:
            try:
                outcome: Outcome | None = Cancel()
                with self._running[taken.job_id, taken.attempt]:
                    outcome = await self._attempt(taken, saved, trial)
                if isinstance(outcome, Done):
                    self._health.fit.tried()
                if isinstance(outcome, Cancel) and (taken.job_id, taken.attempt) in self._released:
                    outcome = Release()
                status = await self._settler.settle(taken, outcome) if outcome is not None else None
                self._report(outcome, status, monotonic() - started, facts)
            except get_cancelled_exc_class():
                # Hand the job back now, else it waits out a full lease.
                self.lost.add((taken.job_id, taken.attempt))
                with move_on_after(RELEASE_GRACE_S, shield=True):
                    status = await self._settler.settle(taken, Release())
                    self._report(Release(), status, monotonic() - started, facts)
                    if status is not None:
                        self.lost.discard((taken.job_id, taken.attempt))
                raise
            finally:
                del self._running[taken.job_id, taken.attempt]
                self._released.discard((taken.job_id, taken.attempt))
                self._freed.set()

    async def _attempt(self, taken: Claim, saved: Mapping[str, Output], trial: ProbeClaim | None) -> Outcome | None:
        """How the attempt ended; None when it was no longer ours."""
        if taken.unreadable is not None:
            return Reject(Failure(taken.stage, "Unreadable", taken.unreadable))
        if taken.site_unreadable is not None:
            return PauseSite(Failure(taken.stage, "Unreadable", taken.site_unreadable))
        try:
            async with self._gate.trying(trial):
                outcome = await self._pipeline(taken, saved)
        except LeaseLost:
            return None
        except (
            psycopg.DataError,
            psycopg.errors.CheckViolation,
        ) as error:  # the same would be made, and paid for, again
            return Reject(Failure(taken.stage, "Unstorable", f"the database refuses what was made: {in_words(error)}"))
        except Exception as error:  # the edge of one attempt: an unforeseen error is this job's, not the worker's
            log.exception("attempt_crashed")
            return Retry(Failure(taken.stage, type(error).__name__, str(error)), self._settings.retry_base)
        if isinstance(outcome, OverBudget) and outcome.everywhere:
            self._gate.apply(
                Budget(stop_reason=outcome.reason)
            )  # before it is PENDING again, or else it is claimed at once
        return outcome

    def _report(self, outcome: Outcome | None, status: str | None, duration_s: float, facts: Facts) -> None:
        if outcome is None or status is None:
            self.outcomes["lost"] += 1
            log.warning("attempt_lost", duration_s=round(duration_s, 3))
            return
        self.outcomes[status] += 1
        if isinstance(outcome, Release):
            self.released += 1
        else:
            self.settled += 1
        failure = getattr(outcome, "failure", None)
        told = {key: facts.get(key) for key in ("title", "score", "tokens", "cost_usd")} | {
            "stage": failure.stage if failure else None,
            "error_type": failure.kind if failure else None,
            "error": failure.message if failure else getattr(outcome, "reason", None),
        }
        write = log.error if status == "FAILED" else log.info
        write(
            "job_settled",
            outcome=type(outcome).__name__.lower(),
            status=status,
            duration_s=round(duration_s, 3),
            **{key: value for key, value in told.items() if value is not None},
        )


def _doubled_s(times: int, *, longest_s: float) -> float:
    return min(longest_s, LOOK_AGAIN_S * 2.0 ** min(times, DOUBLINGS))
