"""Commands about money: what was spent on what, the total budget, and the prices it is counted by."""

from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import typer
from rich.text import Text

from blogworker.cli.money import BUDGET_HELP, budget, budgets, dollars
from blogworker.cli.output import console, emit_json, facts, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Database, Row
from blogworker.ops.sites import require_site
from blogworker.prices import Dated, in_force
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings

app = typer.Typer(help="What was spent, and what may be.", invoke_without_command=True)

JSON = typer.Option(False, "--json", help="For machines.")
LATEST = 1_000  # finished blogs that the average cost is taken from
ENOUGH = 10  # finished blogs; an average of fewer says little about the next one
OLD = timedelta(days=92)  # prices checked longer ago should be compared with the vendor's page
USAGE = {
    "calls": "requests",
    "tokens in": "tokens_in",
    "cached": "tokens_cached",
    "tokens out": "tokens_out",
}


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"


@app.callback()
def costs(
    context: typer.Context,
    site: str | None = typer.Option(None, help="Only this site's."),
    days: int = typer.Option(31, min=1, max=400, help="Today and the days before it, UTC."),
    by: Period = typer.Option(Period.DAY, help="Sums by day or by month."),
    top: int = typer.Option(10, min=1, max=10_000, help="How many of the costliest sites."),
    as_json: bool = JSON,
) -> None:
    """What was spent: by vendor and model, by day or month, by site; what it bought, and what is left."""
    if context.invoked_subcommand is not None:
        return
    tables, in_use = _price_tables()
    chosen = {"days": days, "instance_id": site}

    async def act(database: Database) -> dict[str, Any]:
        await require_site(database, site)
        return {
            "spending": await database.one("spend/spending"),
            "models": await database.rows("spend/costs_by_model", **chosen),
            "periods": await database.rows("spend/costs_by_period", period=by, **chosen),
            "sites": await database.rows("spend/costs_by_site", most=top, **chosen),
            "blogs": await database.one("spend/costs_of_blogs", **chosen, most=LATEST),
        }

    found = with_database(act)
    used = in_use | {row["model"] for row in found["models"]}
    found["prices"] = _prices(tables, used, today=found["spending"]["today"])
    found["warnings"] = _warnings(found, in_use)
    if as_json:
        emit_json(found)
        return
    out = console()
    for part in _parts(found, days=days, site=site):
        out.print(part)
        out.print()


@app.command("budget")
def set_budget(
    day: str | None = typer.Option(None, help=f"A UTC day: {BUDGET_HELP}"),
    month: str | None = typer.Option(None, help=f"A UTC month: {BUDGET_HELP}"),
    as_json: bool = JSON,
) -> None:
    """What all sites together may spend. It holds for the whole fleet within a second; without options it is shown."""
    changes = budget(day, option="--day") | budget(month, option="--month")

    async def act(database: Database) -> Row:
        if changes["set_day"] or changes["set_month"]:
            await database.one("spend/set_fleet_budget", **changes)
        return await database.one("spend/spending")

    spending = with_database(act)
    if as_json:
        emit_json(spending)
    else:
        console().print(facts(_budget_facts(spending)))


def _parts(found: dict[str, Any], *, days: int, site: str | None) -> list[Any]:
    money = ["cost", "wasted", "unpriced calls", "score"]
    cells = [[row[key] for key in USAGE.values()] + _money(row) for row in found["models"]]
    models = [(row["provider"], row["model"], *cell) for row, cell in zip(found["models"], cells, strict=True)]
    periods = [
        (row["begins"].isoformat(), *(row[key] for key in USAGE.values()), *_money(row)) for row in found["periods"]
    ]
    sites = [
        (
            row["instance_id"],
            dollars(row["cost_usd"]),
            dollars(row["today_usd"]),
            _score(row),
            budgets(row["budget_day_usd"], row["budget_month_usd"]),
            row["pause_reason"],
        )
        for row in found["sites"]
    ]
    prices = [(p["model"], p["price"], p["since"], p["checked"]) for p in found["prices"] if p["used"]]
    of = f" of {site}" if site else ""
    return [
        facts(_budget_facts(found["spending"])),
        facts(_blog_facts(found)),
        table(f"By model{of}, {days} days", ["vendor", "model", *USAGE, *money], models),
        table(f"By time{of} (UTC)", ["from", *USAGE, *money], periods),
        table(
            "Costliest sites", ["site", "cost", "today", "score", "budget", "paused"], sites, fold=["budget", "paused"]
        ),
        table("Prices, by this machine's settings", ["model", "USD", "from", "checked"], prices, fold=["USD"]),
        *(Text(f"warning: {warning}", style="yellow") for warning in found["warnings"]),
    ]


def _money(row: Row) -> list[object]:
    return [dollars(row["cost_usd"]), dollars(row["wasted_usd"]), row["unpriced"], _score(row)]


def _score(row: Row) -> float | None:
    """Of the posts that were written, on average; None without any, and for models that write none."""
    return None if row["score"] is None else float(row["score"])


def _budget_facts(s: Row) -> dict[str, object]:
    return {
        "today": _against(s["spent_today_usd"], s["budget_day_usd"], s["left_today_usd"]),
        "this month": _against(s["spent_month_usd"], s["budget_month_usd"], s["left_month_usd"]),
        "reserved": f"up to {dollars(s['in_hand_usd'])} for blogs in progress",
        "projected": f"{dollars(s['projected_month_usd'])} by the end of the month: what is spent, and "
        f"{dollars(s['a_day_usd'])} a day (the last seven days) for {s['days_left']:.1f} days",
        "scored": _scored(s),
        "stopped": s["shut_reason"] or "nothing: no budget is used up",
    }


def _scored(s: Row) -> str:
    posts, score = s["posts_month"], s["score_month"]
    return f"{posts:,} posts this month" + (
        "" if score is None else f", {score} of 100 on average: `blogworker review`"
    )


def _against(spent: object, limit: object, left: object) -> str:
    return f"{dollars(spent)} spent, " + (
        "no budget" if limit is None else f"{dollars(left)} left of a budget of {dollars(limit)}"
    )


def _blog_facts(found: dict[str, Any]) -> dict[str, object]:
    blogs, models = found["blogs"], found["models"]
    spent, wasted = sum(row["cost_usd"] for row in models), sum(row["wasted_usd"] for row in models)
    share = f" ({100 * wasted / spent:.1f} %)" if spent else ""
    return {
        "finished blogs": _finished(blogs),
        "failed blogs": f"{blogs['failed']:,}, which had cost {dollars(blogs['failed_usd'])}",
        "wasted": f"{dollars(wasted)}{share} in {sum(row['wasted'] for row in models):,} calls: "
        "repairs, answers cut off or refused, pictures that failed",
        "perhaps billed": f"{blogs['unanswered']:,} calls without an answer, "
        f"{blogs['cut_off']:,} attempts whose worker died during a paid call",
    }


def _finished(blogs: Row) -> str:
    """Their number and own cost; the total spent includes blogs in progress."""
    done, seen, cost = blogs["done"], blogs["done_seen"], blogs["done_usd"]
    if not seen:
        return f"{done:,}"
    if seen < ENOUGH:
        return f"{done:,}, which cost {dollars(cost)}"
    return f"{done:,}, about {dollars(round(cost / seen, 4))} each" + (f" (the last {seen:,})" if seen < done else "")


def _price_tables() -> tuple[dict[str, tuple[Dated, ...]], set[str]]:
    """All rows by model, and the models in use."""
    openai, replicate = load_section(OpenAISettings), load_section(ReplicateSettings)
    return {**openai.prices, **replicate.prices}, {openai.ideas_model, openai.content_model, replicate.model}


def _prices(tables: dict[str, tuple[Dated, ...]], used: set[str], *, today: date) -> list[dict[str, Any]]:
    """A row each, and one without a price for a model in use that has none."""
    return [
        {
            "model": model,
            "used": model in used,
            "price": row and _price(row),
            "since": row and row.since and row.since.isoformat(),
            "checked": row and row.checked and row.checked.isoformat(),
            "in_force": row is not None and row is in_force(rows, today),
            "old": row is not None and row.checked is not None and today - row.checked > OLD,
        }
        for model, rows in sorted((dict.fromkeys(used, ()) | tables).items())
        for row in rows or (None,)
    ]


def _price(row: Dated) -> str:
    known = row.model_dump(exclude={"since", "checked"}, exclude_none=True)
    if "usd" in known:
        return f"{known['usd']:g} a picture"
    return ", ".join(f"{name} {usd:g}" for name, usd in known.items()) + " a million tokens"


def _warnings(found: dict[str, Any], in_use: set[str]) -> list[str]:
    s = found["spending"]
    priced = {p["model"] for p in found["prices"] if p["in_force"]}
    unpriced = (in_use - priced) | {row["model"] for row in found["models"] if row["unpriced"]}
    old = sorted({p["model"] for p in found["prices"] if p["used"] and p["in_force"] and p["old"]})
    told = []
    if unpriced:
        told.append(
            f"no price for {', '.join(sorted(unpriced))}: such calls are not counted, and no budget holds them; "
            "set BLOGWORKER_TEXT_PRICES or BLOGWORKER_IMAGE_PRICES"
        )
    if old:
        told.append(f"prices not checked for more than {OLD.days} days: {', '.join(old)}")
    if s["budget_month_usd"] is not None and s["projected_month_usd"] > s["budget_month_usd"]:
        told.append("at this rate the month's budget does not last")
    return told
