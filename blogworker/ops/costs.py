"""Costs: what was spent on what, the total budget, and the prices that costs are computed with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from blogworker.db.pool import Database, Row
from blogworker.ops.sites import require_site
from blogworker.prices import Dated, in_force
from blogworker.spend.estimate import Prices

LATEST = 1_000  # finished jobs that the average cost is computed from
OLD = timedelta(days=92)  # a price that was checked longer ago should be compared with the provider's page


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class CostsRequest:
    """Which costs to read."""

    site: str | None  # None: all sites
    days: int  # today and the days before it, UTC
    by: Period
    top: int  # how many of the most expensive sites


@dataclass(frozen=True, slots=True)
class Costs:
    """Rows of the queries `spending` and `costs_*`, and what the settings say about prices."""

    spending: Row
    models: list[Row]
    periods: list[Row]
    sites: list[Row]
    jobs: Row
    prices: list[dict[str, Any]]
    warnings: list[str]


async def read_costs(database: Database, wanted: CostsRequest, prices: Prices) -> Costs:
    """Read the costs. Raises SettingsError when the site is unknown."""
    await require_site(database, wanted.site)
    chosen = {"days": wanted.days, "instance_id": wanted.site}
    spending = await database.one("spend/spending")
    models = await database.rows("spend/costs_by_model", **chosen)
    in_use = {prices.openai.ideas_model, prices.openai.content_model, prices.replicate.model}
    listed = _price_rows(prices, in_use | {row["model"] for row in models}, today=spending["today"])
    return Costs(
        spending=spending,
        models=models,
        periods=await database.rows("spend/costs_by_period", period=wanted.by, **chosen),
        sites=await database.rows("spend/costs_by_site", most=wanted.top, **chosen),
        jobs=await database.one("spend/costs_of_blogs", **chosen, most=LATEST),
        prices=listed,
        warnings=_warnings(spending, models, listed, in_use),
    )


async def read_spending(database: Database) -> Row:
    """Return what was spent today and this month, and the total budget."""
    return await database.one("spend/spending")


async def set_total_budget(database: Database, changes: Mapping[str, object]) -> Row:
    """Change the budget of all sites together and return `read_spending`. `changes`: parameters of
    `set_fleet_budget`. Workers notice within a second."""
    await database.one("spend/set_fleet_budget", **changes)
    return await read_spending(database)


def _price_rows(prices: Prices, used: set[str], *, today: date) -> list[dict[str, Any]]:
    """Return one row per price in the settings, and one without a price for each model in use that has none."""
    tables: dict[str, tuple[Dated, ...]] = {**prices.openai.prices, **prices.replicate.prices}
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
        return f"{known['usd']:g} per picture"
    return ", ".join(f"{name} {usd:g}" for name, usd in known.items()) + " per million tokens"


def _warnings(spending: Row, models: Sequence[Row], prices: Sequence[dict[str, Any]], in_use: set[str]) -> list[str]:
    priced = {p["model"] for p in prices if p["in_force"]}
    unpriced = (in_use - priced) | {row["model"] for row in models if row["unpriced"]}
    old = sorted({p["model"] for p in prices if p["used"] and p["in_force"] and p["old"]})
    warnings = []
    if unpriced:
        warnings.append(
            f"no price for {', '.join(sorted(unpriced))}: these calls are not counted and no budget limits them; "
            "set BLOGWORKER_TEXT_PRICES or BLOGWORKER_IMAGE_PRICES"
        )
    if old:
        warnings.append(f"prices not checked for more than {OLD.days} days: {', '.join(old)}")
    if spending["budget_month_usd"] is not None and spending["projected_month_usd"] > spending["budget_month_usd"]:
        warnings.append("at this rate the month's budget will be used up before the month ends")
    return warnings
