"""The claim loop and one attempt: claim -> pipeline -> settle."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from uuid import UUID

import psycopg
import structlog
from anyio import Event, fail_after, get_cancelled_exc_class, move_on_after, sleep
from anyio.abc import TaskGroup
from psycopg_pool import PoolTimeout

from blogworker.db.pool import Database
from blogworker.errors import LeaseLost
from blogworker.queue.claim import Claimed, claim
from blogworker.queue.job import Claim, Failure, Outcome, Release, Retry
from blogworker.queue.settle import Settler
from blogworker.settings import QueueSettings, WorkerSettings
from blogworker.stages.checkpoint import load
from blogworker.stages.work import Output
from blogworker.telemetry import get_logger

CLAIM_TIMEOUT_S = 10.0
RELEASE_GRACE_S = 2.0  # to hand a job back when its attempt is cancelled
LOOK_AGAIN_S = 0.004  # first wait when a claim was short only because others were claiming; doubles
LOOK_AGAIN_CAP_S = 1.0
EMPTY_POLL_S = 0.25  # how soon a worker that runs until the queue is empty looks whether it is
WITHIN_S = 600.0  # such a worker waits for jobs scheduled no later than this

Pipeline = Callable[[Claim, Mapping[str, Output]], Awaitable[Outcome]]

log = get_logger()


class Worker:
    """The slots of one process."""

    def __init__(
        self, database: Database, settler: Settler, pipeline: Pipeline, *, queue: QueueSettings, worker: WorkerSettings
    ) -> None:
        self._database = database
        self._settler = settler
        self._pipeline = pipeline
        self._queue = queue
        self._settings = worker
        self._freed = Event()
        self._woken = Event()
        self.in_flight = 0
        self.outcomes: Counter[str] = Counter()

    def wake(self) -> None:
        """There may be work."""
        self._woken.set()

    async def claim_loop(self, worker_id: UUID, jobs: TaskGroup, *, until_empty: bool = False) -> None:
        """Fill free slots for ever, or until nothing is left to do."""
        hidden = 0
        while True:
            await self._slot_free()
            self._woken = Event()  # before the claim: what arrives during it must not be slept through
            found = await self._claim(worker_id, jobs)
            if found is not None and found.look_again:
                hidden = 0 if found.claims else hidden + 1
                if hidden:
                    await sleep(min(LOOK_AGAIN_CAP_S, LOOK_AGAIN_S * 2.0**hidden))
            elif found is not None and until_empty and await self._all_done():
                return
            else:
                hidden = 0
                with move_on_after(EMPTY_POLL_S if until_empty else self._settings.poll_interval):
                    await self._woken.wait()

    async def _slot_free(self) -> None:
        while self.in_flight >= self._settings.concurrency:
            self._freed = Event()
            await self._freed.wait()

    async def _claim(self, worker_id: UUID, jobs: TaskGroup) -> Claimed | None:
        started = monotonic()
        slots = min(self._queue.batch_size, self._settings.concurrency - self.in_flight)
        try:
            # Shielded: cancelled after its commit it would leave jobs held by nobody who knows of them.
            with fail_after(CLAIM_TIMEOUT_S, shield=True):
                found = await claim(self._database, worker_id, slots=slots, site_window=self._queue.max_per_instance)
                again = [c.job_id for c in found.claims if c.attempt > 1]
                saved = await load(self._database, again) if again else {}
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            log.warning("claim_failed", error_type=type(error).__name__, error=str(error))
            return None
        for taken in found.claims:
            self.in_flight += 1
            jobs.start_soon(self._run, taken, saved.get(taken.job_id, {}))
        if found.claims:
            sites = len({c.instance_id for c in found.claims})
            duration_s = round(monotonic() - started, 4)
            log.debug("jobs_claimed", count=len(found.claims), sites=sites, duration_s=duration_s)
        return found

    async def _all_done(self) -> bool:
        if self.in_flight:
            return False
        try:
            left = await self._database.one("queue/outstanding", within_s=WITHIN_S)
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("claim_failed", error_type=type(error).__name__, error=str(error))
            return False
        return not any(left.values())

    async def _run(self, taken: Claim, saved: Mapping[str, Output]) -> None:
        """One attempt, from its claim until its outcome is stored; only then is the slot free."""
        started = monotonic()
        with structlog.contextvars.bound_contextvars(
            job_id=taken.job_id, instance_id=taken.instance_id, attempt=taken.attempt
        ):
            try:
                outcome = await self._attempt(taken, saved)
                status = await self._settler.settle(taken, outcome) if outcome is not None else None
                self._report(outcome, status, monotonic() - started)
            except get_cancelled_exc_class():
                # Hand the job back now, else it waits out a full lease.
                with move_on_after(RELEASE_GRACE_S, shield=True):
                    status = await self._settler.settle(taken, Release())
                    self._report(Release(), status, monotonic() - started)
                raise
            finally:
                self.in_flight -= 1
                self._freed.set()

    async def _attempt(self, taken: Claim, saved: Mapping[str, Output]) -> Outcome | None:
        """How the attempt ended; None when it was no longer ours."""
        try:
            return await self._pipeline(taken, saved)
        except LeaseLost:
            return None
        except Exception as error:  # the edge of one attempt: an unforeseen error is this job's, not the worker's
            log.exception("attempt_crashed")
            return Retry(Failure(taken.stage, type(error).__name__, str(error)), self._settings.retry_base)

    def _report(self, outcome: Outcome | None, status: str | None, duration_s: float) -> None:
        if outcome is None or status is None:
            self.outcomes["lost"] += 1
            log.warning("attempt_lost", duration_s=round(duration_s, 3))
            return
        self.outcomes[status] += 1
        failure = getattr(outcome, "failure", None)
        write = log.error if status == "FAILED" else log.info
        write(
            "job_settled",
            outcome=type(outcome).__name__.lower(),
            status=status,
            duration_s=round(duration_s, 3),
            stage=failure.stage if failure else None,
            error_type=failure.kind if failure else None,
            error=failure.message if failure else getattr(outcome, "reason", None),
        )
