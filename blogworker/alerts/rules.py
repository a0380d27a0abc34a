"""The alert rules, as the fleet evaluates them. `sql/monitoring/alerts.yml` has the same for Prometheus.

`expr` is the expression there, made from the same thresholds: a test compares both files and their results. Two rules
exist only there, because they are about Prometheus' own scrapes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from blogworker.ops.pulse import Pulse
from blogworker.ops.shown import duration
from blogworker.plurals import counted

PROMETHEUS_ONLY = ("BlogworkerMetricsAbsent", "BlogworkerMetricsStale")
LONG, VERY_LONG = 1000, 5000  # jobs that wait
SLOW_PER_S = 10  # blogs per second
SLOW_WAIT_S = 60
OLDEST_S = 1800
NEARLY = 0.9  # of a quota
FAILED_SHARE = 0.05
OLD_TRANSACTION_S = 600
POOL_WAITING = 10  # callers of one worker
RUNBOOK = "sql/inspect/README.md"


@dataclass(frozen=True, slots=True)
class Holding:
    """A condition that holds now. `subject`: what it is about, if a rule can hold several times."""

    value: float
    summary: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """`for_s`: it fires after it has held for so long. `description` ends with what to type next."""

    name: str
    severity: str
    for_s: int
    expr: str
    holds: Callable[[Pulse], Iterator[Holding]]
    description: str
    chapter: str

    @property
    def next_step(self) -> str:
        return self.description.partition(" Next: ")[2]

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.chapter}"


def _more_waiting(most: int) -> Callable[[Pulse], Iterator[Holding]]:
    def holds(pulse: Pulse) -> Iterator[Holding]:
        if (waiting := pulse.queue.pending) > most:
            yield Holding(waiting, f"{counted(waiting, 'job')} wait.")

    return holds


def _slow(pulse: Pulse) -> Iterator[Holding]:
    per_s = pulse.ended_last_minute("DONE") / 60
    if per_s < SLOW_PER_S and (pulse.queue.oldest_wait_s or 0) > SLOW_WAIT_S:
        yield Holding(per_s, f"{per_s:.1f} blogs per second are made while jobs wait.")


def _oldest_wait(pulse: Pulse) -> Iterator[Holding]:
    if (wait_s := pulse.queue.oldest_wait_s or 0) > OLDEST_S:
        yield Holding(wait_s, f"A job at the head of the line has waited {duration(wait_s)}.")


def _openai_quota(pulse: Pulse) -> Iterator[Holding]:
    for quota in pulse.quotas:
        if quota.provider == "openai":
            for counts, percent in (("requests", quota.requests_percent), ("tokens", quota.tokens_percent)):
                yield from _nearly_used(quota.name, counts, percent)


def _replicate_quota(pulse: Pulse) -> Iterator[Holding]:
    for quota in pulse.quotas:
        if quota.provider == "replicate":
            yield from _nearly_used(quota.name, "requests", quota.requests_percent)


def _nearly_used(name: str, counts: str, percent: float | None) -> Iterator[Holding]:
    if percent is not None and percent / 100 > NEARLY:
        yield Holding(percent / 100, f"{percent:.1f} % of the {counts} of {name} is used.", f"{name} {counts}")


def _jobs_fail(pulse: Pulse) -> Iterator[Holding]:
    ended = {row.status: row.last_hour for row in pulse.ended}
    failed = ended.get("FAILED", 0)
    share = failed / max(1, failed + ended.get("DONE", 0))
    if share > FAILED_SHARE:
        yield Holding(share, f"{share * 100:.1f} % of the jobs of the last hour failed.")


def _breaker_open(pulse: Pulse) -> Iterator[Holding]:
    for breaker in pulse.open_breakers:
        name = breaker.provider
        yield Holding(1, f"{name} is not called: its circuit breaker is open.", name)


def _no_workers(pulse: Pulse) -> Iterator[Holding]:
    if pulse.fleet.alive == 0 and pulse.queue.pending > 0:
        yield Holding(pulse.queue.pending, "No worker is alive, and jobs wait.")


def _budget_reached(pulse: Pulse) -> Iterator[Holding]:
    if pulse.fleet.budget_reached:
        yield Holding(1, "The total budget is reached: no paid stage is claimed.")


def _old_transaction(pulse: Pulse) -> Iterator[Holding]:
    if (age_s := pulse.fleet.oldest_transaction_s) > OLD_TRANSACTION_S:
        yield Holding(age_s, f"A transaction has been open for {duration(age_s)}.")


def _pool_exhausted(pulse: Pulse) -> Iterator[Holding]:
    if (waiting := pulse.fleet.pool_waiting) > POOL_WAITING:
        yield Holding(waiting, f"{counted(waiting, 'caller')} of one worker wait for a connection to the database.")


RULES = (
    Rule(
        "BlogworkerQueueLong",
        "warning",
        300,
        f'max(blogworker_jobs{{status="PENDING"}}) > {LONG}',
        _more_waiting(LONG),
        f"More than {LONG} jobs are PENDING. Next: blogworker status",
        "the-queue-grows",
    ),
    Rule(
        "BlogworkerQueueVeryLong",
        "critical",
        300,
        f'max(blogworker_jobs{{status="PENDING"}}) > {VERY_LONG}',
        _more_waiting(VERY_LONG),
        f"More than {VERY_LONG} jobs are PENDING; at 10000, producers are refused. Next: blogworker status",
        "the-queue-grows",
    ),
    Rule(
        "BlogworkerSlow",
        "warning",
        600,
        f'max(blogworker_jobs_ended_last_minute{{status="DONE"}}) / 60 < {SLOW_PER_S} '
        f"and max(blogworker_oldest_wait_seconds) > {SLOW_WAIT_S}",
        _slow,
        f"Less than {SLOW_PER_S} blogs per second are made while jobs wait. Next: blogworker history",
        "jobs-are-slow",
    ),
    Rule(
        "BlogworkerOldestWait",
        "warning",
        300,
        f"max(blogworker_oldest_wait_seconds) > {OLDEST_S}",
        _oldest_wait,
        f"The next jobs have waited for more than {OLDEST_S // 60} minutes. Next: blogworker status",
        "jobs-are-slow",
    ),
    Rule(
        "BlogworkerOpenAIQuotaNearlyUsed",
        "warning",
        300,
        f'max by (quota, counts) (blogworker_quota_used_ratio{{provider="openai"}}) > {NEARLY}',
        _openai_quota,
        "OpenAI's limit, not the workers, decides how fast blogs are made. Next: blogworker quotas",
        "jobs-are-slow",
    ),
    Rule(
        "BlogworkerReplicateQuotaNearlyUsed",
        "warning",
        300,
        f'max by (quota) (blogworker_quota_used_ratio{{provider="replicate", counts="requests"}}) > {NEARLY}',
        _replicate_quota,
        "Replicate's limit, not the workers, decides how fast blogs are made. Next: blogworker quotas",
        "jobs-are-slow",
    ),
    Rule(
        "BlogworkerJobsFail",
        "warning",
        300,
        'max(blogworker_jobs_ended_last_hour{status="FAILED"}) '
        f'/ sum(max by (status) (blogworker_jobs_ended_last_hour{{status=~"DONE|FAILED"}})) > {FAILED_SHARE}',
        _jobs_fail,
        f"More than {FAILED_SHARE * 100:.0f} % of the jobs that ended failed. Next: blogworker errors",
        "many-jobs-fail",
    ),
    Rule(
        "BlogworkerBreakerOpen",
        "critical",
        120,
        'max by (provider) (blogworker_breaker_state{state=~"open|half_open"}) == 1',
        _breaker_open,
        "Jobs that need {{ $labels.provider }} wait and use no attempt. Next: blogworker breakers",
        "a-provider-is-down",
    ),
    Rule(
        "BlogworkerNoWorkers",
        "critical",
        120,
        'max(blogworker_workers{state="alive"}) == 0 and max(blogworker_jobs{status="PENDING"}) > 0',
        _no_workers,
        "Nothing is claimed until a worker runs. Next: systemctl status 'blogworker@*'",
        "the-queue-grows",
    ),
    Rule(
        "BlogworkerBudgetReached",
        "warning",
        0,
        "max(blogworker_budget_reached) == 1",
        _budget_reached,
        "Jobs wait for the next day or month, UTC, or for a higher budget. Next: blogworker costs",
        "a-budget-is-reached",
    ),
    Rule(
        "BlogworkerOldTransaction",
        "warning",
        300,
        f"max(blogworker_database_oldest_transaction_seconds) > {OLD_TRANSACTION_S}",
        _old_transaction,
        "It keeps vacuum from removing dead rows. Next: select * from pg_stat_activity order by xact_start",
        "jobs-are-slow",
    ),
    Rule(
        "BlogworkerPoolExhausted",
        "warning",
        300,
        f"max(blogworker_pool_waiting_callers) > {POOL_WAITING}",
        _pool_exhausted,
        "All connections of a worker's pool are in use. Next: blogworker doctor",
        "jobs-are-slow",
    ),
)
BY_NAME = {rule.name: rule for rule in RULES}
