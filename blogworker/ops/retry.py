"""Retry: put ended jobs back into the queue, after a plan with the cost."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from anyio import sleep

from blogworker.db.pool import Database
from blogworker.ops.audit import Action
from blogworker.ops.forecast import forecast_cost
from blogworker.ops.jobs import BATCH, PAUSE_S, record_jobs
from blogworker.ops.records import RetryCandidate, records
from blogworker.ops.sites import require_sites
from blogworker.spend.estimate import Prices

From = Literal["source", "ideas", "content", "image"]
LOCKED = "locked by another transaction: try again"
REFUSALS = {
    "running": "it is running: cancel it first",
    "waits": "it is already waiting to run: cancel it first",
    "done": "it is DONE",
    "published": "its post is published{post}",
    "shown": "its site may have a draft of the post: without --from the retry publishes that draft",
    "unknown": "it does not exist, or other options exclude it",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which jobs to retry. A job has to match everything that is given; None matches every job."""

    job_ids: Sequence[int] | None = None
    instance_ids: Sequence[str] | None = None
    kinds: Sequence[str] | None = None  # of their last error
    text: str | None = None  # a part of their title, source, error or site
    stage: str | None = None  # the next stage
    younger_than_s: float | None = None  # since they failed
    older_than_s: float | None = None
    retry_from: From | None = None  # None: from the last valid checkpoint


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What a retry would do."""

    jobs: list[RetryCandidate]
    retry_from: From | None
    refused: dict[int, str]  # jobs given by id that are not retried, and why
    skipped: int  # other jobs that are not retried: published, or the site may have a draft
    usd: float | None  # None: a model has no price
    usd_at_most: float | None
    unknown_kinds: tuple[str, ...] = ()  # kinds of errors that no FAILED job has
    known_kinds: tuple[str, ...] = ()

    @property
    def to_pay(self) -> Counter[tuple[str, str]]:
        """Count jobs by source type and paid stage."""
        return Counter((job.source_type, stage) for job in self.jobs for stage in job.to_pay)


async def plan_retry(database: Database, choice: Choice, prices: Prices) -> RetryPlan:
    """Return the jobs and the cost without changing anything. Raises SettingsError for an unknown site."""
    await require_sites(database, choice.instance_ids or [])
    found = records(RetryCandidate, await database.rows("queue/retry_outlook", **asdict(choice)))
    jobs = [job for job in found if job.refusal is None]
    refused = {job.job_id: _refusal(job.refusal, job.post) for job in found if job.refusal is not None}
    named = choice.job_ids or []
    refused |= dict.fromkeys(set(named) - {job.job_id for job in found}, REFUSALS["unknown"])
    known = [row["kind"] for row in await database.rows("ops/failed_kinds")] if choice.kinds and not jobs else None
    unknown = () if known is None else tuple(kind for kind in choice.kinds or () if kind not in known)
    plan = RetryPlan(
        jobs=jobs,
        retry_from=choice.retry_from,
        refused=refused if named else {},
        skipped=0 if named else len(refused),
        usd=0.0,
        usd_at_most=0.0,
        unknown_kinds=unknown,
        known_kinds=tuple(known or ()),
    )
    if not plan.to_pay:
        return plan
    usd, usd_at_most = await forecast_cost(database, plan.to_pay, prices)
    return replace(plan, usd=usd, usd_at_most=usd_at_most)


async def retry_jobs(database: Database, plan: RetryPlan) -> list[int]:
    """Retry the jobs of the plan in batches. Return the ids of those that are PENDING again, each once."""
    retried: list[int] = []
    for start in range(0, len(plan.jobs), BATCH):
        ids = [job.job_id for job in plan.jobs[start : start + BATCH]]
        async with database.transaction() as statements:
            rows = await statements.rows("queue/retry", job_ids=ids, retry_from=plan.retry_from)
            if rows:
                await record_jobs(statements, Action.JOBS_RETRY, rows, {"from": plan.retry_from})
        retried += [row["job_id"] for row in rows]
        await sleep(PAUSE_S)
    return retried


def _refusal(code: str, post: str | None) -> str:
    return REFUSALS[code].format(post=f" ({post})" if post else "")
