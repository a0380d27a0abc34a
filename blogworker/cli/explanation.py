"""`blogworker explain`: why one job waits or failed, and what to do."""

from dataclasses import asdict
from datetime import UTC

import typer

from blogworker.cli.jobs import BIGGEST_ID
from blogworker.cli.output import console, emit_json, facts
from blogworker.cli.session import with_database
from blogworker.errors import BlogworkerError
from blogworker.ops.explain import Explanation, explain_job
from blogworker.ops.shown import dollars, duration
from blogworker.plurals import counted
from blogworker.queue.job import Status

MOST = 1_000  # what is counted no further


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    job_id: int = typer.Argument(min=1, max=BIGGEST_ID, help="The id of the job."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Explain why a job waits, what is before it and when it should start; or where it runs, why it failed, what became
    of it; and what to do."""
    found = with_database(lambda database: explain_job(database, job_id))
    if found is None:
        raise BlogworkerError(f"there is no job {job_id}: see `blogworker list`")
    if as_json:
        emit_json(asdict(found))
    else:
        console().print(facts(_lines(found)))


def _lines(found: Explanation) -> dict[str, object]:
    lines: dict[str, object] = {
        "job": f"{found.job_id} of {found.instance_id}: {found.status}, stage {found.stage}",
        "": found.summary,
    }
    if found.also:
        lines["also"] = "\n".join(found.also)
    if found.status == Status.PENDING:
        jobs, sites = _counted(found.jobs_before, "job"), _counted(found.sites_before, "site")
        lines["before it"] = f"{jobs} of its site; {sites}"
        cap = "" if found.max_in_flight is None else f", at most {found.max_in_flight}"
        lines["in progress"] = f"{_counted(found.in_progress, 'job')} of its site{cap}"
    if found.until is not None:
        lines["until"] = f"{found.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if found.starts_in_s is not None:
        lines["starts"] = f"in about {duration(found.starts_in_s)}"
    lines["attempts"] = found.attempts
    if found.cost_usd:
        lines["cost"] = dollars(found.cost_usd)
    return lines | {"do": found.advice}


def _counted(number: int | None, name: str) -> str:
    if number is None:
        return f"an unknown number of {name}s"
    return f"{MOST:,} {name}s or more" if number >= MOST - 1 else counted(number, name)
