"""What a worker takes from the queue, and whether there is more for it."""

from functools import partial
from time import monotonic
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from blogworker.daemon.gate import Gate, ProbeClaim
from blogworker.db.misfit import misfit
from blogworker.db.patient import DatabaseHealth
from blogworker.db.pool import Database
from blogworker.db.words import in_words
from blogworker.queue.admit import admissible
from blogworker.queue.claim import Claimed, Scan, claim
from blogworker.queue.condemn import condemn
from blogworker.queue.rescue import claim_suspect
from blogworker.telemetry import get_logger

NOTHING = Claimed(claims=(), look_again=False)
WITHIN_S = 600.0  # a worker that runs until the queue is empty waits for jobs scheduled no later than this
SUSPECTS_WITHIN_S = 15.0  # one for suspects: for those that rest no longer than this
UNADMITTED_S = 300.0  # that claims leave it to `admit` alone to put sites in line

log = get_logger()


class Claimer:
    """The claims of one worker. `alone`: it takes suspects of killing workers, one at a time, and nothing else."""

    def __init__(
        self, database: Database, gate: Gate, health: DatabaseHealth, *, name: str, site_window: int, alone: bool
    ) -> None:
        self._database = database
        self._gate = gate
        self._health = health
        self._name = name
        self._site_window = site_window
        self._alone = alone
        self._scan = Scan()
        self._stopped_by: str | None = None  # the error that stops every claim
        self._admits_from = 0.0

    async def take(self, worker_id: UUID, slots: int) -> tuple[Claimed, ProbeClaim | None]:
        """One job to probe a provider with and its permission, if it is time for that; otherwise as many as allowed."""
        if self._alone:
            return await self._suspect(worker_id), None
        admits = monotonic() >= self._admits_from
        take = partial(claim, self._database, worker_id, site_window=self._site_window, scan=self._scan, admits=admits)
        if (trial := await self._gate.trial()) is not None:
            for one in trial.filters:
                found = self._answered(await take(slots=1, only=one))
                if found.claims:
                    return found, trial
            await self._gate.unused(trial)
        if (allowed := self._gate.claim_filter()) is None:
            return NOTHING, None
        return self._answered(await take(slots=slots, only=allowed)), None

    def _answered(self, found: Claimed) -> Claimed:
        self._health.found("queue/claim")
        self._stopped_by = None
        return found

    async def _suspect(self, worker_id: UUID) -> Claimed:
        allowed = self._gate.claim_filter()
        if allowed is None:
            return NOTHING
        job = await claim_suspect(self._database, worker_id, allowed.stages)
        return self._answered(NOTHING if job is None else Claimed(claims=(job,), look_again=True))

    async def single_out(self, error: Exception) -> None:
        """An error that may be the fault of some row: end its job, otherwise no site is served. Where the row is one of
        a site that is to join the line, claims do not admit sites for a while."""
        if not misfit(error) and self._stopped_by != (told := f"{type(error).__name__}: {error}"):
            self._stopped_by = told  # once for each
            log.error("claim_failed", error_type=type(error).__name__, error=in_words(error))
        try:
            condemned = await condemn(self._database, self._site_window)
            unadmitted = await self._without_admission()  # last: where nothing fits, condemn has raised
        except (psycopg.Error, PoolTimeout) as other:
            if not misfit(other):  # that is known already, by the name of the claim
                self._health.trouble(other, "queue/condemn")
            return
        for job in condemned:
            log.error("job_condemned", job_id=job.job_id, instance_id=job.instance_id, error=job.error)
        if condemned or unadmitted:
            self._health.fit.passed("queue/claim")  # for all others

    async def _without_admission(self) -> bool:
        """Whether claims admitted sites so far, and cannot."""
        if monotonic() < self._admits_from or await admissible(self._database):
            return False
        self._admits_from = monotonic() + UNADMITTED_S
        return True

    async def all_done(self) -> bool:
        if self._alone:
            return not await self._suspects_wait()
        stages = list(self._gate.affordable) if self._gate.budget.stopped_s > WITHIN_S else None
        try:
            left = await self._database.one("queue/outstanding", within_s=WITHIN_S, stages=stages)
        except (psycopg.Error, PoolTimeout) as error:
            self._health.trouble(error, "queue/outstanding")
            return False
        return not any(left.values())

    async def _suspects_wait(self) -> bool:
        try:
            found = await self._database.one("queue/suspects", name=self._name, within_s=SUSPECTS_WITHIN_S)
        except (psycopg.Error, PoolTimeout) as error:
            return self._health.trouble(error, "queue/suspects")
        return bool(found["waiting"])
