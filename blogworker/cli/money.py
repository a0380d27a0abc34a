"""Amounts of money: parsing and display."""

from decimal import Decimal, InvalidOperation

from blogworker.errors import SettingsError

MOST = Decimal(10_000_000)
REMOVED = "none"
BUDGET_HELP = "USD, for example 5 or 0.50; none removes it."


def budget(text: str | None, *, option: str) -> dict[str, object]:
    """Return the parameters of a statement that sets, removes or keeps a budget."""
    amount = None if text is None or text.strip().lower() == REMOVED else _usd(text, option)
    name = option.removeprefix("--").replace("-", "_")
    return {f"{name}_usd": amount, f"set_{name}": text is not None}


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


def _usd(text: str, option: str) -> Decimal:
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount <= MOST or amount != round(amount, 6):
        raise SettingsError(
            f"{option} {text!r} is not a budget: use USD from 0 to {MOST:,} with at most 6 decimals, or {REMOVED}"
        )
    return amount
