"""Feeds of Google and Facebook: a row for each variant, with the same `item_group_id`."""

from io import BytesIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault
from blogworker.intake import Accepted, read

HEADER = "id\ttitle\tdescription\tlink\titem_group_id\tcolor\tprice\n"
COLOURS = ("red", "blue", "green")
GROUPS = st.lists(st.integers(1, 3), min_size=1, max_size=4)  # variants of each product; one: without a group


def feed(sizes: list[int]) -> str:
    rows = ""
    for product, size in enumerate(sizes):
        for colour, price in zip(COLOURS[:size], (20, 25, 30), strict=False):
            group = f"g{product}" if size > 1 else ""
            page = f"https://shop.test/p{product}?variant={colour}"
            rows += (
                f"{product}-{colour}\tMug {product} {colour}\tA {colour} mug.\t{page}\t{group}\t{colour}\t{price} EUR\n"
            )
    return HEADER + rows


def accepted(content: str) -> dict[str, dict[str, Any]]:
    rows = list(read(BytesIO(content.encode()), kind="csv", instance_id="shop"))
    assert all(isinstance(row, Accepted) for row in rows), rows
    return {str(row.job.source_id): row.job.source_data for row in rows if isinstance(row, Accepted)}


@given(GROUPS)
def test_the_rows_of_a_group_are_variants_of_one_product(sizes: list[int]) -> None:
    found = accepted(feed(sizes))

    assert list(found) == [f"g{n}" if size > 1 else f"{n}-red" for n, size in enumerate(sizes)]
    for size, data in zip(sizes, found.values(), strict=True):
        assert (data["price"], data.get("price_max")) == ("20", {1: None, 2: "25", 3: "30"}[size])
        assert data.get("options", []) == ([{"name": "colour", "values": list(COLOURS[:size])}] if size > 1 else [])


def test_a_group_that_goes_on_further_down_is_a_fault() -> None:
    lines = feed([2, 2]).splitlines(keepends=True)
    content = "".join([lines[0], lines[1], lines[3], lines[2], lines[4]])

    rows = list(read(BytesIO(content.encode()), kind="csv", instance_id="shop"))

    assert any(isinstance(row, Fault) and "keep its rows together" in row.reason for row in rows)
