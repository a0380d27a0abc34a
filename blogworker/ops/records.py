"""What operations return: one frozen dataclass per query of `sql/queries/ops` and `sql/queries/spend`.

The fields have the names and the order of the columns; the contract of each column is in the SQL file. `--json` prints
exactly these fields, and so does HTTP. Texts that people wrote may be `Unreadable` where the row cannot be read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

R = TypeVar("R")


def records(kind: type[R], rows: Iterable[Mapping[str, Any]]) -> list[R]:
    """Return rows as records. Raises TypeError when a query and its record have different columns."""
    return [kind(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class StatusCount:
    """Jobs by status. Ended jobs: of the last day."""

    status: str
    jobs: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class WaitingReason:
    """Why jobs wait. Counts are of at most 10,000 jobs."""

    reason: str
    jobs: int
    oldest: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class FleetTotals:
    """Totals of the fleet. Money in USD; None: no budget, or nothing stops paid stages."""

    sites: int
    ready: int
    paused: int
    at_cap: int
    finished_last_minute: int
    finished_last_10_minutes: int
    estimated_wait_minutes: int
    usd_today: float
    usd_month: float
    budget_day_usd: float | None
    budget_month_usd: float | None
    stop_reason: str | None


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A registered worker. `alive`: its lease has not ended. `quiet`: a person has told it to claim nothing."""

    name: str
    host: str
    pid: int
    version: str
    concurrency: int
    in_flight: int
    draining: bool
    quiet: bool
    alive: bool
    up_s: float
    lease_s: float


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """The limits of a quota in force, and how much of them is used."""

    name: str
    provider: str
    queue_length: int
    requests_in_last_minute: int
    max_requests: int | None
    requests_percent: float | None
    tokens_in_last_minute: int | None
    max_tokens: int | None
    tokens_percent: float | None
    pace: float
    requests_ahead_s: float
    tokens_ahead_s: float
    blocked_s: float
    pinned: bool
    requests_per_minute: int | None
    tokens_per_minute: int | None
    reported_requests_per_minute: int | None
    reported_tokens_per_minute: int | None


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The circuit breaker of a provider, or of one of its accounts."""

    provider: str
    state: str
    reason: str | None
    misconfigured: bool
    opened_at: datetime | None
    open_s: float | None
    retry_at: datetime | None
    retry_in_s: float | None
    tries: int
    strikes: int


@dataclass(frozen=True, slots=True)
class WebhooksNow:
    """Deliveries, counted up to 10,000, and endpoints. `names`: of the endpoints that fail or are disabled."""

    waiting: int
    late: int
    given_up: int
    active: int
    paused: int
    failing: int
    disabled: int
    names: list[str]


@dataclass(frozen=True, slots=True)
class SiteState:
    """A site with its jobs by status. Ended jobs: of the last day. `own`: the values that are its own, by name; the
    others are its plan's. `token_share`: of the tokens of all sites, in this hour and the last one."""

    instance_id: str
    name: str | None
    plan: str | None
    weight: float
    priority: int
    max_in_flight: int | None
    max_pending: int | None
    quota_share: float | None
    own: dict[str, float]
    paused_at: datetime | None
    pause_reason: str | None
    resume_at: datetime | None
    budget_day_usd: float | None
    budget_month_usd: float | None
    ready: bool
    at_cap: bool
    virtual_time: float
    turn_cost: float
    settings: Any
    product_url: str | None
    product_url_learnt: bool
    pending: int
    processing: int
    scheduled: int
    done: int
    failed: int
    token_share: float | None
    waiting_since: datetime | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site gets unless it has a value of its own. `priority`: turns. `sites`: how many have the plan."""

    name: str
    weight: float
    priority: int
    max_in_flight: int | None
    max_pending: int | None
    budget_day_usd: float | None
    budget_month_usd: float | None
    quota_share: float | None
    sites: int


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job in a list. `source`: at most 60 characters of its subject."""

    id: int
    instance_id: str
    source_type: str
    source: str | None
    status: str
    stage: str
    priority: int
    attempt: int
    failures: int
    max_attempts: int
    created_at: datetime
    run_at: datetime
    claimed_at: datetime | None
    finished_at: datetime | None
    error: str | None
    title: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class PostSummary:
    """A post in a list. `score`: None if it is older than scores. `reason`: why it is not published."""

    id: int
    instance_id: str
    title: str | None
    score: int | None
    finished_at: datetime | None
    draft: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class RetryCandidate:
    """A job that may be retried. `first`: the stage to regenerate from; None: the last checkpoint."""

    job_id: int
    status: str
    refusal: str | None
    post: str | None
    source_type: str
    first: str | None
    to_pay: list[str]


@dataclass(frozen=True, slots=True)
class Outlook:
    """Waiting jobs (counted up to 1,000,000), and jobs ended per minute in the last ten."""

    waiting: int
    a_minute: float


@dataclass(frozen=True, slots=True)
class JobDetails:
    """Everything about a job. `job` and `post` are whole rows; `checkpoints` and `errors` omit the id of the job."""

    job: dict[str, Any]
    post: dict[str, Any] | None
    checkpoints: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    publish_at: Any
    worker: str | None
