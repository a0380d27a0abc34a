"""Claim jobs for one worker, and find out whether the queue is empty."""

from collections import defaultdict
from collections.abc import Collection
from functools import partial
from time import monotonic
from uuid import UUID

import psycopg
from anyio import move_on_after
from anyio.lowlevel import checkpoint
from psycopg_pool import PoolTimeout

from blogworker.daemon.gate import Gate, ProbeClaim
from blogworker.db.compatibility import is_incompatible
from blogworker.db.messages import message_of
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.admit import admissible
from blogworker.queue.claim import Claimed, Scan, claim, retire
from blogworker.queue.job import Stage
from blogworker.queue.rescue import claim_suspect
from blogworker.queue.unclaimable import fail_unclaimable
from blogworker.slots import ALL_STAGES
from blogworker.telemetry import get_logger, tracing
from blogworker.telemetry.sampling import Sampler

NO_CLAIMS = Claimed(claims=(), look_again=False)
RETIRE_S = 10.0
EMPTY_WITHIN_S = 600.0  # a worker that runs until the queue is empty waits for jobs that are due within this time
SUSPECTS_WITHIN_S = 15.0  # a worker for suspects waits for those that rest no longer than this
LINES = 1  # about claims, per second
NO_ADMISSION_S = 300.0  # how long claims do not admit sites, after the database refused to admit one

log = get_logger()


class Claimer:
    """The claims of one worker. `suspects_only`: claim only jobs suspected of killing workers, one at a time."""

    def __init__(
        self,
        database: Database,
        gate: Gate,
        health: DatabaseHealth,
        *,
        name: str,
        site_window: int,
        suspects_only: bool,
    ) -> None:
        self._database = database
        self._gate = gate
        self._health = health
        self._name = name
        self.site_window = site_window
        self._suspects_only = suspects_only
        self._scans: defaultdict[tuple[Stage, ...] | None, Scan] = defaultdict(Scan)  # by the stages of the claim
        self._stopped_by: str | None = None  # the error that fails every claim
        self._admits_from = 0.0
        self._lines = Sampler(LINES)

    async def take(
        self, worker_id: UUID, slots: int, stages: Collection[str] = ALL_STAGES, *, probes: bool = True
    ) -> tuple[Claimed, ProbeClaim | None]:
        """Claim one job to probe a provider with, if a probe is due and `probes` allows it; otherwise as many jobs as
        possible. Their next stage is one of `stages`."""
        started = monotonic()
        if self._suspects_only:
            return await self._claim_suspect(worker_id, started), None
        admits = started >= self._admits_from
        take = partial(
            claim,
            self._database,
            worker_id,
            site_window=self.site_window,
            admits=admits,
            retires=False,
        )
        if probes and (probe_claim := await self._gate.take_probe_claim(stages)) is not None:
            for only in probe_claim.filters:
                found = self._answered(await take(slots=1, only=only, scan=Scan()), started)
                if found.claims:
                    return found, probe_claim
            await self._gate.return_probe_claim(probe_claim)
        if (allowed := self._gate.claim_filter(stages)) is None:
            return NO_CLAIMS, None
        return self._answered(await take(slots=slots, only=allowed, scan=self._scans[allowed.stages]), started), None

    async def retire(self, found: Claimed) -> None:
        """Retire the sites that a claim has emptied. If that fails, a later claim finds them again."""
        if not found.dry:
            return
        await checkpoint()  # the claimed jobs start first
        try:
            with move_on_after(RETIRE_S):
                await retire(self._database, found)
        except (psycopg.Error, PoolTimeout) as error:
            self._health.note_error(error, "queue/retire_sites")

    def _answered(self, found: Claimed, started: float) -> Claimed:
        tracing.claimed(len(found.claims), monotonic() - started)
        self._health.note_success("queue/claim")
        self._stopped_by = None
        if found.claims:
            note = log.info if self._lines.admits() else log.debug
            sites = len({claim.instance_id for claim in found.claims})
            note("jobs_claimed", count=len(found.claims), sites=sites, duration_s=round(monotonic() - started, 4))
        return found

    async def _claim_suspect(self, worker_id: UUID, started: float) -> Claimed:
        allowed = self._gate.claim_filter()
        if allowed is None:
            return NO_CLAIMS
        job = await claim_suspect(self._database, worker_id, allowed.stages)
        return self._answered(NO_CLAIMS if job is None else Claimed(claims=(job,), look_again=True), started)

    async def isolate_faulty_job(self, error: Exception) -> None:
        """Handle an error that the row of one job or site may cause and that would fail every claim.

        End the job at fault. If the row belongs to a site that has to join the line, stop admitting sites in claims for
        a while.
        """
        text = f"{type(error).__name__}: {error}"
        if not is_incompatible(error) and self._stopped_by != text:
            self._stopped_by = text  # log each error once
            log.error("claim_failed", error_type=type(error).__name__, error=message_of(error))
        try:
            ended = await fail_unclaimable(self._database, self.site_window)
            unadmitted = await self._stopped_admission()  # last: if nothing works, the call before has raised
        except (psycopg.Error, PoolTimeout) as other:
            if not is_incompatible(other):  # recorded already for the claim
                self._health.note_error(other, "queue/fail_unclaimable")
            return
        for job in ended:
            log.error("unclaimable_job_found", job_id=job.job_id, instance_id=job.instance_id, error=job.error)
        if ended or unadmitted:
            self._health.compatibility.succeeded("queue/claim")  # the fault was one row, not the database

    async def _stopped_admission(self) -> bool:
        """Stop admitting sites in claims if the database refuses that. Return whether it was stopped now."""
        if monotonic() < self._admits_from or await admissible(self._database):
            return False
        self._admits_from = monotonic() + NO_ADMISSION_S
        return True

    async def queue_is_empty(self) -> bool:
        """Return whether no job is left for this worker."""
        if self._suspects_only:
            return not await self._suspects_wait()
        budget = self._gate.budget
        stages = list(self._gate.stages) if self._gate.stages != tuple(Stage) else None
        if budget.paused or budget.stopped_s > EMPTY_WITHIN_S:
            stages = list(self._gate.open_stages)
        try:
            outstanding = await self._database.one("queue/outstanding", within_s=EMPTY_WITHIN_S, stages=stages)
        except (psycopg.Error, PoolTimeout) as error:
            self._health.note_error(error, "queue/outstanding")
            return False
        return not any(outstanding.values())

    async def _suspects_wait(self) -> bool:
        try:
            found = await self._database.one("queue/suspects", name=self._name, within_s=SUSPECTS_WITHIN_S)
        except (psycopg.Error, PoolTimeout) as error:
            return self._health.note_error(error, "queue/suspects")
        return bool(found["waiting"])
