"""A shop's product has the same facts in the old catalog and in the new one."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.product import Detail, Image, Option, Variant
from blogworker.providers.wix.catalogs import of_v1, of_v3

from .test_odd_answers import V1, V3

NEW, OLD = V3["product"], V1["product"]


def changed(product: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {**deepcopy(product), **values}


def test_the_new_catalog_has_price_range_variants_stock_and_weight() -> None:
    found = of_v3(NEW)

    assert (found.price, found.price_max, found.compare_at_price, found.currency) == ("14.95", "19", "20", "EUR")
    assert found.description == "x\nCare: By hand"
    assert found.options == (Option("Size", ("S", "L")),)
    small = Variant(("S",), "14.95", "20", "out of stock", sku="1", weight="0.4 kg")
    assert found.variants == (small, Variant(("L",), "19"))
    assert (found.availability, found.sku, found.vendor, found.handle) == ("in stock", "1", "B", "mug")
    assert (found.categories, found.details) == (("Cups",), (Detail("weight", "0.4 to 0.6 kg"),))
    assert found.images == (Image("https://x.example/m.jpg", "A mug"), Image("https://x.example/n.jpg"))


def test_the_old_catalog_has_the_same() -> None:
    dearer = {"choices": {"Size": "Large"}, "stock": {"inStock": True},
              "variant": {"priceData": {"price": 9, "discountedPrice": 9}}}  # fmt: skip
    found = of_v1(changed(OLD, variants=[*OLD["variants"], dearer]))

    assert (found.price, found.price_max, found.compare_at_price, found.currency) == ("4.5", "9", "5", "EUR")
    assert found.description == "x\nCare: By hand"
    assert found.options == (Option("Size", ("Small",)),)
    small = Variant(("Small",), "4.5", "5", "out of stock", sku="8")
    assert found.variants == (small, Variant(("Large",), "9", availability="in stock"))
    assert (found.availability, found.sku, found.vendor, found.handle) == ("in stock", "7", "B", "mug")
    assert found.images == (Image("https://x.example/m.jpg", "A mug"), Image("https://x.example/n.jpg"))


@pytest.mark.parametrize(
    ("product", "told"),
    [
        (of_v3(changed(NEW, compareAtPriceRange={"minValue": {"amount": "0"}}, variantsInfo=0)), ("14.95", "19", "")),
        (of_v3(changed(NEW, actualPriceRange={"minValue": {"amount": "5"}}, variantsInfo=None)), ("5", "", "20")),
        (of_v3(changed(NEW, actualPriceRange=None)), ("", "", "")),
        (of_v1(changed(OLD, priceData={"price": 5}, variants=None)), ("5", "9", "")),
        (of_v1(changed(OLD, priceData={"price": 5, "discountedPrice": 5}, priceRange=None)), ("4.5", "", "5")),
        (of_v1(changed(OLD, priceData={"price": 20, "discountedPrice": 15}, variants=[])), ("15", "", "20")),
        (of_v1(changed(OLD, priceData=None, variants=None, priceRange=None)), ("", "", "")),
    ],
)  # fmt: skip
def test_a_price_is_a_range_or_reduced_only_where_the_shop_says_so(product: Any, told: tuple[str, str, str]) -> None:
    assert (product.price, product.price_max, product.compare_at_price) == told


@pytest.mark.parametrize(("before_l", "told"), [("20", "20"), ("18", ""), (None, "")])
def test_a_former_price_of_one_variant_is_not_that_of_the_product(before_l: str | None, told: str) -> None:
    product = deepcopy(NEW)
    product["actualPriceRange"] = {"minValue": {"amount": "14.95"}, "maxValue": {"amount": "14.95"}}
    large = product["variantsInfo"]["variants"][1]["price"]
    large["actualPrice"] = {"amount": "14.95"}
    large["compareAtPrice"] = {"amount": before_l}

    found = of_v3(product)

    assert (found.price, found.price_max, found.compare_at_price) == ("14.95", "", told)
    assert [one.compare_at_price for one in found.variants] == (["20", before_l or ""] if told != "20" else ["20"] * 2)


def test_hidden_variants_and_choices_are_not_for_sale() -> None:
    hidden = deepcopy(NEW)
    hidden["variantsInfo"]["variants"][0]["visible"] = False
    hidden["options"][0]["choicesSettings"]["choices"][0]["visible"] = False

    found = of_v3(hidden)

    assert (found.options, found.variants) == ((Option("Size", ("L",)),), ())


ODD = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.none(), max_size=2)


@given(st.sampled_from([(of_v1, OLD), (of_v3, NEW)]), st.data())
def test_any_field_may_be_absent_or_odd(catalog: Any, data: st.DataObject) -> None:
    """Each place of the answer in turn, at any depth."""
    read, product = catalog
    odd = deepcopy(product)
    place: Any = odd
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(ODD)
            break
        place = place[key]

    found = read(odd)

    assert all(isinstance(value, str | tuple) for value in (found.name, found.price, found.variants, found.images))
    assert found.as_data().keys() <= read(product).as_data().keys() | {"price_max", "compare_at_price", "variants"}
