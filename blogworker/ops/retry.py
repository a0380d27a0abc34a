"""Retry: put ended jobs back into the queue, after a plan with the cost."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from anyio import sleep

from blogworker.db.pool import Database, Row
from blogworker.ops.forecast import forecast_cost
from blogworker.ops.jobs import BATCH, PAUSE_S
from blogworker.ops.sites import require_sites
from blogworker.settings import OpenAISettings, ReplicateSettings

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
    younger_than_s: float | None = None  # since they failed
    retry_from: From | None = None  # None: from the last valid checkpoint


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What a retry would do."""

    rows: list[Row]  # of the jobs to retry
    refused: dict[int, str]  # jobs given by id that are not retried, and why
    skipped: int  # other jobs that are not retried: published, or the site may have a draft
    usd: float | None  # None: a model has no price
    usd_at_most: float | None
    unknown_kinds: tuple[str, ...] = ()  # kinds of errors that no FAILED job has
    known_kinds: tuple[str, ...] = ()

    @property
    def to_pay(self) -> Counter[tuple[str, str]]:
        """Count jobs by source type and paid stage."""
        return Counter((row["source_type"], stage) for row in self.rows for stage in row["to_pay"])


async def plan_retry(
    database: Database, choice: Choice, *, openai: OpenAISettings, replicate: ReplicateSettings
) -> RetryPlan:
    """Return the jobs and the cost without changing anything. Raises SettingsError for an unknown site."""
    await require_sites(database, choice.instance_ids or [])
    found = await database.rows("queue/retry_outlook", **asdict(choice))
    rows = [row for row in found if row["refusal"] is None]
    refused = {row["job_id"]: _refusal(row) for row in found if row["refusal"] is not None}
    named = choice.job_ids or []
    refused |= dict.fromkeys(set(named) - {row["job_id"] for row in found}, REFUSALS["unknown"])
    known = [row["kind"] for row in await database.rows("ops/failed_kinds")] if choice.kinds and not rows else None
    unknown = () if known is None else tuple(kind for kind in choice.kinds or () if kind not in known)
    plan = RetryPlan(
        rows, refused if named else {}, 0 if named else len(refused), 0.0, 0.0, unknown, tuple(known or ())
    )
    if not plan.to_pay:
        return plan
    usd, usd_at_most = await forecast_cost(database, plan.to_pay, openai=openai, replicate=replicate)
    return RetryPlan(rows, plan.refused, plan.skipped, usd, usd_at_most, unknown, plan.known_kinds)


async def retry_jobs(database: Database, plan: RetryPlan, *, retry_from: From | None) -> list[int]:
    """Retry the jobs of the plan. Return the ids that are PENDING again: only jobs of the plan, each once."""
    retried: list[int] = []
    for start in range(0, len(plan.rows), BATCH):
        ids = [row["job_id"] for row in plan.rows[start : start + BATCH]]
        retried += await retry_batch(database, ids, retry_from=retry_from)
        await sleep(PAUSE_S)
    return retried


async def retry_batch(database: Database, job_ids: Sequence[int], *, retry_from: From | None = None) -> list[int]:
    """Retry these jobs in one transaction. Return those that are PENDING again."""
    found = await database.rows("queue/retry", job_ids=list(job_ids), retry_from=retry_from)
    return [row["job_id"] for row in found]


def _refusal(row: Row) -> str:
    return REFUSALS[row["refusal"]].format(post=f" ({row['post']})" if row["post"] else "")
