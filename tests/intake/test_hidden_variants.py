"""Variants that shoppers cannot see: their prices, pictures and options are not told."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.errors import Fault
from blogworker.intake import Accepted, Row, Skipped, read

HEADER = "handle,fieldType,name,visible,price,productOptionName1,productOptionChoices1,productOptionName2,"
HEADER += "productOptionChoices2\n"


def rows_of(content: str, *, include_hidden: bool = False) -> list[Row]:
    return list(read(BytesIO(content.encode()), kind="csv", instance_id="shop", include_hidden=include_hidden))


VARIANTS = st.lists(
    st.tuples(st.sampled_from("SML"), st.sampled_from(["red", "blue"]), st.booleans(), st.integers(1, 99)),
    min_size=1,
    max_size=6,
    unique_by=lambda one: one[:2],
)


@given(VARIANTS, st.booleans())
def test_a_hidden_variant_of_wix_is_left_out_with_its_options(
    variants: list[tuple[str, str, bool, int]], include_hidden: bool
) -> None:
    product = "m,PRODUCT,Mug,TRUE,,Size,S;M;L,Colour,red;blue\n"
    rows = "".join(
        f"m,VARIANT,,{str(is_shown).upper()},{price},,{size},,{colour}\n" for size, colour, is_shown, price in variants
    )

    (row,) = rows_of(HEADER + product + rows, include_hidden=include_hidden)

    assert isinstance(row, Accepted)
    found = row.job.source_data
    shown = [one for one in variants if one[2] or include_hidden]
    prices = [price for *_, price in shown]
    assert found.get("price") == (str(min(prices)) if prices else None)
    assert found.get("price_max", found.get("price")) == (str(max(prices)) if prices else None)
    options = {one["name"]: set(one["values"]) for one in found.get("options", [])}
    for place, name in enumerate(("Size", "Colour")):
        gone = {one[place] for one in variants} - {one[place] for one in shown}
        assert options.get(name, set()) == ({"S", "M", "L"}, {"red", "blue"})[place] - gone


def test_a_variant_whose_state_is_unknown_is_a_fault() -> None:
    (row,) = rows_of(f"{HEADER}m,PRODUCT,Mug,TRUE,26,,,,\nm,VARIANT,,kesken,1,,,,\n")

    assert isinstance(row, Fault)
    assert (row.line, "does not say whether" in row.reason) == (3, True)


@pytest.mark.parametrize(
    ("states", "price"), [(["active", "archived"], "5"), (["archived", "active"], "6"), (["archived", "draft"], None)]
)
def test_a_group_shows_its_visible_variants_and_is_skipped_without_any(states: list[str], price: str | None) -> None:
    rows = "".join(f"{n},Mug,g,{n},{state}\n" for n, state in enumerate(states, 5))

    (row,) = rows_of(f"id,title,item_group_id,price,status\n{rows}")

    assert (row.job.source_data.get("price") if isinstance(row, Accepted) else None) == price
    assert isinstance(row, Skipped) == (price is None)
