"""What operations about money return: like `records.py`. Amounts are in USD."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent in this UTC day and month, and the total budget, in USD. None: no budget or no average."""

    spent_today_usd: Decimal
    spent_month_usd: Decimal
    budget_day_usd: Decimal | None
    budget_month_usd: Decimal | None
    left_today_usd: Decimal | None
    left_month_usd: Decimal | None
    a_day_usd: Decimal
    days_left: Decimal
    projected_month_usd: Decimal
    held_usd: Decimal
    stopped_until: datetime | None
    stop_reason: str | None
    posts_month: int
    score_month: Decimal | None
    today: date


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Calls and their cost by model. `score`: the average of the posts that it wrote."""

    provider: str
    model: str
    requests: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    cost_usd: Decimal
    wasted: int
    wasted_usd: Decimal
    unpriced: int
    posts: int
    score: Decimal | None


@dataclass(frozen=True, slots=True)
class PeriodCost:
    """Calls and their cost in a UTC day or month."""

    begins: date
    requests: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    cost_usd: Decimal
    wasted: int
    wasted_usd: Decimal
    unpriced: int
    posts: int
    score: Decimal | None


@dataclass(frozen=True, slots=True)
class SiteCost:
    """The cost of a site. `name`: None for a site that was deleted."""

    instance_id: str
    name: str | None
    cost_usd: Decimal
    today_usd: Decimal
    posts: int
    score: Decimal | None
    budget_day_usd: Decimal | None
    budget_month_usd: Decimal | None
    pause_reason: str | None


@dataclass(frozen=True, slots=True)
class EndedJobsCost:
    """The cost of ended jobs. `done_usd`: of the latest `done_seen`. `unanswered`, `cut_off`: possibly billed calls."""

    done: int
    done_usd: Decimal
    done_seen: int
    failed: int
    failed_usd: Decimal
    unanswered: int
    cut_off: int


@dataclass(frozen=True, slots=True)
class PriceListed:
    """A price in the settings. `price`: as text, None if the model has none."""

    model: str
    used: bool
    price: str | None
    since: str | None
    checked: str | None
    in_force: bool
    old: bool
