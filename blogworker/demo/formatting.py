"""Short formats of numbers for the gallery."""

from math import ceil

WORDS_PER_MINUTE = 230  # silent reading of English prose


def reading_time(words: int) -> str:
    return f"{max(1, ceil(words / WORDS_PER_MINUTE))} min read"


def duration(seconds: float) -> str:
    if round(seconds, 1) < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,} m {rest:02} s"


def dollars(amount: float) -> str:
    """An amount with two decimals; with four if it is less than ten cents."""
    return f"${amount:,.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.4f}"


def short_number(number: int) -> str:
    if number < 10_000:
        return f"{number:,}"
    return f"{number / 1_000:,.0f}k" if number < 999_500 else f"{number / 1_000_000:,.2f}M"


def initial(text: str) -> str:
    """The first letter or digit in upper case, shown instead of a picture."""
    return next((sign.upper() for sign in text if sign.isalnum()), "¶")
