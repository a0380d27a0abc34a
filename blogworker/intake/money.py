"""Prices as shops and spreadsheets write them: 1299.00, "1,299.00", "1.299,00 €", "EUR 12,5"."""

import re
from decimal import Decimal

CURRENCIES = {
    "€": "EUR",
    "£": "GBP",
    "₪": "ILS",
    "₹": "INR",
    "₩": "KRW",
    "₺": "TRY",
    "zł": "PLN",
}  # $ and ¥ are several
PRICE = re.compile(r"(?P<before>[^\d\s.,+-]{0,4})\s*(?P<number>\d[\d.,'\u2019\s]{0,20})\s*(?P<after>[^\d\s.,+-]{0,4})")
# The first that matches wins, so that 1,299 is above a thousand and 1.299 below two, as exports write them.
SHAPES = (
    (re.compile(r"(\d+|\d{1,3}(,\d{2,3})*,\d{3})(\.\d*)?"), ",", "."),
    (re.compile(r"(\d+|\d{1,3}(\.\d{3})+)(,\d*)?"), ".", ","),
)


def amount(text: str) -> Decimal:
    """Raises ValueError when the text is no price."""
    found = PRICE.fullmatch(text.strip())
    number = re.sub(r"['\u2019\s]", "", found["number"]) if found else ""
    for shape, grouping, point in SHAPES:
        if shape.fullmatch(number):
            return Decimal(number.replace(grouping, "").replace(point, ".").rstrip("."))
    raise ValueError(f"{text!r} is not a price")


def currency(text: str) -> str | None:
    """The ISO code of a price that carries one, or a sign that means one currency only."""
    found = PRICE.fullmatch(text.strip())
    sign = (found["before"] or found["after"]) if found else ""
    return sign if re.fullmatch("[A-Z]{3}", sign) else CURRENCIES.get(sign)
