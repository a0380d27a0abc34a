"""Metrics: the queue, the fleet, the quotas and the money as Prometheus reads them. The database is the only source.

    read_metrics(database) -> [Metric, ...]     render(metrics) -> the text format 0.0.4 (`ops/exposition.py`)

Every statement reads a bounded number of jobs, so a scrape costs the same with a thousand and with ten million. Labels
are bounded too: no site is named unless `top_sites` asks for it. What ended is a gauge of the last minute or hour,
since the rows of ended jobs are pruned. `blogworker_posts_written_total` and `blogworker_cost_usd_total` are sums of
the ledger, which is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from blogworker.db.pool import Database, Row
from blogworker.ops.exposition import Kind, Metric, Sample

MOST_JOBS = 10_000  # up to which jobs of a status are counted
MOST_ENDED = 5_000  # newest ended jobs that are read: 83 a second are counted within a minute
MOST_SITE_JOBS = 1_000  # up to which the PENDING jobs of a site are counted
MOST_QUOTAS, MOST_BREAKERS, MOST_KINDS = 20, 50, 20
SAMPLED_JOBS = 200  # newest ended jobs whose stages are read
SAMPLED_ERRORS, SAMPLED_ENDED = 2_000, 2_000  # newest rows that kinds of errors and busy sites are counted in
MOST_TOP_SITES = 100


def _gauge(name: str, unit: str, text: str) -> Metric:
    return Metric(name, Kind.GAUGE, text, unit)


def _counter(name: str, unit: str, text: str) -> Metric:
    return Metric(name, Kind.COUNTER, text, unit)


CATALOG = (
    _gauge(
        "blogworker_metrics_timestamp_seconds",
        "seconds",
        "Time of the database when these metrics were read, since 1970.",
    ),
    _gauge("blogworker_jobs", "", f"Jobs that have not ended, by status, each counted up to {MOST_JOBS:,}."),
    _gauge(
        "blogworker_oldest_wait_seconds", "seconds", "Longest wait of a new job that is next at the head of the line."
    ),
    _gauge(
        "blogworker_jobs_ended_last_minute",
        "",
        f"Jobs that ended in the last 60 seconds, of the newest {MOST_ENDED:,}.",
    ),
    _gauge(
        "blogworker_jobs_ended_last_hour",
        "",
        f"Jobs that ended in the last 3600 seconds, of the newest {MOST_ENDED:,}.",
    ),
    _counter("blogworker_posts_written_total", "", "Posts that were written and scored, ever."),
    _gauge(
        "blogworker_sites",
        "",
        f"Sites in line (ready), at their cap, or paused; up to {MOST_JOBS:,} ready or at their cap.",
    ),
    _gauge("blogworker_workers", "", "Workers by state: alive, draining, or lost (the lease has ended)."),
    _gauge("blogworker_slots", "", "Jobs that the workers may run at the same time, without those that drain."),
    _gauge("blogworker_slots_in_use", "", "Jobs that the live workers run, as of their last lease extension."),
    _gauge(
        "blogworker_pool_waiting_callers",
        "",
        "Callers that wait for a connection of their worker's pool, as of its last lease extension; the worker where"
        " most wait.",
    ),
    _gauge("blogworker_workers_wanted", "", "Workers that the jobs need, as far as the quotas let them work."),
    _gauge(
        "blogworker_quota_limit",
        "",
        f"Calls or tokens that a quota allows in 60 seconds; the {MOST_QUOTAS} most used quotas.",
    ),
    _gauge("blogworker_quota_used_ratio", "ratio", "Part of a quota that was used in the last 60 seconds."),
    _gauge("blogworker_quota_waiting_calls", "", "Calls of all workers that wait for a quota."),
    _gauge("blogworker_quota_blocked_seconds", "seconds", "Time until a quota that a 429 has blocked is free again."),
    _gauge(
        "blogworker_breaker_state",
        "",
        "1 for the state of a provider's circuit breaker: closed, open or half_open; else 0.",
    ),
    _gauge("blogworker_spent_usd", "usd", "Spent in the current day or month, UTC."),
    _gauge("blogworker_budget_usd", "usd", "Total budget of a day or month. Absent: there is none."),
    _gauge("blogworker_budget_reached", "", "1 while the total budget stops paid stages, else 0."),
    _counter("blogworker_cost_usd_total", "usd", "Spent on provider calls, ever."),
    _gauge(
        "blogworker_attempt_errors_last_hour",
        "",
        f"Attempts that failed, by the {MOST_KINDS} most frequent kinds of error.",
    ),
    _gauge(
        "blogworker_stage_duration_seconds",
        "seconds",
        f"Duration of a stage, of the last {SAMPLED_JOBS} jobs of an hour.",
    ),
    _gauge(
        "blogworker_database_oldest_transaction_seconds",
        "seconds",
        "Age of the oldest open transaction; 0: none is open.",
    ),
    _gauge(
        "blogworker_webhook_deliveries",
        "",
        f"Deliveries to webhooks that wait or were given up, up to {MOST_JOBS:,} each.",
    ),
    _gauge("blogworker_webhooks", "", "Endpoints of webhooks by state: active, paused, failing or disabled."),
    _gauge("blogworker_site_jobs", "", f"Jobs of the busiest sites, PENDING ones counted up to {MOST_SITE_JOBS:,}."),
)
Samples = dict[str, list[Sample]]


async def read_metrics(database: Database, *, top_sites: int = 0) -> list[Metric]:
    """Return all metrics of `CATALOG`, in its order. `top_sites`: how many of the busiest sites to name."""
    async with database.transaction() as statements:
        await statements.execute("db/read_only")
        queue = await statements.one("ops/metrics_queue", most=MOST_JOBS)
        ended = await statements.rows("ops/metrics_ended", most=MOST_ENDED)
        fleet = await statements.one("ops/metrics_fleet")
        scale = await statements.one("ops/metrics_scale")
        quotas = await statements.rows("ops/metrics_quotas", most=MOST_QUOTAS)
        breakers = await statements.rows("ops/metrics_breakers", most=MOST_BREAKERS)
        errors = await statements.rows("ops/metrics_errors", most=MOST_KINDS, sample=SAMPLED_ERRORS)
        stages = await statements.rows("ops/metrics_stages", sample=SAMPLED_JOBS)
        webhooks = await statements.one("ops/metrics_webhooks", most=MOST_JOBS, late_s=0)
        sites: list[Row] = []
        if top_sites:
            top = min(top_sites, MOST_TOP_SITES)
            sites = await statements.rows("ops/metrics_sites", top=top, sample=SAMPLED_ENDED, most=MOST_SITE_JOBS)
    found: Samples = {}
    found["workers_wanted"] = [_sample(scale["workers_wanted"])]
    for part in (_queue(queue), _ended(ended), _fleet(fleet), _quotas(quotas), _breakers(breakers), _sites(sites)):
        found |= part
    found |= _webhooks(webhooks)
    found["attempt_errors_last_hour"] = [_sample(row["errors"], kind=row["kind"]) for row in errors]
    found["stage_duration_seconds"] = [
        _sample(row[f"p{percent}"], stage=row["stage"], percentile=percent)
        for row in stages
        for percent in ("50", "95")
    ]
    return [replace(each, samples=tuple(found[_short(each.name)])) for each in CATALOG]


def _short(name: str) -> str:
    return name.removeprefix("blogworker_").removesuffix("_total")


def _sample(value: float, **labels: str) -> Sample:
    return Sample(float(value), labels)


def _known(values: Mapping[str, float | None], label: str) -> list[Sample]:
    """Return a sample for each value that is not None."""
    return [_sample(value, **{label: name}) for name, value in values.items() if value is not None]


def _queue(row: Row) -> Samples:
    wait = row["oldest_wait_s"]
    statuses = ("PENDING", "PROCESSING", "SCHEDULED")
    return {
        "metrics_timestamp_seconds": [_sample(row["read_at"])],
        "jobs": _known({status: row[status.lower()] for status in statuses}, "status"),
        "oldest_wait_seconds": [_sample(0 if wait is None else max(0, wait))],
        "sites": _known({state: row[state] for state in ("ready", "at_cap", "paused")}, "state"),
    }


def _ended(rows: Sequence[Row]) -> Samples:
    by_status = {row["status"]: row for row in rows}
    zero = {"last_minute": 0, "last_hour": 0}
    return {
        f"jobs_ended_{period}": [
            _sample(by_status.get(status, zero)[period], status=status) for status in ("DONE", "FAILED", "CANCELLED")
        ]
        for period in zero
    }


def _fleet(row: Row) -> Samples:
    return {
        "posts_written": [_sample(row["posts"])],
        "workers": _known({state: row[state] for state in ("alive", "draining", "lost")}, "state"),
        "slots": [_sample(row["slots"])],
        "slots_in_use": [_sample(row["slots_in_use"])],
        "pool_waiting_callers": [_sample(row["pool_waiting"])],
        "spent_usd": _known({"day": row["spent_day_usd"], "month": row["spent_month_usd"]}, "period"),
        "budget_usd": _known({"day": row["budget_day_usd"], "month": row["budget_month_usd"]}, "period"),
        "budget_reached": [_sample(row["budget_reached"])],
        "cost_usd": [_sample(row["cost_usd"])],
        "database_oldest_transaction_seconds": [_sample(max(0, row["oldest_transaction_s"]))],
    }


def _quotas(rows: Sequence[Row]) -> Samples:
    def of(column: str) -> list[Sample]:
        return [_sample(row[column], quota=row["name"], provider=row["provider"]) for row in rows]

    def counted(column: str) -> list[Sample]:
        return [
            _sample(row[f"{counts}_{column}"], quota=row["name"], provider=row["provider"], counts=counts)
            for row in rows
            for counts in ("requests", "tokens")
            if row[f"{counts}_{column}"] is not None
        ]

    return {
        "quota_limit": counted("limit"),
        "quota_used_ratio": counted("ratio"),
        "quota_waiting_calls": of("queue_length"),
        "quota_blocked_seconds": of("blocked_s"),
    }


def _breakers(rows: Sequence[Row]) -> Samples:
    return {
        "breaker_state": [
            _sample(row["state"] == state, provider=row["provider"], state=state)
            for row in rows
            for state in ("closed", "open", "half_open")
        ]
    }


def _sites(rows: Sequence[Row]) -> Samples:
    return {
        "site_jobs": [
            _sample(row[status.lower()], site=row["instance_id"], status=status)
            for row in rows
            for status in ("PENDING", "PROCESSING")
        ]
    }


def _webhooks(row: Row) -> Samples:
    return {
        "webhook_deliveries": _known({state: row[state] for state in ("waiting", "given_up")}, "state"),
        "webhooks": _known({state: row[state] for state in ("active", "paused", "failing", "disabled")}, "state"),
    }
