"""A former price is stated for a product only if all variants at its lowest price have it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.intake import Accepted, Row
from blogworker.intake.offers import Offers

Reads = Callable[..., list[Row]]

HEADER = "Handle,Title,Option1 Name,Option1 Value,Variant Price,Variant Compare At Price\n"


def test_a_former_price_of_some_variants_is_not_that_of_the_product(rows_of: Reads) -> None:
    (row,) = rows_of(f"{HEADER}belt,Belt,Size,32,72.00,90.00\nbelt,,,34,72.00,\nbelt,,,36,72.00,\n", kind="csv")

    assert isinstance(row, Accepted)
    found = row.job.source_data
    assert "compare_at_price" not in found
    assert [variant.get("compare_at_price") for variant in found["variants"]] == ["90.00", None, None]


@pytest.mark.parametrize(
    ("rows", "before"),
    [
        (["32,72,90", "34,72,90"], "90"),
        (["32,72,90", "34,72,95"], None),
        (["32,72,75", "34,80,"], "75"),  # only the lowest price is compared with it
        (["32,72,", "34,80,90"], None),
    ],
)
def test_a_product_has_the_former_price_that_its_cheapest_variants_share(
    rows_of: Reads, rows: list[str], before: str | None
) -> None:
    (made,) = rows_of(HEADER + "".join(f"belt,Belt,Size,{row}\n" for row in rows), kind="csv")

    assert isinstance(made, Accepted)
    assert made.job.source_data.get("compare_at_price") == before


PRICES = st.tuples(st.sampled_from(["72.00", "80.00"]), st.sampled_from(["", "75.00", "90.00", "95.00"]))


@given(st.lists(PRICES, min_size=1, max_size=30))
def test_no_post_states_a_former_price_that_a_variant_does_not_have(rows: list[tuple[str, str]]) -> None:
    offers = Offers()
    for n, (price, before) in enumerate(rows):
        cells = {"option_value_1": f"v{n}", "price": price, "compare_at_price": before}
        offers.add(cells, None, of_product=False)

    low = min(price for price, _ in rows)
    of_lowest = {before if before > price else "" for price, before in rows if price == low}
    assert offers.compare_at == (of_lowest.pop() if len(of_lowest) == 1 else "")
