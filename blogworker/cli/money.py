"""Amounts of money in options."""

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
