"""Facts are told as a person would write them, and by the column that states them."""

from collections.abc import Callable
from decimal import Decimal
from html import escape
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.intake import Accepted, Row, read
from blogworker.intake.offers import written

Reads = Callable[..., list[Row]]


def one(rows: list[Row]) -> dict[str, Any]:
    (row,) = rows
    assert isinstance(row, Accepted), rows
    return row.job.source_data


@pytest.mark.parametrize(
    ("cell", "price"),
    [("26.0000", "26.00"), ("26.5000", "26.50"), ("26.00", "26.00"), ("26", "26"), ("26.5", "26.50"), ("26.0", "26"),
     ("0.12500", "0.125"), ("1,299.0000", "1299.00"), ("26.990000000", "26.99")],
)  # fmt: skip
def test_a_price_has_no_zeros_beyond_two_decimals(rows_of: Reads, cell: str, price: str) -> None:
    """Magento writes four decimals."""
    assert one(rows_of(f'Handle,Title,Price\nmug,Mug,"{cell}"\n', kind="csv"))["price"] == price


@given(st.decimals(0, 10**6, places=2), st.integers(0, 6))
def test_a_price_is_the_same_with_any_number_of_zeros(price: Decimal, zeros: int) -> None:
    assert written(Decimal(f"{price}{'0' * zeros}")) == written(price)
    assert Decimal(written(price)) == price


@pytest.mark.parametrize(
    ("prices", "low", "high"),
    [(["0"], None, None), (["0.00", "0.00"], None, None), (["0", "5"], "0", "5"), (["5", "6"], "5", "6")],
)
def test_a_price_of_zero_without_another_is_unknown(
    rows_of: Reads, prices: list[str], low: str | None, high: str | None
) -> None:
    rows = "".join(f"mug,Mug,Size,{n},{price},9,{n}\n" for n, price in enumerate(prices))
    header = "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant Compare At Price,Variant Inventory Qty\n"

    found = one(rows_of(header + rows, kind="csv"))

    assert (found.get("price"), found.get("price_max")) == (low, high)
    assert low is not None or "compare_at_price" not in found
    assert all(("price" in variant) == (low is not None) for variant in found.get("variants", []))


TEXTS = st.text("abc&<>\"' é", min_size=1, max_size=12).map(lambda text: f"x{' '.join(text.split())}y")


@given(TEXTS)
def test_references_are_the_characters_that_they_stand_for(text: str) -> None:
    cell = f'"{escape(text)}"'
    header = "Handle,Title,Vendor,Category,Tags,Option1 Name,Option1 Value,Material,Price,Image Src"
    content = f"{header}\nmug,Mug,{','.join([cell] * 6)},26&nbsp;&euro;,https://a/?b&amp;c\n"

    found = one(list(read(BytesIO(content.encode()), kind="csv", instance_id="shop")))

    assert found["vendor"] == text
    assert found["categories"] == found["tags"] == [text]
    assert found["options"] == [{"name": text, "values": [text]}]
    assert found["details"] == [{"name": "material", "value": text}]
    assert (found["price"], found["currency"], found["image"]) == ("26", "EUR", "https://a/?b&c")


@pytest.mark.parametrize(
    ("header", "cells", "price", "before"),
    [
        ("Regulärer Preis;Angebotspreis", "26;19", "19", "26"),
        ("Tarif régulier;Tarif promo", "26;19", "19", "26"),
        ("Precio normal;Precio rebajado", "26;", "26", None),
        ("Prezzo di listino;Prezzo in offerta", "26;19", "19", "26"),
        ("Prezzo di listino", "26", "26", None),
        ("Prezzo;Prezzo di listino", "19;26", "19", "26"),
        ("Reguliere prijs;Actieprijs", "26;19", "19", "26"),
        ("Preço normal;Preço promocional", "26;19", "19", "26"),
        ("Price (USD)", "26", "26", None),
        ("Variant Price [EUR];Compare at price in EUR", "26;30", "26", "30"),
        ("Selling price", "26", "26", None),
        ("Retail price", "26", "26", None),
        ("Price (tax incl.)", "26", "26", None),
        ("Price;Retail price", ";26", "26", None),
    ],
)
def test_the_price_is_found_in_each_language(
    rows_of: Reads, header: str, cells: str, price: str, before: str | None
) -> None:
    found = one(rows_of(f"SKU;Name;{header}\nmug;Mug;{cells}\n", kind="csv"))

    assert (found["price"], found.get("compare_at_price")) == (price, before)


@pytest.mark.parametrize("header", ["Price (per)", "Price ABC", "Price / USD rate", "USD", "Shipping (EUR)"])
def test_another_header_is_not_a_price(rows_of: Reads, header: str) -> None:
    assert "price" not in one(rows_of(f"SKU;Name;{header}\nmug;Mug;26\n", kind="csv"))


def test_the_first_column_with_a_value_is_used(rows_of: Reads) -> None:
    header = "Handle,SKU,Title,Name,Description,Short description,Price,Regular price"

    found = one(rows_of(f"{header}\nmug,S,,Mug,,Of clay.,,5\nmug,,,,,,,6\n", kind="csv"))

    assert (found["name"], found["description"], found["price"], found["price_max"]) == ("Mug", "Of clay.", "5", "6")


def test_an_identifier_is_in_one_column(rows_of: Reads) -> None:
    """A SKU in a row without a handle is that of a variant."""
    rows = rows_of("Handle,SKU,Title,Price\nmug,S1,Mug,5\n,S2,,6\n", kind="csv")

    assert not any(isinstance(row, Accepted) for row in rows)
