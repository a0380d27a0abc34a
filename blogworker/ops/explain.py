"""Explain one job: why it waits, where it runs, why it failed, what became of it, and what to do."""

from dataclasses import dataclass
from datetime import datetime

from blogworker.db.pool import Database, Row
from blogworker.printable import typed, typed_argument
from blogworker.queue.job import Status

# What an operator can do about the first thing that a job waits for, by its kind in v_waiting. {site}: the quoted id.
WAITS = {
    "rest": "wait, or `blogworker retry {job}` once it has failed; `blogworker show {job}` has all its errors",
    "pause": "correct the reason, then `blogworker sites resume {site}`",
    "unserved": "start a worker with `blogworker run`; if with --stages, one that names it. `blogworker workers` shows "
    "which drain or are quiet",
    "stage_pause": "`blogworker resume` continues all stages, `blogworker resume --stage NAME` one",
    "budget": "`blogworker costs` shows what was spent; `blogworker costs --help` how to change the budget",
    "breaker": "`blogworker breakers` shows why; `blogworker breakers close PROVIDER` after the cause is gone",
    "quota": "nothing: the quota is shared in turns; `blogworker quotas` shows its use",
    "site_quota": "nothing: Wix limits the calls to each site; `blogworker quotas --site {option}` shows them",
    "cap": "wait, or raise the cap: `blogworker sites set {site} --max-in-flight N`",
    "suspect": "nothing: workers run it alone; if it kills one again, it fails and says so",
    "line": "nothing: it is next in its turn; `blogworker status` shows whether workers are alive",
}
# The same for the last error of a FAILED job, by its kind.
FAILURES = {
    "Misconfigured": "correct the key, the model or the setting that the error names, then `blogworker retry {job}`",
    "SiteUnavailable": "install the app on the site again, then `blogworker sites resume {site}` and "
    "`blogworker retry {job}`",
    "Rejected": "change the source or the settings of the site as the error says, then `blogworker retry {job}`",
    "Refused": "change the words that the provider refuses, then `blogworker retry {job}`",
    "LeaseLost": "it may have killed its workers: look at the log of the worker, then `blogworker retry {job}`",
    "Unreadable": "correct the row as the error says, then `blogworker retry {job}`",
}
RETRY = "`blogworker retry {job}` continues from its last checkpoint and says first what that costs at most"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`summary` is one sentence. `starts_in_s`: an estimate; None: unknown, or it does not wait."""

    job_id: int
    instance_id: str
    status: Status
    stage: str
    summary: str
    advice: str
    waits_for: str | None = None  # the kind of what it waits for first
    until: datetime | None = None
    also: tuple[str, ...] = ()  # the reasons after the first, which would hold without it
    jobs_before: int | None = None  # of its site, counted to 1,000
    sites_before: int | None = None  # counted to 1,000
    starts_in_s: float | None = None
    in_progress: int = 0  # jobs of its site
    max_in_flight: int | None = None
    worker: str | None = None
    attempts: str = ""  # used, of those allowed
    url: str | None = None
    cost_usd: float | None = None


async def explain_job(database: Database, job_id: int) -> Explanation | None:
    """Return the explanation; None if there is no such job."""
    found = await database.maybe("ops/explain", job_id=job_id)
    return None if found is None else _explanation(found)


def _explanation(found: Row) -> Explanation:
    summary, advice = _told(found)
    words = {
        "job": found["job_id"],
        "site": typed_argument(found["instance_id"]),
        "option": typed(found["instance_id"]),
    }
    return Explanation(
        job_id=found["job_id"],
        instance_id=found["instance_id"],
        status=Status(found["status"]),
        stage=found["stage"],
        summary=summary,
        advice=advice.format(**words),
        waits_for=found["kind"],
        until=found["until"],
        also=tuple(found["also"]),
        jobs_before=None if found["place"] is None else found["place"] - 1,
        sites_before=found["sites_before"],
        starts_in_s=found["starts_in_s"],
        in_progress=found["in_progress"],
        max_in_flight=found["max_in_flight"],
        worker=found["worker"],
        attempts=f"{found['failures']}/{found['max_attempts']}",
        url=found["url"],
        cost_usd=found["cost_usd"],
    )


def _told(found: Row) -> tuple[str, str]:
    """Return the summary and the advice, as a format."""
    match found["status"]:
        case Status.PENDING:
            return f"waits: {found['reason']}", WAITS.get(found["kind"], WAITS["line"])
        case Status.SCHEDULED:
            if found["publish_at"] is not None and found["stage"] == "publish":
                return "is made, and waits for its publish_at", "nothing, or change it in scheduled_blogs with SQL"
            return "waits for its run_at", "nothing, or change its time with SQL: run_at = now()"
        case Status.PROCESSING:
            worker = found["worker"] or "a worker without a lease: it will be rescued"
            return f"runs on {worker}", "`blogworker cancel {job}` stops it within seconds"
        case Status.FAILED:
            return f"failed: {found['error'] or 'no reason was stored'}", FAILURES.get(found["error_kind"], RETRY)
        case Status.CANCELLED:
            return "was cancelled", RETRY
        case _:
            return f"is done: {found['url'] or 'a draft, or a post without an address'}", "`blogworker review {job}`"
