"""Commands about the queue: status, list, show."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Group
from rich.text import Text

from blogworker.cli import filters
from blogworker.cli.breakers import breaker_table
from blogworker.cli.layout import Grid
from blogworker.cli.monitor import report
from blogworker.cli.output import console, emit_json, facts, heading, prose, table
from blogworker.cli.quotas import quota_table
from blogworker.cli.session import with_database
from blogworker.db.pool import Database
from blogworker.errors import BlogworkerError
from blogworker.ops import jobs
from blogworker.ops.age import seconds
from blogworker.ops.check import Limits
from blogworker.ops.records import JobDetails, JobSummary, WorkerState
from blogworker.ops.scale import why
from blogworker.ops.shown import budgets, dollars, duration
from blogworker.ops.sites import require_site
from blogworker.ops.status import FleetStatus, fleet_status
from blogworker.post.product_url import page_of
from blogworker.queue.job import Stage, Status

JSON = typer.Option(False, "--json", help="Print JSON.")
SOURCE_MAX = 200  # characters of a source that `show` prints


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command("list")(list_jobs)
    app.command()(show)


def status(
    as_json: bool = typer.Option(False, "--json", help="Print JSON; with --watch, a line each time."),
    watch: float | None = typer.Option(
        None, "--watch", min=0.5, max=3_600, metavar="SECONDS", help="Show a live view, renewed so often, until Ctrl-C."
    ),
    monitor: bool = typer.Option(
        False, "--check", help="Print one line for a monitor. Exit 0: all is well; 1: warning; 2: critical."
    ),
    most_waiting: int | None = typer.Option(None, min=0, max=9_999, help="--check: warn if more jobs wait."),
    longest_wait: str = typer.Option("1h", help="--check: warn if the next jobs have waited longer."),
    most_failed: int | None = typer.Option(None, min=0, help="--check: warn if more jobs failed in the last hour."),
) -> None:
    """Show the queue by status, why jobs wait, the workers, the rate, the quotas and the open circuit breakers."""
    if monitor:
        report(Limits(most_waiting, seconds(longest_wait), most_failed), as_json=as_json)
        return
    if watch is not None:
        from blogworker.cli.watch import watch_fleet

        watch_fleet(watch, as_json=as_json)
        return
    found = with_database(fleet_status)
    if as_json:
        emit_json(asdict(found))
        return
    out = console()
    for part in _status_tables(found):
        out.print(part)
        out.print()


def _status_tables(found: FleetStatus) -> list[Any]:
    fleet = found.fleet
    pace = {
        "sites": "{sites:,} ({ready:,} ready, {paused:,} paused, {at_cap:,} at cap)".format(**asdict(fleet)),
        "finished": "{finished_last_minute:,} in the last minute, {finished_last_10_minutes:,} in the last ten".format(
            **asdict(fleet)
        ),
        "wait": f"about {fleet.estimated_wait_minutes} min until the waiting jobs are done",
        "spent today": f"{dollars(fleet.usd_today)}, {dollars(fleet.usd_month)} this month (UTC)",
        "total budget": budgets(fleet.budget_day_usd, fleet.budget_month_usd),
        "stopped": _stopped(found),
        "workers needed": f"{found.scale.workers_wanted}: {why(found.scale)}",
    }
    if not any(worker.alive for worker in found.workers):
        pace["workers"] = "none is alive: no job is claimed until one is started (blogworker run)"
    hooks = found.webhooks
    if hooks.waiting or hooks.given_up or hooks.names:
        needing = f"; failing or disabled: {', '.join(hooks.names)}" if hooks.names else ""
        pace["webhooks"] = f"{hooks.waiting:,} deliveries wait, {hooks.given_up:,} were given up{needing}"
    queue = table(
        "Queue",
        ["status", "jobs", "oldest", "newest"],
        [(row.status, row.jobs, row.oldest, row.newest) for row in found.queue],
    )
    waiting = table(
        "Why jobs wait",
        ["jobs", "reason", "oldest", "until"],
        [(w.jobs, w.reason, w.oldest, w.until) for w in found.waiting],
        fold=["reason"],
    )
    workers = worker_table(found.workers)
    quotas = quota_table(found.quotas)
    sites = table(
        "Busiest sites",
        ["site", "pending", "processing", "done (24 h)", "failed (24 h)"],
        [(s.instance_id, s.pending, s.processing, s.done, s.failed) for s in found.busiest_sites],
    )
    not_closed = [row for row in found.breakers if row.state != "closed"]
    waits = [waiting] if found.waiting else []
    breakers = [breaker_table(not_closed)] if not_closed else []
    return [queue, *waits, facts(pace), *breakers, workers, quotas, sites]


def worker_table(found: list[WorkerState]) -> Grid:
    columns = ["worker", "in flight", "slots", "up", "lease", "state"]
    rows = [(w.name, w.in_flight, w.concurrency, duration(w.up_s), f"{w.lease_s:.0f} s", _health(w)) for w in found]
    return table("Workers", columns, rows)


def _stopped(found: FleetStatus) -> str:
    """Return what is not claimed now, and why."""
    reasons = [f"stage {each.stage}: {each.reason}" for each in found.paused_stages]
    reasons += [found.fleet.stop_reason] if found.fleet.stop_reason else []
    reasons += [
        f"stages that need {row.provider}: its circuit breaker is {row.state.replace('_', '-')}"
        for row in found.breakers
        if row.state != "closed"
    ]
    return "; ".join(reasons) or "nothing"


def _attempts(job: Mapping[str, Any]) -> str:
    """Return the attempts that counted, and their limit. The attempt in progress counts, and one that failed the job
    at once, such as a refusal. A job that was cancelled, or failed by a claim, may have none."""
    failures, most = job["failures"], job["max_attempts"]
    match Status(job["status"]):
        case Status.FAILED if failures < most:
            return f"{failures + 1} (final)" if job["attempt"] > failures else str(failures)
        case Status.DONE:
            return str(failures + 1)
        case Status.PROCESSING:
            return f"{failures + 1}/{most}"
        case _:
            return f"{failures}/{most}"


def _health(worker: WorkerState) -> str:
    if not worker.alive:
        return "lost"
    return "quiet" if worker.quiet else "draining" if worker.draining else "alive"


def list_jobs(
    wanted: Status | None = filters.STATUS,
    site: str | None = filters.SITE,
    text: str | None = filters.TEXT,
    stage: Stage | None = filters.STAGE,
    kind: str | None = filters.KIND,
    within: str | None = filters.WITHIN,
    older_than: str | None = filters.OLDER_THAN,
    before: int | None = typer.Option(None, min=1, max=2**63 - 1, help="Only ids below this one, to continue a list."),
    most: int = typer.Option(20, "--limit", min=1, max=10_000, help="How many."),
    as_json: bool = JSON,
) -> None:
    """List jobs, newest first. With --text, --stage or --kind the newest 20,000 jobs of the status and site are
    searched."""
    filtered = filters.filter_of(wanted, site, text, stage, kind, within, older_than, before=before)

    async def act(database: Database) -> list[JobSummary]:
        await require_site(database, site)
        return await jobs.list_jobs(database, filtered, most=most)

    found = with_database(act)
    if as_json:
        emit_json([asdict(job) for job in found])
        return
    columns = ["id", "site", "source", "status", "stage", "attempts", "created", "title or error"]
    cells = [
        (
            str(job.id),
            job.instance_id,
            f"{job.source_type}: {job.source}",
            job.status,
            job.stage,
            _attempts(asdict(job)),
            job.created_at,
            job.error or job.title,
        )
        for job in found
    ]
    console().print(table(None, columns, cells, fold=["source", "title or error"]))


def show(
    job_id: int = typer.Argument(help="The id of the job."),
    as_json: bool = JSON,
) -> None:
    """Show everything about one job: its status, checkpoints, errors and post."""
    found = with_database(lambda database: jobs.show_job(database, job_id))
    if found is None:
        raise BlogworkerError(f"there is no job {job_id}: see `blogworker list`")
    if as_json:
        emit_json(asdict(found))
    else:
        console().print(Group(*_job_parts(found)))


def _job_parts(found: JobDetails) -> list[Any]:
    job, post = found.job, found.post
    head = {key: job[key] for key in ("instance_id", "status", "stage", "source_type", "source_id")}
    head |= {
        "source": _source(job["source_data"]),
        "product page": _product_page(found),
        "priority": job["priority"],
        "attempts": _attempts(job),
        "claims": f"{job['attempt']:,}, of which {job['rescues']:,} lost their worker",
        "created": _moment(job["created_at"]),
        "added by": job["added_by"],
        "run at": _moment(job["run_at"]),
        "finished": _moment(job["finished_at"]),
        "publish at": _moment(found.publish_at),
        "worker": found.worker,
        "error": job["error"],
    }
    parts: list[Any] = [heading(f"Job {job['id']}"), facts(head)]
    if found.checkpoints:
        rows = [
            (
                s["stage"],
                s["attempt"],
                s["model"],
                s["tokens_in"],
                s["tokens_out"],
                _usd(s["cost_usd"]),
                s["duration_s"],
            )
            for s in found.checkpoints
        ]
        columns = ["checkpoint", "attempt", "model", "tokens in", "tokens out", "cost", "seconds"]
        parts += [Text(), table("Checkpoints", columns, rows)]
    if found.errors:
        errors = [(e["attempt"], e["stage"], e["kind"], e["message"], e["request_id"]) for e in found.errors]
        parts += [
            Text(),
            table("Errors", ["attempt", "stage", "kind", "message", "request id"], errors, fold=["message"]),
        ]
    if post:
        shown = (
            "title",
            "slug",
            "excerpt",
            "tags",
            "score",
            "word_count",
            "image_bytes",
            "wix_post_id",
            "url",
            "published_at",
        )
        stored = {key: post[key] for key in shown} | {"published_at": _moment(post["published_at"])}
        if isinstance(post["tags"], list):
            stored["tags"] = ", ".join(map(str, post["tags"]))
        parts += [Text(), heading("Post"), facts(stored)]
        parts += [Text(), prose(post["markdown"])]
    return parts


def _source(data: object) -> str | None:
    """Return the subject of the job: its keyword, the name of its product, or the beginning of its text."""
    known = data if isinstance(data, Mapping) else {}
    about = next((str(known[key]) for key in ("keyword", "name", "text") if known.get(key)), None)
    return about if about is None or len(about) <= SOURCE_MAX else f"{about[: SOURCE_MAX - 1]}…"


def _product_page(found: JobDetails) -> str | None:
    """Return what posts about the product link to, or why they have no link; None until its source was read."""
    source = next((saved["output"] for saved in found.checkpoints if saved["stage"] == "source"), None)
    return page_of(source) if isinstance(source, Mapping) else None


def _moment(stored: object) -> object:
    """Return a time of the JSON row, to the second; anything else unchanged."""
    try:
        return f"{datetime.fromisoformat(str(stored)).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return stored


def _usd(cost: float | None) -> str | None:
    return None if cost is None else f"${float(cost):.4f}"
