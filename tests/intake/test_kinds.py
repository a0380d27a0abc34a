"""Which rows are products, and which are parts of one."""

from collections.abc import Callable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.intake import Accepted, Row, Skipped, read
from blogworker.intake.kinds import TYPES

Reads = Callable[..., list[Row]]

WORDS = ("Product", "Variant", "Media", "Variation", "SKU", "Rule", "variation, virtual", "Simple", "Mugs")


@given(word=st.sampled_from(WORDS) | st.sampled_from(sorted(TYPES)), price=st.sampled_from(["20", ""]))
def test_what_a_shopify_merchant_calls_a_type_decides_nothing(word: str, price: str) -> None:
    rows = [f'a,A,"{word}",true,{price},draft', f'b,B,"{word}",false,5,active', f'c,C,"{word}",true,5,active']
    content = "\n".join(["Handle,Title,Type,Published,Variant Price,Status", *rows]).encode()

    draft, unpublished, shown = read(BytesIO(content), kind="csv", instance_id="shop")

    assert isinstance(draft, Skipped)
    assert isinstance(unpublished, Skipped)
    assert (draft.kind, unpublished.kind) == ("draft", "unpublished")
    assert isinstance(shown, Accepted)
    assert shown.job.source_data["categories"] == [part.strip() for part in word.split(";")]


@pytest.mark.parametrize("header", ["Type", "Typ", "Tipo"])
@pytest.mark.parametrize(
    "types", ["variation", "variation, virtual", "downloadable,Variation", "subscription_variation"]
)
def test_a_variation_of_woocommerce_is_not_a_product(rows_of: Reads, header: str, types: str) -> None:
    variant, product = rows_of(f'ID,{header},Name,Price\n1,variable,Mug,\n2,"{types}",Mug - blue,5\n', kind="csv")

    assert isinstance(variant, Skipped)
    assert variant.kind == "variant"
    assert isinstance(product, Accepted)


@pytest.mark.parametrize("kind", ["SKU", "Rule", "Variation"])
def test_a_sku_or_rule_of_bigcommerce_is_not_a_product(rows_of: Reads, kind: str) -> None:
    rows = rows_of(f"Item Type,Product ID,Product Name,Price\nProduct,1,Mug,4\n{kind},2,[S]Size=L,\n", kind="csv")

    assert [type(row) for row in rows] == [Skipped, Accepted]


@given(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=3, unique=True))
def test_the_type_of_a_shop_system_is_not_a_category(types: list[str]) -> None:
    if any(one.endswith("variation") for one in types):
        types = ["simple"]
    content = f'sku,Type,Product type,Name\n1,"{", ".join(types)}","{",".join(types)}",Mug\n'.encode()

    (row,) = read(BytesIO(content), kind="csv", instance_id="shop")

    assert isinstance(row, Accepted)
    assert "categories" not in row.job.source_data


def test_a_store_view_of_magento_is_not_a_product(rows_of: Reads) -> None:
    rows = rows_of("sku,store_view_code,name,price\nM,,Mug,4\nM,de,Becher,\nJ,,Jug,5\n", kind="csv")

    assert [(row.kind, row.line) for row in rows if isinstance(row, Skipped)] == [("store_view", 3)]
    assert [row.job.source_data["name"] for row in rows if isinstance(row, Accepted)] == ["Mug", "Jug"]


def test_a_row_with_a_parent_and_no_name_is_a_variant(rows_of: Reads) -> None:
    rows = rows_of("sku,parent_id,name,price\nM,,Mug,4\nM-1,M,,4\nJ,M,Jug,5\nJ,M,,6\n", kind="csv")

    assert [(row.kind, row.line) for row in rows if isinstance(row, Skipped)] == [("variant", 3)]
    mug, jug = [row.job.source_data for row in rows if isinstance(row, Accepted)]
    assert (mug["price"], jug["price"], jug["price_max"]) == ("4", "5", "6")
