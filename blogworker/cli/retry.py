"""`blogworker retry`: put ended jobs back into the queue, after showing the cost."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

import typer

from blogworker.cli import filters
from blogworker.cli.jobs import BIGGEST_ID
from blogworker.cli.output import complain, console, emit_json
from blogworker.cli.session import with_database
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.ops.age import seconds
from blogworker.ops.retry import LOCKED, Choice, From, RetryPlan, plan_retry, retry_jobs
from blogworker.ops.shown import dollars
from blogworker.plurals import counted
from blogworker.queue.job import Stage
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices


def register(app: typer.Typer) -> None:
    app.command()(retry)


def retry(
    job_ids: list[int] = typer.Argument(None, min=1, max=BIGGEST_ID, help="Jobs to retry, FAILED or CANCELLED."),
    site: list[str] = typer.Option([], help="All FAILED jobs of this site. May be given several times."),
    kind: list[str] = typer.Option(
        [], help="All FAILED jobs whose last error is of this kind, for example Unavailable."
    ),
    text: str | None = filters.TEXT,
    stage: Stage | None = filters.STAGE,
    within: str | None = typer.Option(None, help="All jobs that failed within this time: 30min, 12h, 7d."),
    older_than: str | None = typer.Option(None, help="All jobs that failed longer ago than this: 12h, 7d."),
    everything: bool = typer.Option(False, "--all", help="All FAILED jobs."),
    first: From | None = typer.Option(
        None,
        "--from",
        help="Regenerate from this stage, which is paid again. Not for jobs whose site may have a draft.",
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask on a terminal before spending money."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Put ended jobs back into the queue, with all attempts: from their last checkpoint, or regenerated where their
    source_data or the settings of their site have changed. The cost is shown first."""
    if not (job_ids or site or kind or text or stage or within or older_than or everything):
        raise SettingsError("which jobs? Give ids, --site, --kind, --text, --stage, --within, --older-than, or --all")
    choice = Choice(
        job_ids=job_ids or None,
        instance_ids=site or None,
        kinds=kind or None,
        text=text,
        stage=stage,
        younger_than_s=None if within is None else seconds(within),
        older_than_s=None if older_than is None else seconds(older_than),
        retry_from=first,
    )
    prices = Prices(load_section(OpenAISettings), load_section(ReplicateSettings))
    plan = with_database(lambda database: plan_retry(database, choice, prices))
    for unknown in plan.unknown_kinds:
        existing = f"existing kinds are {', '.join(plan.known_kinds)}" if plan.known_kinds else "no job is FAILED"
        complain(f"no FAILED job has an error of kind {unknown}: {existing}")
    if not as_json and plan.jobs:
        console().print(_summary(plan), highlight=False)
        if plan.to_pay and not yes and sys.stdin.isatty() and sys.stdout.isatty():
            typer.confirm("Continue?", abort=True)
    retried = with_database(lambda database: retry_jobs(database, plan)) if plan.jobs else []
    locked = {job.job_id for job in plan.jobs}.difference(retried)
    refused = plan.refused | dict.fromkeys(sorted(locked), LOCKED)
    if as_json:
        emit_json(_json(plan, retried, refused))
    else:
        console().print(
            f"{counted(len(retried), 'job')} {'is' if len(retried) == 1 else 'are'} PENDING again", highlight=False
        )
    if plan.skipped:
        complain(
            f"{counted(plan.skipped, 'job')} not retried: published already, or the site may have a draft of the post"
        )
    if refused:
        reasons = "; ".join(f"{job_id}: {reason}" for job_id, reason in sorted(refused.items()))
        raise BlogworkerError(f"not retried: {reasons}")


def _summary(plan: RetryPlan) -> str:
    """Return one line: how many jobs, from which stages, at what cost."""
    firsts = Counter(job.first for job in plan.jobs)
    parts = [f"{firsts[stage]:,} regenerated from {stage}" for stage in get_args(From) if firsts[stage]]
    parts += [f"{firsts[None]:,} from the last checkpoint"] if firsts[None] else []
    if not plan.to_pay:
        cost = "no cost"
    elif plan.usd_at_most is None or plan.usd is None:
        cost = "unknown cost: a model has no price"
    else:
        cost = f"{dollars(round(plan.usd_at_most, 4))} at most, {dollars(round(plan.usd, 4))} likely"
    return f"{counted(len(plan.jobs), 'job')} to retry ({', '.join(parts)}): {cost}"


def _json(plan: RetryPlan, retried: Sequence[int], refused: dict[int, str]) -> dict[str, Any]:
    return {
        "retried": retried,
        "regenerate_from": {job.job_id: job.first for job in plan.jobs if job.first is not None},
        "to_pay": dict(sum((Counter({stage: n}) for (_, stage), n in plan.to_pay.items()), Counter[str]())),
        "usd": plan.usd,
        "usd_at_most": plan.usd_at_most,
        "refused": [{"id": job_id, "reason": reason} for job_id, reason in sorted(refused.items())],
        "skipped": plan.skipped,
    }
