"""Prices as shops and spreadsheets write them: 1299.00, "1,299.00", "1.299,00 €", "EUR 12,5", "2.450,-"."""

import re
import unicodedata
from decimal import Decimal
from typing import Literal

from blogworker.currencies import CODES

CURRENCIES = {
    "€": "EUR",
    "£": "GBP",
    "₪": "ILS",
    "₹": "INR",
    "₩": "KRW",
    "₺": "TRY",
    "zł": "PLN",
    "us$": "USD",
    "r$": "BRL",
    "kč": "CZK",
    "ft": "HUF",
    "eur": "EUR",
    "euro": "EUR",
}  # $ and ¥ belong to several currencies
WORDS = frozenset({  # of currencies, in lower case
    "euros", "usd", "gbp", "chf", "kr", "kr.", "zl", "kc", "lei", "leu", "kn", "din", "din.", "dh", "dhs",
    "лв", "лв.", "руб", "руб.", "р", "р.", "грн", "грн.", "дин", "дин.", "ден", "ден.", "円", "元", "원",  # noqa: RUF001
})  # fmt: skip
CAPITALIZED = frozenset({  # `fr.` is Swedish for `from`, `rm` a German unit
    "FR", "FR.", "Fr", "Fr.", "SFr", "SFr.", "Rs", "Rs.", "TL", "RM", "Rp", "Rp.", "R", "S/", "Bs", "Bs.",
})  # fmt: skip
SIGN = re.compile(r"(?:US?|CA?|AU?|NZ|HK|S|SG|NT|MX|R|J|TT|BZ|EC|CN|JP|RMB)?(?P<sign>.)(?:US?|CA|AU|NZ|HK)?")
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
    """Return the amount of an exact price. `point`: the decimal separator of the file, if known.

    Raises ValueError, which says what to write, for other text. Words such as `from`, and units, make a price inexact.
    """
    try:
        value = quantity(text, point)
    except ValueError:
        value = None
    if value is not None and all(map(_is_currency, _marks(text))):
        return value
    if any(map(str.isdigit, text)) and any(map(str.isalpha, text)):
        raise ValueError("is not an exact price: give the exact price, such as 1299.00, or leave the cell empty")
    raise ValueError("is not a price: write it as 1299.00, or leave the cell empty")


def quantity(text: str, point: Point | None = None) -> Decimal:
    """Return the number, which may have up to four other characters on each side. Raises ValueError for other text."""
    number = _number(text)
    if point is not None and AMBIGUOUS.fullmatch(number):
        return Decimal(number.replace(OTHER[point], "").replace(point, "."))
    for shape, grouping, decimal in SHAPES:
        if shape.fullmatch(number):
            return Decimal(number.replace(grouping, "").replace(decimal, ".").rstrip("."))
    raise ValueError(f"{text!r} is not a number")


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
    for mark in _marks(text):
        if code := mark if mark in CODES else CURRENCIES.get(mark.casefold()):
            return code
    return None


def _marks(text: str) -> list[str]:
    """Return what is before and after the number, without invisible characters."""
    found = PRICE.fullmatch(text.strip())
    sides = (found["before"], found["after"]) if found else ()
    visible = ("".join(one for one in side if unicodedata.category(one) != "Cf") for side in sides)
    return [mark for mark in visible if mark]


def _is_currency(mark: str) -> bool:
    sign = SIGN.fullmatch(mark)
    return (
        mark in CODES
        or mark.casefold() in CURRENCIES
        or mark in CAPITALIZED
        or mark.casefold() in WORDS
        or (sign is not None and unicodedata.category(sign["sign"]) == "Sc")
    )


def _number(text: str) -> str:
    found = PRICE.fullmatch(text.strip())
    return re.sub(r"['\u2019\s]", "", found["number"]) if found else ""
