"""Commands about plans: list, set, remove."""

from dataclasses import asdict

import typer

from blogworker.cli.money import BUDGET_HELP, REMOVED, budget
from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.grants import OPERATOR
from blogworker.errors import SettingsError
from blogworker.ops.plans import PlanChanges, list_plans, remove_plan, set_plan
from blogworker.ops.records import Plan
from blogworker.ops.shown import budgets, percent

MOST = 2**31 - 1  # limit of the columns
app = typer.Typer(help="Show the plans of sites, and change them.", no_args_is_help=True)
JSON = typer.Option(False, "--json", help="Print JSON.")


@app.command("list")
def list_all(as_json: bool = JSON) -> None:
    """List the plans, and how many sites have each."""
    _show(with_database(list_plans), as_json=as_json)


@app.command("set")
def set_one(
    name: str = typer.Argument(help="The name of the plan. A new plan is created."),
    weight: float | None = typer.Option(
        None, min=0.001, max=1000, help="Share of the fleet of each site, relative to other sites; 1 is normal."
    ),
    priority: int | None = typer.Option(
        None, min=0, max=20, help="How many turns earlier than others a site with new work joins the line."
    ),
    max_in_flight: str | None = typer.Option(None, help="Jobs of a site that may run at once; none removes it."),
    max_pending: str | None = typer.Option(None, help="Jobs of a site that may wait; none removes it."),
    budget_day: str | None = typer.Option(None, help=f"Budget of a site per UTC day: {BUDGET_HELP}"),
    budget_month: str | None = typer.Option(None, help=f"Budget of a site per UTC month: {BUDGET_HELP}"),
    quota_share: str | None = typer.Option(
        None, help="Most that a site uses of the shared quotas, such as 0.1 for a tenth; none removes it."
    ),
    as_json: bool = JSON,
) -> None:
    """Create a plan, or change it. A change applies to its sites at once, except where a site has its own value.
    Options that are not given keep their values."""
    limits: dict[str, object] = {}
    for limit, text in (("max_in_flight", max_in_flight), ("max_pending", max_pending)):
        if text is not None:
            limits[limit] = _count(text, limit)
    if quota_share is not None:
        limits["quota_share"] = _share(quota_share)
    for option, text in (("budget-day", budget_day), ("budget-month", budget_month)):
        if text is not None:
            amount = budget(text, option=f"--{option}")
            limits |= {key: value for key, value in amount.items() if not key.startswith("set_")}
    changes = PlanChanges(weight, priority, limits)
    found = with_database(lambda database: set_plan(database, name, changes), needs=OPERATOR)
    _show([found], as_json=as_json)


@app.command()
def remove(name: str = typer.Argument(help="The name of the plan."), as_json: bool = JSON) -> None:
    """Remove a plan that no site has."""
    with_database(lambda database: remove_plan(database, name), needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "removed": True})


def _removed(text: str) -> bool:
    return text.strip().lower() == REMOVED


def _count(text: str, limit: str) -> int | None:
    if _removed(text):
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and 1 <= int(text) <= MOST):
        option = limit.replace("_", "-")
        raise SettingsError(f"--{option} {text!r} is not a limit: use a number from 1 to {MOST:,}, or {REMOVED}")
    return int(text)


def _share(text: str) -> float | None:
    if _removed(text):
        return None
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0.001 <= share <= 1:
        raise SettingsError(f"--quota-share {text!r} is not a share: use a number from 0.001 to 1, or {REMOVED}")
    return share


def _show(found: list[Plan], *, as_json: bool) -> None:
    if as_json:
        emit_json([asdict(plan) for plan in found])
        return
    columns = ["plan", "sites", "weight", "priority", "cap", "may wait", "budget of a site", "quota share"]
    rows = [
        (
            plan.name,
            plan.sites,
            f"{plan.weight:g}",
            plan.priority,
            plan.max_in_flight,
            plan.max_pending,
            budgets(plan.budget_day_usd, plan.budget_month_usd),
            percent(plan.quota_share),
        )
        for plan in found
    ]
    console().print(table(None, columns, rows))
