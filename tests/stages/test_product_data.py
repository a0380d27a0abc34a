"""One product record from any source_data: ours is unchanged, other formats are understood, nothing raises."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.product import Detail, Image, Option, Product, Variant, former_price
from blogworker.stages.material import material
from blogworker.stages.product_data import read_product
from blogworker.stages.product_facts import facts
from blogworker.stages.source import MATERIAL_MAX, normalised

TEXT = st.text("abcdeäß漢 ", min_size=1, max_size=30).map(lambda text: " ".join(text.split())).filter(bool)
AMOUNT = st.decimals(1, 999, places=2).map(str)
STOCK: st.SearchStrategy[Any] = st.sampled_from(["in stock", "out of stock", ""])


@st.composite
def products(draw: st.DrawFn) -> Product:
    low, high = sorted(draw(st.lists(st.decimals(5, 90, places=2), min_size=2, max_size=2, unique=True)))
    urls = st.integers(0, 99).map("https://shop.example/{}.jpg".format)
    options = st.builds(Option, TEXT, st.lists(TEXT, min_size=1, max_size=4, unique=True).map(tuple))
    variants = st.builds(
        Variant,
        choices=st.lists(TEXT, min_size=1, max_size=3, unique=True).map(tuple),
        price=st.sampled_from([str(low), str(high)]),
        compare_at_price=st.sampled_from(["", "91.00"]),
        availability=STOCK,
        sku=TEXT,
        weight=st.sampled_from(["", "1.2 kg"]),
    )
    made = draw(
        st.builds(
            Product,
            name=TEXT,
            description=st.lists(TEXT, max_size=4).map("\n".join),
            price=st.just(str(low)),
            price_max=st.just(str(high)),
            compare_at_price=st.sampled_from(["", "91.00"]),
            currency=st.sampled_from(["", "EUR"]),
            availability=st.sampled_from(["in stock", "out of stock"]),
            options=st.lists(options, max_size=3).map(tuple),
            variants=st.lists(variants, max_size=4).map(tuple),
            sku=TEXT,
            vendor=TEXT,
            categories=st.lists(TEXT, max_size=3, unique=True).map(tuple),
            tags=st.lists(TEXT, max_size=3, unique=True).map(tuple),
            details=st.lists(st.builds(Detail, TEXT, TEXT), max_size=3, unique=True).map(tuple),
            images=st.lists(st.builds(Image, urls, TEXT), max_size=3, unique_by=lambda image: image.url).map(tuple),
            handle=TEXT,
            url=st.just("https://shop.example/p"),
        )
    )
    return replace(made, compare_at_price=former_price(made.variants, low=made.price, stated=made.compare_at_price))


@settings(max_examples=40)
@given(products())
def test_a_product_comes_back_whole(product: Product) -> None:
    assert read_product(json.loads(json.dumps(product.as_data()))) == product


JSON = st.recursive(
    st.text(max_size=20) | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "value", "url", "x"]), inner),
    max_leaves=6,
)
WORDS = st.sampled_from(
    ["name", "price", "price_max", "compare_at_price", "options", "variants", "details", "images", "image", "tags",
     "categories", "availability", "weight", "weight_unit", "description", "currency"]
)  # fmt: skip


@settings(max_examples=50)
@given(st.dictionaries(WORDS, JSON))
def test_any_data_can_be_read(data: dict[str, Any]) -> None:
    shown = json.dumps(facts(read_product(data)))

    assert "{" not in shown[1:] or "{" in json.dumps(data)[1:]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"price": 12.0, "price_max": 22}, {"price": "12 to 22"}),
        ({"price": "22.00", "price_max": "12.00"}, {"price": "12.00 to 22.00"}),
        ({"price": "12", "price_max": "12.00"}, {"price": "12"}),
        ({"Variant Price": "15", "Variant Compare At Price": "20"},
         {"price": "15", "compare_at_price": "20", "discount": "25%"}),
        ({"price": "15", "compare_at_price": "0.00"}, {"price": "15"}),
        ({"price": 5, "price_max": 9, "compare_at_price": 6}, {"price": "5 to 9"}),
        ({"price": "on request"}, {"price": "on request"}),
        ({"price": {"amount": "9.50", "currencyCode": "EUR"}}, {"price": "9.50", "currency": "EUR"}),
        ({"availability": "https://schema.org/OutOfStock"}, {"availability": "out of stock"}),
        ({"in_stock": True}, {"availability": "in stock"}),
        ({"weight": 2, "weight_unit": "kg"}, {"details": ["weight: 2 kg"]}),
        ({"weight": "2"}, {}),
        ({"specs": {"Material": "Oak", "Seats": 4}}, {"details": ["Material: Oak", "Seats: 4"]}),
        ({"options": {"Size": ["S", "L"]}}, {"options": ["Size: S, L"]}),
        ({"images": [{"src": "https://x.example/a.jpg", "alt": "A mug"}]}, {"pictures": ["A mug"]}),
        ({"product_type": "Cups", "labels": "a; b"}, {"product_type": "Cups", "tags": ["a", "b"]}),
        (
            {"variants": [{"title": "S / Red", "price": "12.00", "available": False},
                          {"option1": "L", "option2": "Blue", "price": "22.00", "compare_at_price": "30.00"}]},
            {"price": "12.00 to 22.00", "variants": ["S / Red: 12.00, out of stock", "L / Blue: 22.00, before 30.00"]},
        ),
        (
            {"price": 72, "compare_at_price": 90, "variants": [
                {"title": "32", "price": 72, "compare_at_price": 90}, {"title": "34", "price": 72}]},
            {"price": "72", "variants": ["32: 72, before 90", "34: 72"]},
        ),
        (
            {"price": 72, "compare_at_price": 90, "variants": [
                {"title": "32", "price": "72.00", "compare_at_price": "90.00"}, {"title": "34"}]},
            {"price": "72", "variants": ["32: 72.00, before 90.00", "34"]},
        ),
        (
            {"variants": [{"title": size, "price": 72, "compare_at_price": 90} for size in ("32", "34")]},
            {"price": "72", "compare_at_price": "90", "discount": "20%",
             "variants": ["32: 72, before 90", "34: 72, before 90"]},
        ),
        (
            {"price": 72, "compare_at_price": 90, "variants": [{"title": "32"}, {"title": "34", "price": 72}]},
            {"price": "72", "compare_at_price": "90", "discount": "20%", "variants": ["32", "34: 72"]},
        ),
        ({"description": "<table><tr><td>Size</td><td>M</td></tr></table>one<br>two"},
         {"description": "Size: M\none\ntwo"}),
    ],
)  # fmt: skip
def test_field_names_of_other_systems_are_understood(data: dict[str, Any], expected: dict[str, Any]) -> None:
    found = material(normalised("product", None, {"name": "Mug", **data}))

    assert found == {"kind": "product", "name": "Mug", **expected}


@pytest.mark.parametrize("sign", ["x", '"'])
def test_everything_that_a_model_reads_is_bounded(sign: str) -> None:
    """Whatever a shop has, a post costs no more than planned."""
    many = [f"{n} {f'value{sign} ' * 40}" for n in range(200)]
    data: dict[str, Any] = {
        "name": "Mug " * 200,
        "description": "<p>A word. </p>" * 2_500,
        "options": [{"name": "Size " * 40, "values": many}] * 20,
        "variants": [
            {"choices": many, "price": str(n + 1), "sku": "s" * 300, "weight": "heavy " * 90} for n in range(99)
        ],
        "details": dict.fromkeys(many, "told " * 90),
        "images": [{"url": f"https://x.example/{n}.jpg", "alt": "alt " * 99} for n in range(50)],
        "tags": many,
        "categories": many,
        "text": "Notes. " * 2_500,
    }

    found = material(normalised("product", None, {**data, "keyword": sign * 999}))

    assert len(json.dumps(found, ensure_ascii=False)) <= MATERIAL_MAX
    assert found["price"] == "1 to 99"


def test_the_notes_of_an_owner_keep_their_lines_and_appear_once() -> None:
    found = material(normalised("text", None, {"description": "<ul><li>one</li><li>two</li></ul>"}))

    assert found == {"kind": "text", "text": "one\ntwo"}
