"""`blogworker retry`: ended blogs back into the queue, after saying what that will cost."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

import typer

from blogworker.cli.money import dollars
from blogworker.cli.ops import BIGGEST_ID, seconds
from blogworker.cli.output import complain, console, emit_json
from blogworker.cli.session import with_database
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.ops.retry import LOCKED, Choice, From, RetryPlan, plan_retry, retry_jobs
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings


def register(app: typer.Typer) -> None:
    app.command()(retry)


def retry(
    job_ids: list[int] = typer.Argument(None, min=1, max=BIGGEST_ID, help="Blogs to try again, FAILED or CANCELLED."),
    site: list[str] = typer.Option([], help="All FAILED ones of this site; may be given often."),
    kind: list[str] = typer.Option([], help="All whose last error is of this kind, for example Unavailable."),
    within: str | None = typer.Option(None, help="All that failed within this time: 30min, 12h, 7d."),
    everything: bool = typer.Option(False, "--all", help="All FAILED ones."),
    first: From | None = typer.Option(
        None,
        "--from",
        help="Make them anew from this stage on, and pay for that. No blog whose site may have its draft.",
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask, on a terminal, whether to spend the money."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Put ended blogs back into the queue, with a full set of attempts: from their last checkpoint, or anew where their
    source_data or the settings of their site have changed. What it costs is said first."""
    if not (job_ids or site or kind or within or everything):
        raise SettingsError("which blogs? Give ids, --site, --kind, --within, or --all")
    choice = Choice(
        job_ids=job_ids or None,
        instance_ids=site or None,
        kinds=kind or None,
        younger_than_s=None if within is None else seconds(within),
        retry_from=first,
    )
    openai, replicate = load_section(OpenAISettings), load_section(ReplicateSettings)
    plan = with_database(lambda database: plan_retry(database, choice, openai=openai, replicate=replicate))
    for unknown in plan.unknown_kinds:
        existing = f"they are of {', '.join(plan.known_kinds)}" if plan.known_kinds else "none is FAILED"
        complain(f"no FAILED blog is of kind {unknown}: {existing}")
    if not as_json and plan.rows:
        console().print(_summary(plan), highlight=False)
        if plan.to_pay and not yes and sys.stdin.isatty() and sys.stdout.isatty():
            typer.confirm("Go on?", abort=True)
    retried = with_database(lambda database: retry_jobs(database, plan, retry_from=first)) if plan.rows else []
    left = {row["job_id"] for row in plan.rows}.difference(retried)
    refused = plan.refused | dict.fromkeys(sorted(left), LOCKED)
    if as_json:
        emit_json(_machine(plan, retried, refused))
    else:
        console().print(f"{_blogs(len(retried))} {'is' if len(retried) == 1 else 'are'} PENDING again", highlight=False)
    if plan.left_out:
        complain(f"{_blogs(plan.left_out)} left out: their posts are up, or their sites may have drafts of them")
    if refused:
        reasons = "; ".join(f"{job_id}: {reason}" for job_id, reason in sorted(refused.items()))
        raise BlogworkerError(f"not retried: {reasons}")


def _summary(plan: RetryPlan) -> str:
    """One line: how many blogs, from which stages, at what cost."""
    firsts = Counter(row["first"] for row in plan.rows)
    parts = [f"{firsts[stage]:,} anew from {stage}" for stage in get_args(From) if firsts[stage]]
    parts += [f"{firsts[None]:,} from the last checkpoint"] if firsts[None] else []
    if not plan.to_pay:
        cost = "nothing has to be paid"
    elif plan.usd_at_most is None or plan.usd is None:
        cost = "what it costs is not known: a model has no price"
    else:
        cost = f"it costs {dollars(round(plan.usd_at_most, 4))} at most, {dollars(round(plan.usd, 4))} likely"
    return f"{_blogs(len(plan.rows))} to retry ({', '.join(parts)}): {cost}"


def _machine(plan: RetryPlan, retried: Sequence[int], refused: dict[int, str]) -> dict[str, Any]:
    return {
        "retried": retried,
        "anew_from": {row["job_id"]: row["first"] for row in plan.rows if row["first"] is not None},
        "to_pay": dict(sum((Counter({stage: n}) for (_, stage), n in plan.to_pay.items()), Counter[str]())),
        "usd": plan.usd,
        "usd_at_most": plan.usd_at_most,
        "refused": [{"id": job_id, "reason": reason} for job_id, reason in sorted(refused.items())],
        "left_out": plan.left_out,
    }


def _blogs(number: int) -> str:
    return f"{number:,} blog{'' if number == 1 else 's'}"
