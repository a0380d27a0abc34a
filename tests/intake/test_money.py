"""Prices are read as people write them, and only if they are exact."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from blogworker.currencies import CODES
from blogworker.errors import Fault
from blogworker.intake import Row
from blogworker.intake.money import CAPITALIZED, CURRENCIES, WORDS, amount, currency, quantity

Reads = Callable[..., list[Row]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60", "60"),
        ("1299.00", "1299.00"),
        ("1,299", "1299"),
        ("1,299.50", "1299.50"),
        ("1.299,50 €", "1299.50"),
        ("1.299.000", "1299000"),
        ("1 299,00", "1299.00"),
        ("1'299.00", "1299.00"),
        ("1,00,000.00", "100000.00"),
        ("12,5", "12.50"),
        ("$9.99", "9.99"),
        ("EUR 5", "5"),
        ("5 eur", "5"),
        ("399,-", "399"),
        ("399,- Kč", "399"),
        ("1 299 kr", "1299"),
        ("kr. 1.299,50", "1299.50"),
        ("19,90 zł", "19.90"),
        ("CHF 1'299.\u2013", "1299"),
        ("US$ 5.00", "5.00"),
        ("5 $US", "5"),
        ("R$5,00", "5.00"),
        ("Fr. 5.00", "5.00"),
        ("\u200f₪ 5.00", "5.00"),
        ("500 лв.", "500"),
        ("Rs. 1,00,000", "100000"),
        ("5円", "5"),
    ],
)
def test_prices_are_read_as_people_write_them(text: str, value: str) -> None:
    assert amount(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "-1", "1-2", "1,2,3", "1.2.3", "1.299,00.5", "free", "~12", "(5)", "5%", ">5"])
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a price: write it as 1299.00, or leave the cell empty"):
        amount(text)


@pytest.mark.parametrize(
    "text",
    ["ab 399,-", "bis 20,00", "ca. 12,00", "ca 12,00", "12,50/m²", "from 12", "dès 12,00", "desde 20", "da 12,00",
     "od 5 zł", "vanaf 5", "fra 5", "5 STK", "5 pcs", "5,00/kg", "5 m", "5 L", "UVP 12", "12 €/m²", "max 5", "1e5",
     "ab 5 €", "all 5", "top 5", "5 km", "fr. 199 kr", "2 rm", "s/ 5"],
)  # fmt: skip
def test_a_price_with_a_word_or_a_unit_is_not_exact(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an exact price: give the exact price, .* or leave the cell empty"):
        amount(text)


@given(
    st.text("abcdefgilmopstuvzéèäöüABCDEFSTK/²~<>%*", min_size=1, max_size=4),
    st.sampled_from(["{mark} 12,50", "12,50 {mark}", "12,50{mark}", "{mark}12,50"]),
)
def test_no_unknown_word_makes_an_exact_price(mark: str, form: str) -> None:
    assume(mark not in CODES | CAPITALIZED and mark.casefold() not in WORDS | CURRENCIES.keys())

    with pytest.raises(ValueError, match=r"is not an? (exact )?price"):
        amount(form.format(mark=mark))


def test_a_quantity_may_have_a_unit() -> None:
    """Stock and weights are not prices."""
    assert [quantity(text) for text in ("5 Stk", "ca. 5", "1,5 kg")] == [Decimal(5), Decimal(5), Decimal("1.5")]


def test_the_fault_of_an_inexact_price_says_what_to_do(rows_of: Reads) -> None:
    (row,) = rows_of('Artikelnummer;Bezeichnung;Preis\nb-1;Bank;"ab 399,-"\n', kind="csv")

    assert isinstance(row, Fault)
    assert "'ab 399,-' is not an exact price: give the exact price, such as 1299.00" in row.reason


def test_a_currency_is_taken_only_from_a_sign_that_means_one() -> None:
    assert [currency(text) for text in ("€ 5", "5 USD", "$5", "5", "free")] == ["EUR", "USD", None, None, None]
    assert [currency(text) for text in ("US$5", "R$ 5", "5 eur", "5 kr", "5 STK")] == ["USD", "BRL", "EUR", None, None]
