"""What a cell says: nothing, if a program wrote a word or an error for it (`NULL`, `nan`, `#N/A`)."""

import re
from dataclasses import replace

from blogworker.intake import sales, visibility
from blogworker.intake.decimals import PRICES
from blogworker.intake.offers import OPTIONS
from blogworker.intake.properties import OWN
from blogworker.intake.table import TableRow
from blogworker.markup import references

WORDS = frozenset({"NULL", "null", "(null)", "nan", "NaN", "NaT", "<NA>", "None", "N/A", "n/a", "\\N", "undefined"})
ERROR = re.compile(r"#{2,}|#N/?[ABDV]|#[¡¿]?[A-ZÀ-Ý/0_]+[!?]")  # of spreadsheets in several languages
# Here an unknown word is a fault or has a meaning: `none` may be a value of an option, and of a visibility.
KEPT = frozenset({*PRICES, *visibility.COLUMNS, *sales.COLUMNS, *(f"option_value_{n}" for n in OPTIONS)})
# These are converted from HTML, or are addresses.
NOT_TEXT = ("name", "description", "section_", "image", "variant_image", "url", "ribbon", "customization", OWN)


def cleaned(row: TableRow) -> TableRow:
    """Return the row with empty cells instead, and with the characters that references (`&amp;`) stand for.

    The errors in identifiers and names stay, because they are faults.
    """
    return replace(row, cells={name: _cleaned(name, cell) for name, cell in row.cells.items()})


def _cleaned(name: str, cell: str) -> str:
    if _is_blank(name, cell):
        return ""
    return cell if name.startswith(NOT_TEXT) else references(cell).strip()


def _is_blank(name: str, cell: str) -> bool:
    if name in KEPT:
        return False
    return cell in WORDS or (name not in ("handle", "name") and ERROR.fullmatch(cell) is not None)
