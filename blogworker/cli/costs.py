"""Commands about money: what was spent on what, the total budget, and the prices."""

from dataclasses import asdict
from functools import partial
from typing import Any

import typer
from rich.text import Text

from blogworker.cli.money import BUDGET_HELP, budget
from blogworker.cli.output import console, emit_json, facts, table
from blogworker.cli.session import with_database
from blogworker.ops.cost_records import EndedJobsCost, ModelCost, PeriodCost, SiteCost, Spending
from blogworker.ops.costs import Costs, CostsRequest, Period, read_costs, read_spending, set_total_budget
from blogworker.ops.shown import budgets, dollars
from blogworker.plurals import counted
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices

app = typer.Typer(help="Show what was spent; set the total budget.", invoke_without_command=True)

JSON = typer.Option(False, "--json", help="Print JSON.")
ENOUGH = 10  # finished jobs; an average of fewer says little about the next one
USAGE = {
    "calls": "requests",
    "tokens in": "tokens_in",
    "cached": "tokens_cached",
    "tokens out": "tokens_out",
}


@app.callback()
def costs(
    context: typer.Context,
    site: str | None = typer.Option(None, help="Only this site."),
    days: int = typer.Option(31, min=1, max=400, help="Today and the days before it, UTC."),
    by: Period = typer.Option(Period.DAY, help="Add up by day or by month."),
    top: int = typer.Option(10, min=1, max=10_000, help="How many of the most expensive sites to show."),
    as_json: bool = JSON,
) -> None:
    """Show what was spent by provider and model, by day or month, and by site, and what is left of the budgets."""
    if context.invoked_subcommand is not None:
        return
    wanted = CostsRequest(site, days, by, top)
    prices = Prices(load_section(OpenAISettings), load_section(ReplicateSettings))
    found = with_database(lambda database: read_costs(database, wanted, prices))
    if as_json:
        emit_json(asdict(found))
        return
    out = console()
    for part in _parts(found, days=days, site=site):
        out.print(part)
        out.print()


@app.command("budget")
def set_budget(
    day: str | None = typer.Option(None, help=f"Budget per UTC day: {BUDGET_HELP}"),
    month: str | None = typer.Option(None, help=f"Budget per UTC month: {BUDGET_HELP}"),
    as_json: bool = JSON,
) -> None:
    """Set the budget of all sites together; without options, show it. Workers notice within a second."""
    changes = budget(day, option="--day") | budget(month, option="--month")

    is_changed = changes["set_day"] or changes["set_month"]
    spending = with_database(partial(set_total_budget, changes=changes) if is_changed else read_spending)
    if as_json:
        emit_json(asdict(spending))
    else:
        console().print(facts(_budget_facts(spending)))


def _parts(found: Costs, *, days: int, site: str | None) -> list[Any]:
    money = ["cost", "wasted", "unpriced calls", "score"]
    cells = [[getattr(row, key) for key in USAGE.values()] + _money(row) for row in found.models]
    models = [(row.provider, row.model, *cell) for row, cell in zip(found.models, cells, strict=True)]
    periods = [
        (row.begins.isoformat(), *(getattr(row, key) for key in USAGE.values()), *_money(row)) for row in found.periods
    ]
    sites = [
        (
            row.instance_id,
            dollars(row.cost_usd),
            dollars(row.today_usd),
            _score(row),
            budgets(row.budget_day_usd, row.budget_month_usd),
            row.pause_reason,
        )
        for row in found.sites
    ]
    prices = [(p.model, p.price, p.since, p.checked) for p in found.prices if p.used]
    of = f" of {site}" if site else ""
    return [
        facts(_budget_facts(found.spending)),
        facts(_job_facts(found)),
        table(f"By model{of}, {days} days", ["provider", "model", *USAGE, *money], models),
        table(f"By time{of} (UTC)", ["from", *USAGE, *money], periods),
        table(
            "Most expensive sites",
            ["site", "cost", "today", "score", "budget", "paused"],
            sites,
            fold=["budget", "paused"],
        ),
        table("Prices in the settings of this machine", ["model", "USD", "from", "checked"], prices, fold=["USD"]),
        *(Text(f"warning: {warning}", style="yellow") for warning in found.warnings),
    ]


def _money(row: ModelCost | PeriodCost) -> list[object]:
    return [dollars(row.cost_usd), dollars(row.wasted_usd), row.unpriced, _score(row)]


def _score(row: ModelCost | PeriodCost | SiteCost) -> float | None:
    """Return the average score of the posts; None if there are none, and for models that write none."""
    return None if row.score is None else float(row.score)


def _budget_facts(s: Spending) -> dict[str, object]:
    return {
        "today": _against(s.spent_today_usd, s.budget_day_usd, s.left_today_usd),
        "this month": _against(s.spent_month_usd, s.budget_month_usd, s.left_month_usd),
        "reserved": f"up to {dollars(s.held_usd)} for jobs in progress",
        "projected": f"{dollars(s.projected_month_usd)} by the end of the month: what is spent, and "
        f"{dollars(s.a_day_usd)} per day (the last seven days) for {s.days_left:.1f} days",
        "scored": _scored(s),
        "stopped": s.stop_reason or "nothing: no budget is used up",
    }


def _scored(s: Spending) -> str:
    posts, score = s.posts_month, s.score_month
    return f"{counted(posts, 'post')} this month" + (
        "" if score is None else f", {score} of 100 on average: `blogworker review`"
    )


def _against(spent: object, limit: object, left: object) -> str:
    return f"{dollars(spent)} spent, " + (
        "no budget" if limit is None else f"{dollars(left)} left of a budget of {dollars(limit)}"
    )


def _job_facts(found: Costs) -> dict[str, object]:
    jobs, models = found.jobs, found.models
    spent, wasted = sum(row.cost_usd for row in models), sum(row.wasted_usd for row in models)
    share = f" ({100 * wasted / spent:.1f} %)" if spent else ""
    return {
        "finished jobs": _finished(jobs),
        "failed jobs": f"{jobs.failed:,}, which cost {dollars(jobs.failed_usd)}",
        "wasted": f"{dollars(wasted)}{share} in {counted(sum(row.wasted for row in models), 'call')}: "
        "repairs, answers truncated or refused, pictures that failed",
        "possibly billed": f"{counted(jobs.unanswered, 'call')} without an answer, "
        f"{counted(jobs.cut_off, 'attempt')} whose worker died during a paid call",
    }


def _finished(jobs: EndedJobsCost) -> str:
    """Return the number of finished jobs and their own cost. The total spent also includes jobs in progress."""
    done, seen, cost = jobs.done, jobs.done_seen, jobs.done_usd
    if not seen:
        return f"{done:,}"
    if seen < ENOUGH:
        return f"{done:,}, which cost {dollars(cost)}"
    return f"{done:,}, about {dollars(round(cost / seen, 4))} each" + (f" (the last {seen:,})" if seen < done else "")
