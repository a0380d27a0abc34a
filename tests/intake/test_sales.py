"""A sale price outside its dates is not the price of the product."""

from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.intake import Accepted, read
from blogworker.intake.products import COLUMNS
from blogworker.intake.sales import BETWEEN, FROM, UNTIL, column
from blogworker.intake.table import spelled

NOON = datetime(2027, 4, 3, 12, tzinfo=UTC)
FORMS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S+00:00", "%m/%d/%y", "%d.%m.%Y", "%m/%d/%y, %I:%M %p")
HEADERS = {
    FROM: ("special_price_from_date", "Date sale price starts", "Sale price start date", "Date de début de promo",
           "Angebotspreis gültig ab", "specialPriceFromDate", "Día en que empieza el precio rebajado"),
    UNTIL: ("special_price_to_date", "Date sale price ends", "Sale price end date", "Date de fin de promo",
            "Angebotspreis gültig bis", "specialPriceToDate", "Día en que termina el precio rebajado"),
    BETWEEN: ("sale_price_effective_date", "Sale period"),
}  # fmt: skip


def price(header: str, cells: str) -> tuple[str, str | None]:
    content = f"sku;Name;Price;Special price;{header}\nMUG;Mug;26.00;19.00;{cells}\n".encode()
    (row,) = read(BytesIO(content), kind="csv", instance_id="shop", now=lambda: NOON)
    assert isinstance(row, Accepted), row
    return row.job.source_data["price"], row.job.source_data.get("compare_at_price")


@pytest.mark.parametrize(("name", "header"), [(name, header) for name, found in HEADERS.items() for header in found])
def test_a_date_of_a_sale_is_found_by_the_words_of_its_header(name: str, header: str) -> None:
    assert column(header) == name


@pytest.mark.parametrize("header", ["Sale price", "Special price", "On sale", "Discount value", "Date created",
                                    "Available from", "Promotion", "Valid from", "Tax class", "Best sale",
                                    "Product description", "Sold to", "news_from_date", "Angebotspreis"])  # fmt: skip
def test_other_headers_are_not_dates_of_a_sale(header: str) -> None:
    assert column(header) is None


def test_no_listed_header_is_a_date_of_a_sale() -> None:
    assert [word for words in COLUMNS.values() for word in words if column(word)] == []
    assert spelled("Sale price") in COLUMNS["sale_price"]


@given(
    st.sampled_from(FORMS),
    st.none() | st.integers(-40, 40).filter(bool),
    st.none() | st.integers(-40, 40).filter(bool),
    st.sampled_from(HEADERS[FROM]),
    st.sampled_from(HEADERS[UNTIL]),
)
def test_a_sale_price_counts_only_between_its_dates(
    form: str, start: int | None, end: int | None, header_from: str, header_until: str
) -> None:
    """A date with two readings may cost a sale price, never make one."""

    def written(days: int | None) -> str:
        return "" if days is None else (NOON + timedelta(days=days)).strftime(form)

    found = price(f"{header_from};{header_until}", f"{written(start)};{written(end)}")

    is_current = (start is None or start < 0) and (end is None or end > 0)
    if not is_current:
        assert found == ("26.00", None)
    elif "/" not in form:
        assert found == ("19.00", "26.00")


@pytest.mark.parametrize(
    ("header", "cells", "is_current"),
    [
        ("special_price_from_date;special_price_to_date", "1/1/24;1/31/24", False),
        ("special_price_from_date;special_price_to_date", "1/1/24;1/31/28", True),
        ("special_price_to_date", "2027-04-03", True),
        ("special_price_to_date", "2027-04-03 11:59:59", False),
        ("special_price_from_date", "0000-00-00 00:00:00", True),
        ("special_price_to_date", "46000", False),
        ("special_price_to_date", "next week", False),
        ("special_price_to_date", "03/04/27", False),
        ("sale_price_effective_date", "2027-04-01T13:00-0800/2027-04-29T15:30-0800", True),
        ("sale_price_effective_date", "2027-03-01T13:00-0800/2027-03-29T15:30-0800", False),
        ("sale_price_effective_date", "2027-04-01", False),
        ("Sale price end date;Date sale price ends", "2027-05-01;2027-01-01", False),
    ],
)  # fmt: skip
def test_a_date_that_is_over_or_unreadable_leaves_the_regular_price(header: str, cells: str, is_current: bool) -> None:
    assert price(header, cells) == (("19.00", "26.00") if is_current else ("26.00", None))
