"""Whether a sale price is current. Exports keep sale prices whose dates are over or still to come.

The columns of these dates are found by the words of their headers: `special_price_from_date` (Magento), `Date sale
price ends` (WooCommerce) and `sale_price_effective_date` (Google, with both dates in one cell). The sale price counts
only if now lies between its dates whatever the dates may mean. So it does not count if one of them cannot be read.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from blogworker.intake.table import APART
from blogworker.intake.times import NO_DATE, times
from blogworker.intake.visibility import folded

FROM, UNTIL, BETWEEN = COLUMNS = ("sale_from", "sale_until", "sale_between")
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # between the words of specialPriceFromDate
SALE = (
    "sale", "special", "offer", "promo", "discount", "angebot", "aktion", "sonder", "solde", "remise", "rebaja",
    "oferta", "scont", "aanbied", "actie",
)  # fmt: skip
DATES = ("date", "datum", "dia", "fecha", "data", "period", "valid", "effective")
STARTS = (
    "from", "start", "begin", "since", "ab", "von", "debut", "du", "inicio", "empieza", "comienza", "desde", "inizi",
    "vanaf",
)  # fmt: skip
ENDS = (
    "to", "end", "ends", "ende", "until", "till", "expir", "bis", "fin", "finis", "final", "au", "termin", "hasta",
    "scad", "eind", "tot", "ate",
)  # fmt: skip


def column(header: str) -> str | None:
    """Return our name for a column with dates of a sale price."""
    words = folded(HUMP.sub(" ", header)).split()
    starts, ends = _have(words, STARTS), _have(words, ENDS)
    if not _have(words, SALE) or not (starts or ends or _have(words, DATES)):
        return None
    return BETWEEN if starts == ends else FROM if starts else UNTIL


def current(cells: dict[str, str], now: Callable[[], datetime]) -> dict[str, str]:
    """Return the cells, without a sale price that is not current."""
    if not cells.get("sale_price"):
        return cells
    dates = [(name, cell) for name in COLUMNS for cell in cells.get(name, "").split(APART) if cell]
    is_current = all(_includes(name, cell, now) for name, cell in dates if not NO_DATE.fullmatch(cell))
    return cells if is_current else cells | {"sale_price": ""}


def _includes(name: str, cell: str, now: Callable[[], datetime]) -> bool:
    if name == BETWEEN:
        start, found, end = cell.partition("/")
        return bool(found) and _includes(FROM, start, now) and _includes(UNTIL, end, now)
    found_times = times(cell)
    if not found_times:
        return False
    if name == FROM:
        return max(found_times) <= now()
    last = timedelta(0) if ":" in cell else timedelta(days=1)  # a date without a time includes its day
    return now() < min(found_times) + last


def _have(words: list[str], stems: tuple[str, ...]) -> bool:
    """Return whether a word begins with a stem; a stem of two or three letters is the whole word."""
    return any(word.startswith(stem) if len(stem) > 3 else word == stem for word in words for stem in stems)
