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
}  # $ and ¥ are several
PRICE = re.compile(
    r"(?P<before>[^\d\s.,+-]{0,4}|[^\W\d_]{1,3}\.)\s*"
    r"(?P<number>\d[\d.,'\u2019\s]{0,20})(?P<dash>(?<=[.,])[-\u2010-\u2015\u2212]{1,2})?\s*"
    r"(?P<after>[^\d\s.,+-]{0,4}|[^\W\d_]{1,3}\.)"
)
# The first that matches wins, so that 1,299 is above a thousand and 1.299 below two, as exports write them.
SHAPES = (
    (re.compile(r"(\d+|\d{1,3}(,\d{2,3})*,\d{3})(\.\d*)?"), ",", "."),
    (re.compile(r"(\d+|\d{1,3}(\.\d{3})+)(,\d*)?"), ".", ","),
)
AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")  # 1.299 and 1,299: either a thousand or three decimals
Point = Literal[".", ","]
OTHER: dict[Point, Point] = {".": ",", ",": "."}


def amount(text: str, point: Point | None = None) -> Decimal:
    """`point`: the decimal sign of what else is known to stand beside it. Raises ValueError when it is no price."""
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
    """The decimal sign that a price shows, by its decimals or by the sign that groups its thousands."""
    number = _number(text)
    if AMBIGUOUS.fullmatch(number) or not any(shape.fullmatch(number) for shape, _, _ in SHAPES):
        return None
    points, commas = number.count("."), number.count(",")
    if points and commas:
        return "." if number.rfind(".") > number.rfind(",") else ","
    if points > 1 or commas > 1:  # a sign that comes twice groups thousands
        return "," if points else "."
    return "." if points else "," if commas else None


def currency(text: str) -> str | None:
    """The ISO code of a price that carries one, or a sign that means one currency only."""
    found = PRICE.fullmatch(text.strip())
    sign = (found["before"] or found["after"]) if found else ""
    return sign if re.fullmatch("[A-Z]{3}", sign) else CURRENCIES.get(sign)


def _number(text: str) -> str:
    found = PRICE.fullmatch(text.strip())
    return re.sub(r"['\u2019\s]", "", found["number"]) if found else ""
