"""Costs: what was spent on what, the total budget, and the prices that costs are computed with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from blogworker.db.pool import Database, Runner
from blogworker.ops.audit import Action, record
from blogworker.ops.cost_records import EndedJobsCost, ModelCost, PeriodCost, PriceListed, SiteCost, Spending
from blogworker.ops.records import records
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
    """What was spent, by model, time and site, and what the settings say about prices."""

    spending: Spending
    models: list[ModelCost]
    periods: list[PeriodCost]
    sites: list[SiteCost]
    jobs: EndedJobsCost
    prices: list[PriceListed]
    warnings: list[str]


async def read_costs(database: Database, wanted: CostsRequest, prices: Prices) -> Costs:
    """Read the costs. Raises SettingsError when the site is unknown."""
    await require_site(database, wanted.site)
    chosen = {"days": wanted.days, "instance_id": wanted.site}
    spending = await read_spending(database)
    models = records(ModelCost, await database.rows("spend/costs_by_model", **chosen))
    in_use = {prices.openai.ideas_model, prices.openai.content_model, prices.replicate.model}
    listed = _listed(prices, in_use | {cost.model for cost in models}, today=spending.today)
    return Costs(
        spending=spending,
        models=models,
        periods=records(PeriodCost, await database.rows("spend/costs_by_period", period=wanted.by, **chosen)),
        sites=records(SiteCost, await database.rows("spend/costs_by_site", most=wanted.top, **chosen)),
        jobs=EndedJobsCost(**await database.one("spend/costs_of_blogs", **chosen, most=LATEST)),
        prices=listed,
        warnings=_warnings(spending, models, listed, in_use),
    )


async def read_spending(database: Runner) -> Spending:
    """Return what was spent today and this month, and the total budget."""
    return Spending(**await database.one("spend/spending"))


async def set_total_budget(database: Database, changes: Mapping[str, object]) -> Spending:
    """Change the budget of all sites together and return `read_spending`. `changes`: parameters of
    `set_fleet_budget`. Workers notice within a second."""
    async with database.transaction() as statements:
        before = await read_spending(statements)
        await statements.one("spend/set_fleet_budget", **changes)
        after = await read_spending(statements)
        await record(statements, Action.BUDGET_SET, None, before=_budgets(before), after=_budgets(after))
    return after


def _budgets(found: Spending) -> dict[str, object]:
    return {"day_usd": found.budget_day_usd, "month_usd": found.budget_month_usd}


def _listed(prices: Prices, used: set[str], *, today: date) -> list[PriceListed]:
    """Return the prices in the settings, and an entry without a price for each model in use that has none."""
    tables: dict[str, tuple[Dated, ...]] = {**prices.openai.prices, **prices.replicate.prices}
    return [
        PriceListed(
            model=model,
            used=model in used,
            price=None if row is None else _price(row),
            since=row.since.isoformat() if row and row.since else None,
            checked=row.checked.isoformat() if row and row.checked else None,
            in_force=row is not None and row is in_force(rows, today),
            old=row is not None and row.checked is not None and today - row.checked > OLD,
        )
        for model, rows in sorted((dict.fromkeys(used, ()) | tables).items())
        for row in rows or (None,)
    ]


def _price(row: Dated) -> str:
    known = row.model_dump(exclude={"since", "checked"}, exclude_none=True)
    if "usd" in known:
        return f"{known['usd']:g} per picture"
    return ", ".join(f"{name} {usd:g}" for name, usd in known.items()) + " per million tokens"


def _warnings(
    spending: Spending, models: Sequence[ModelCost], prices: Sequence[PriceListed], in_use: set[str]
) -> list[str]:
    priced = {p.model for p in prices if p.in_force}
    unpriced = (in_use - priced) | {cost.model for cost in models if cost.unpriced}
    old = sorted({p.model for p in prices if p.used and p.in_force and p.old})
    warnings = []
    if unpriced:
        warnings.append(
            f"no price for {', '.join(sorted(unpriced))}: these calls are not counted and no budget limits them; "
            "set BLOGWORKER_TEXT_PRICES or BLOGWORKER_IMAGE_PRICES"
        )
    if old:
        warnings.append(f"prices not checked for more than {OLD.days} days: {', '.join(old)}")
    if spending.budget_month_usd is not None and spending.projected_month_usd > spending.budget_month_usd:
        warnings.append("at this rate the month's budget will be used up before the month ends")
    return warnings
