"""How times and money are written for people, in every interface."""

from datetime import UTC, datetime
from decimal import Decimal

from blogworker.db.loaders import BEFORE_ALL, NEVER


def ago(moment: datetime) -> str:
    """Return how long ago or how far ahead a time is, in one unit. For display only: no decision uses this machine's
    clock."""
    if moment == NEVER:
        return "never"
    if moment == BEFORE_ALL:
        return "always"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    length = duration(abs(seconds))
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def precise(seconds: float | None) -> str | None:
    """Return a duration, with a decimal below ten seconds."""
    return None if seconds is None else f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def dollars(amount: object) -> str | None:
    """Return the amount in dollars: whole cents from one dollar up, four decimals below where cents would round it.
    `usd_text` in the database formats the same way."""
    if amount is None:
        return None
    value = Decimal(str(amount))
    if not value.is_finite():
        return f"${value}"
    return f"${value:,.2f}" if value >= 1 or value == round(value, 2) else f"${value:.4f}"


def budgets(day: object, month: object) -> str | None:
    """Return both budgets for one table cell."""
    parts = [f"{dollars(usd)} per {period}" for usd, period in ((day, "day"), (month, "month")) if usd is not None]
    return ", ".join(parts) or None


def percent(share: float | None) -> str | None:
    """Return a share as a percentage."""
    return None if share is None else f"{100 * share:g} %"
