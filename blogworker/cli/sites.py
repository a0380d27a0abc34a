"""Commands about sites: list, show, pause, resume, set."""

import json
from dataclasses import asdict
from typing import Any

import typer

from blogworker.cli.money import BUDGET_HELP, budget
from blogworker.cli.output import console, emit_json, facts, heading, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops import sites
from blogworker.ops.records import SiteState
from blogworker.ops.shown import ago, dollars, percent
from blogworker.post.product_url import KNOWN, checked_template
from blogworker.post.site import MOST_EVERY, checked, usable

MOST = 2**31 - 1  # limit of the column
app = typer.Typer(help="Show sites, pause them and change their settings.", no_args_is_help=True)

FROM_PLAN = {limit.removesuffix("_usd").replace("_", "-"): limit for limit in sites.LIMITS}
COLUMNS = {
    "site": "instance_id",
    "plan": "plan",
    "weight": "weight",
    "priority": "priority",
    "turn cost": "turn_cost",
    "cap": "max_in_flight",
    "share": "token_share",
    "pending": "pending",
    "oldest": "waiting_since",
    "running": "processing",
    "later": "scheduled",
    "done": "done",
    "failed": "failed",
    "budget": "budget",
    "review": "review",
    "product url": "product_url",
    "paused": "pause_reason",
}


@app.command("list")
def list_sites(
    most: int = typer.Option(50, "--limit", min=1, max=MOST, help="How many."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List sites, the busiest first."""
    _show(with_database(lambda database: sites.list_sites(database, most=most)), as_json=as_json)


@app.command()
def show(
    site: str = typer.Argument(help="The site's instance_id."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Show one site: its values, which of them are its own and which its plan's, and its jobs."""
    found = with_database(lambda database: sites.show_site(database, site))
    if as_json:
        emit_json(asdict(found))
        return
    console().print(heading(f"Site {found.instance_id}"))
    console().print(facts(_facts(found)))


@app.command()
def pause(
    site: str = typer.Argument(help="The site's instance_id."),
    reason: str = typer.Option("paused by an operator", help="Shown with the pause."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Claim no job of a site until it is resumed. Running jobs continue."""
    with_database(lambda database: sites.pause_site(database, site, reason=reason))
    if as_json:
        emit_json({"site": site, "paused": True, "reason": reason})


@app.command()
def resume(
    site: str = typer.Argument(help="The site's instance_id."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Claim jobs of a site again."""
    with_database(lambda database: sites.resume_site(database, site))
    if as_json:
        emit_json({"site": site, "paused": False, "reason": None})


@app.command("set")
def set_site(
    site: str = typer.Argument(help="The site's instance_id. A new site is created."),
    name: str | None = typer.Option(None, help="Display name."),
    plan: str | None = typer.Option(None, help="Name of its plan: see `blogworker plans list`."),
    weight: float | None = typer.Option(
        None, min=0.001, max=1000, help="Its share of the fleet relative to other sites; 1 is normal."
    ),
    max_in_flight: int | None = typer.Option(
        None, min=1, max=MOST, help="Jobs of the site that may run at once, over all workers."
    ),
    max_pending: int | None = typer.Option(None, min=1, max=MOST, help="Jobs of the site that may wait, at most."),
    priority: int | None = typer.Option(
        None, min=0, max=20, help="How many turns earlier than others it joins the line when it has new work."
    ),
    quota_share: float | None = typer.Option(
        None, min=0.001, max=1, help="Most that it uses of the shared quotas: 0.1 is a tenth."
    ),
    from_plan: list[str] | None = typer.Option(
        None,
        "--from-plan",
        metavar="VALUE",
        help=f"Remove its own value and use its plan's: {', '.join(FROM_PLAN)}, or all. May be repeated.",
    ),
    budget_day: str | None = typer.Option(None, help=f"Budget per UTC day: {BUDGET_HELP}"),
    budget_month: str | None = typer.Option(None, help=f"Budget per UTC month: {BUDGET_HELP}"),
    product_url: str | None = typer.Option(
        None,
        metavar="TEMPLATE",
        help=f"URL of products without one: https://shop.example/product-page/{{handle}} ({KNOWN}); '' removes it.",
    ),
    review_every: int | None = typer.Option(
        None,
        min=0,
        max=MOST_EVERY,
        help="Leave one of this many posts as a draft, for `blogworker review`; 0 removes it.",
    ),
    settings: str | None = typer.Option(None, help='More settings as JSON, for example \'{"language": "de"}\'.'),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Create a site, or change it. Options that are not given keep their values."""
    changes = sites.SiteChanges(
        name, plan, weight, max_in_flight, max_pending, priority, quota_share, _from_plan(from_plan or [])
    )
    sites.check_site(site, changes)
    merged = _settings(settings, product_url)
    if review_every is not None:
        merged["review_every"] = review_every or None
    money = budget(budget_day, option="--budget-day") | budget(budget_month, option="--budget-month")

    async def act(database: Database) -> list[SiteState]:
        return await sites.set_site(database, site, changes, settings=merged, budgets=money)

    _show(with_database(act), as_json=as_json)


def _from_plan(names: list[str]) -> tuple[str, ...]:
    if "all" in names:
        return sites.LIMITS
    if unknown := [name for name in names if name not in FROM_PLAN]:
        raise SettingsError(f"--from-plan {unknown[0]!r} is not a value of a plan: use {', '.join(FROM_PLAN)}, or all")
    return tuple(FROM_PLAN[name] for name in names)


def _settings(text: str | None, product_url: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if text is not None:
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"--settings is not JSON: {error}") from error
        if not isinstance(given, dict):
            raise SettingsError('--settings must be a JSON object, for example \'{"language": "de"}\'')
        given = _checked("--settings", given)
    if product_url is not None:
        try:
            given["product_url"] = checked_template(product_url) if product_url.strip() else None
        except ValueError as error:
            raise SettingsError(f"--product-url {error}") from error
    return given


def _checked(option: str, given: dict[str, Any]) -> dict[str, Any]:
    try:
        return checked(given)
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}") from error


def _show(found: list[SiteState], *, as_json: bool) -> None:
    if as_json:
        emit_json([asdict(site) for site in found])
        return
    learned = any(site.turn_cost != 1 for site in found)  # 1 until jobs of the site have ended
    addressed = any(site.product_url for site in found)
    hidden = ([] if learned else ["turn_cost"]) + ([] if addressed else ["product_url"])
    hidden += [] if any(map(_review, found)) else ["review"]
    hidden += [] if any(site.priority for site in found) else ["priority"]
    columns = {head: key for head, key in COLUMNS.items() if key not in hidden}
    shown = [
        asdict(site)
        | {name: _from(site, name) for name in ("weight", "priority", "max_in_flight")}
        | {"token_share": _share(site), "waiting_since": _waits(site), "budget": _budget(site)}
        | {"product_url": _product_url(site), "review": _review(site)}
        for site in found
    ]
    lines = [[row[key] for key in columns.values()] for row in shown]
    console().print(table(None, list(columns), lines, fold=["product url", "paused"]))


def _facts(site: SiteState) -> dict[str, object]:
    """Return what `show` prints. A value is the site's own, or its plan's: then it says so."""
    jobs = ("pending", "processing", "scheduled", "done", "failed")
    return {
        "name": site.name,
        "plan": site.plan,
        "weight": _from(site, "weight"),
        "priority": _from(site, "priority"),
        "jobs that may run": _from(site, "max_in_flight"),
        "jobs that may wait": _from(site, "max_pending"),
        "quota share": _from(site, "quota_share"),
        "budget": _budget(site),
        "turn cost": site.turn_cost,
        "share of tokens": _share(site),
        "oldest waiting job": _waits(site),
        "jobs": ", ".join(f"{getattr(site, status):,} {status}" for status in jobs),
        "product url": _product_url(site),
        "review": _review(site),
        "paused": site.pause_reason,
    }


def _share(site: SiteState) -> str | None:
    return None if site.token_share is None else percent(round(site.token_share, 3))


def _waits(site: SiteState) -> str | None:
    return None if site.waiting_since is None else ago(site.waiting_since)


def _from(site: SiteState, name: str) -> str | None:
    """Return a value, and whether it is the plan's. Only the lower of a cap and a share is in force."""
    value = getattr(site, name)
    if value is None:
        return None
    text = f"{percent(value)}" if name == "quota_share" else f"{value:g}" if name == "weight" else f"{value:,}"
    if name == "max_in_flight" and site.quota_share is not None and site.own.get(name) != value:
        return f"{text} (plan or quota share)"
    return text if name in site.own else f"{text} (plan)"


def _budget(site: SiteState) -> str | None:
    amounts = (("budget_day_usd", "day"), ("budget_month_usd", "month"))
    parts = [
        f"{dollars(getattr(site, name))} per {period}" + ("" if name in site.own else " (plan)")
        for name, period in amounts
        if getattr(site, name) is not None
    ]
    return ", ".join(parts) or None


def _review(site: SiteState) -> str | None:
    """Return which of the site's posts stay drafts for a review."""
    every = usable(site.settings).review_every if isinstance(site.settings, dict) else None
    return None if every is None else f"1 of {every:,}"


def _product_url(site: SiteState) -> str | None:
    return f"{site.product_url} (detected)" if site.product_url_learnt else site.product_url
