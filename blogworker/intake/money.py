"""Prices as shops and spreadsheets write them: 1299.00, "1,299.00", "1.299,00 €", "EUR 12,5", "2.450,-"."""

import re
from decimal import Decimal
from typing import Literal

CURRENCIES = {
    "€": "EUR",
    "£": "GBP",
    "₪": "ILS",
    "₹": "INR",
    "₩": "KRW",
    "₺": "TRY",
    "zł": "PLN",
}  # $ and ¥ belong to several currencies
PRICE = re.compile(
    r"(?P<before>[^\d\s.,+-]{0,4}|[^\W\d_]{1,3}\.)\s*"
    r"(?P<number>\d[\d.,'\u2019\s]{0,20})(?P<dash>(?<=[.,])[-\u2010-\u2015\u2212]{1,2})?\s*"
    r"(?P<after>[^\d\s.,+-]{0,4}|[^\W\d_]{1,3}\.)"
)
# The first that matches wins: as exports write prices, 1,299 means 1299 and 1.299 has three decimals.
SHAPES = (
    (re.compile(r"(\d+|\d{1,3}(,\d{2,3})*,\d{3})(\.\d*)?"), ",", "."),
    (re.compile(r"(\d+|\d{1,3}(\.\d{3})+)(,\d*)?"), ".", ","),
)
AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")  # 1.299 and 1,299: either a thousand or three decimals
Point = Literal[".", ","]
OTHER: dict[Point, Point] = {".": ",", ",": "."}


def amount(text: str, point: Point | None = None) -> Decimal:
    """Return the amount. `point`: the decimal separator of the file, if known. Raises ValueError for bad text."""
    number = _number(text)
    if point is not None and AMBIGUOUS.fullmatch(number):
        return Decimal(number.replace(OTHER[point], "").replace(point, "."))
    for shape, grouping, decimal in SHAPES:
        if shape.fullmatch(number):
            return Decimal(number.replace(grouping, "").replace(decimal, ".").rstrip("."))
    raise ValueError(f"{text!r} is not a price")


def is_ambiguous(text: str) -> bool:
    return AMBIGUOUS.fullmatch(_number(text)) is not None


def point_of(text: str) -> Point | None:
    """Return the decimal separator that a price shows, by its decimals or by the separator of its thousands."""
    number = _number(text)
    if AMBIGUOUS.fullmatch(number) or not any(shape.fullmatch(number) for shape, _, _ in SHAPES):
        return None
    points, commas = number.count("."), number.count(",")
    if points and commas:
        return "." if number.rfind(".") > number.rfind(",") else ","
    if points > 1 or commas > 1:  # a separator that occurs twice groups thousands
        return "," if points else "."
    return "." if points else "," if commas else None


def currency(text: str) -> str | None:
    """Return the ISO code in a price, or the code of a symbol that only one currency uses."""
    found = PRICE.fullmatch(text.strip())
    mark = (found["before"] or found["after"]) if found else ""
    return mark if re.fullmatch("[A-Z]{3}", mark) else CURRENCIES.get(mark)


def _number(text: str) -> str:
    found = PRICE.fullmatch(text.strip())
    return re.sub(r"['\u2019\s]", "", found["number"]) if found else ""
