"""The evidence for the promises, collected after the queue became empty or the time was over."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import errors

from blogworker.bench.chaos.injector import Injected
from blogworker.bench.chaos.plan import LONGEST_PAUSE_S
from blogworker.bench.chaos.poison import SITE as POISONED
from blogworker.bench.chaos.producers import SITE as ORDINARY
from blogworker.bench.chaos.producers import Submissions
from blogworker.bench.chaos.worker_logs import WorkerLogs
from blogworker.bench.environment.simulator import Simulator
from blogworker.db.pool import Database, Row

LOST_ATTEMPT = ("LeaseLost", "OutcomeUnknown", None)  # None: released, which stores no error
QUOTA_WAIT = "the fleet's quota"  # a wait for quota also stores no kind, but no provider was called
INCOMPATIBLE = "42"  # SQLSTATE class of a statement that does not match the schema or the privileges
JOB_HISTORY = ("bench/chaos_history", "bench/chaos_record_job", "bench/chaos_job_trigger")
ANSWER_HISTORY = ("bench/chaos_answers", "bench/chaos_record_answer", "bench/chaos_answer_trigger")


@dataclass(frozen=True, slots=True)
class Report:
    """What the injector, the producers and the workers recorded."""

    submissions: Submissions
    injected: Injected
    exits: Counter[int]  # of workers, by exit code
    killed: int  # workers killed by the injector
    logs: WorkerLogs
    initial: Sequence[str] = ()  # topics of the jobs that were enqueued before the faults
    poisons: int = 0  # poisoned rows that the database accepted
    refused: Counter[str] = field(default_factory=Counter)  # poisoned rows that it refused, by SQLSTATE
    spikes: Counter[str] = field(default_factory=Counter)
    longest_pause_s: float = LONGEST_PAUSE_S


@dataclass(frozen=True, slots=True)
class Evidence:
    """The report, and what the database and the providers contain."""

    report: Report
    jobs: Sequence[Row]  # of ordinary sites and of the burst
    poisoned: Sequence[Row]
    ends: Sequence[Row]  # attempts that ended without DONE
    claims: Sequence[Row]
    broken_sites: Sequence[str]  # ordinary sites whose virtual time is not a finite number
    spend: Row
    stats: dict[str, Any]
    posts: Sequence[dict[str, Any]]

    @property
    def paid(self) -> int:
        """The number of calls that the providers completed and charged."""
        text = sum(model["calls"] for model in self.stats["openai"]["models"].values())
        return int(text + self.stats["replicate"]["predictions"])

    @property
    def stored(self) -> int:
        """The number of paid answers that were stored."""
        return int(self.spend["stored"])

    @property
    def interrupted(self) -> list[Row]:
        """Attempts that ended, or lost an answer, before the paid answer of their stage was stored."""
        return [
            end
            for end in self.ends
            if end["unpaid"] and end["kind"] in LOST_ATTEMPT and not (end["error"] or "").startswith(QUOTA_WAIT)
        ]

    @property
    def ordinary_ends(self) -> list[Row]:
        return [end for end in self.ends if not end["instance_id"].startswith(POISONED)]

    @property
    def ordinary_claims(self) -> list[Row]:
        return [claim for claim in self.claims if claim["instance_id"].startswith(ORDINARY)]

    @property
    def incompatible_ends(self) -> list[Row]:
        """Attempts that ended because the database was incompatible."""
        return [end for end in self.ends if _sqlstate(end["kind"]).startswith(INCOMPATIBLE)]


async def record(database: Database, *histories: Sequence[str]) -> None:
    """Create the tables and triggers of these histories."""
    for history in histories:
        for statement in history:
            await database.execute(statement)


async def collect(database: Database, simulator: Simulator, report: Report) -> Evidence:
    jobs = await database.rows("bench/chaos_jobs")
    return Evidence(
        report=report,
        jobs=[job for job in jobs if not job["poisoned"]],
        poisoned=[job for job in jobs if job["poisoned"]],
        ends=await database.rows("bench/chaos_ends"),
        claims=await database.rows("bench/chaos_claims"),
        broken_sites=[site["instance_id"] for site in await database.rows("bench/chaos_sites")],
        spend=await database.one("bench/chaos_spend"),
        stats=await simulator.stats(),
        posts=await simulator.posts(),
    )


def _sqlstate(kind: str | None) -> str:
    """Return the SQLSTATE of the psycopg error class with this name, or an empty string."""
    return getattr(getattr(errors, kind or "", None), "sqlstate", None) or ""
