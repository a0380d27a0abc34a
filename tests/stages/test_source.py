"""One clean shape for whatever a producer sent."""

import pytest

from blogworker.errors import Rejected
from blogworker.stages import source
from blogworker.stages.product_data import DESCRIPTION_MAX
from blogworker.stages.source import normalised

from .conftest import PRODUCT, claimed

pytestmark = pytest.mark.anyio


async def test_a_product_is_cleaned(work):
    output = (await source.run(work)).dump()

    assert output["kind"] == "product"
    assert output["name"] == "Low Water Mug"
    assert output["description"] == "A straight-sided mug in speckled stoneware."
    assert output["tags"] == ["mug", "stoneware"]
    assert output["site"] == {"language": "en", "tone": "warm"}


async def test_the_columns_of_a_shop_export_are_understood(work):
    row = {
        "Handle": "mug",
        "Title": "Mug",
        "Body (HTML)": "<p>Blue</p>",
        "Variant Price": "5",
        "Image Src": "https://x.example/a.jpg",
    }

    output = (await source.run(claimed(work, source_data=row))).dump()

    assert (output["name"], output["description"], output["price"]) == ("Mug", "Blue", "5")
    assert output["image"] == "https://x.example/a.jpg"


@pytest.mark.parametrize(
    ("data", "currency"),
    [
        ({"price": "189.00"}, "EUR"),
        ({"price": "189.00", "variants": [{"title": "S", "price": 189}, {"title": "L", "price": 199}]}, "EUR"),
        ({"price": "189.00", "currency": "CHF"}, "CHF"),
        ({"price": {"amount": "189.00", "currencyCode": "CHF"}}, "CHF"),
        ({"price": 189, "priceCurrency": "CHF"}, "CHF"),
        ({"variants": [{"title": "S", "price": {"amount": "189.00", "currencyCode": "CHF"}}]}, "CHF"),
        ({"price": "$189.00"}, ""),
        ({"price": "189.00", "variants": [{"title": "S", "price": "$189"}]}, ""),
        ({"price": "on request"}, ""),
        ({}, ""),
    ],
)
async def test_the_currency_of_a_site_is_that_of_products_that_state_none(work, data, currency):
    site = {"currency": "EUR"}

    output = (await source.run(claimed(work, source_data={"name": "Mug", **data}, site=site))).dump()

    assert (output["currency"], output["site"]) == (currency, {})


async def test_a_wrong_currency_written_with_sql_is_not_used(work):
    for wrong in ("Euro", 978, None):
        work = claimed(work, source_data={"name": "Mug", "price": "5"}, site={"currency": wrong})
        assert (await source.run(work)).dump()["currency"] == ""


async def test_a_post_that_is_not_about_a_product_has_no_currency(work):
    work = claimed(work, source_type="keyword", source_data={"keyword": "mugs", "price": "5"}, site={"currency": "EUR"})

    assert (await source.run(work)).dump()["currency"] == ""


async def test_a_keyword_can_be_given_as_source_id(work):
    """The seed's producers put the phrase into source_id."""
    output = (await source.run(claimed(work, source_type="keyword", source_id="best mug", source_data={}))).dump()

    assert output["keyword"] == "best mug"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"source_type": "text", "source_data": {"text": " <p></p> "}}, "has no text"),
        ({"source_type": "keyword", "source_id": None, "source_data": {}}, "has no keyword"),
        ({"source_type": "product", "source_id": None, "source_data": {}}, "neither"),
        ({"source_type": "product", "source_data": {}}, "WIX_APP_ID"),
        ({"source_type": "video"}, "is not keyword, product or text"),
    ],
)
async def test_an_unusable_source_is_rejected_with_a_message_for_its_producer(work, fields, expected):
    with pytest.raises(Rejected, match=expected):
        await source.run(claimed(work, **fields))


def test_lengths_are_bounded():
    output = source.normalised("product", None, {**PRODUCT, "description": "word " * 10_000, "tags": ["t"] * 100})

    assert len(output["description"]) <= DESCRIPTION_MAX
    assert output["tags"] == ["t"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("A mug. {{ product.metafields.care }} Holds 320 ml.", "A mug. Holds 320 ml."),
        ("Becher aus Ton {{ 'size' | t }}. Fasst 0,3 l.", "Fasst 0,3 l."),
        ("{% if sale %}Une tasse en grès.{% endif %}", "Une tasse en grès."),
        ("[insert care notes] A mug.", "A mug."),
        ("Una taza de %vendor%. De gres.", "De gres."),
        ("[vc_row width='1/2']A mug.[/vc_row]", "A mug."),
        ("A mug from {shop_name}. Glazed.", "Glazed."),
        ("A mug {{", "A mug"),
        ("Lorem ipsum dolor sit amet, consectetur adipiscing elit. A mug.", "A mug."),
        ("100 % cotton, 50% off {2 pieces} [large]", "100 % cotton, 50% off {2 pieces} [large]"),
    ],
)
def test_the_tags_of_a_shops_templates_do_not_reach_the_model(written, kept):
    """A writer that is true to such a source repeats them, and its post is refused after a paid repair."""
    made = normalised("product", "p1", {"name": "Mug {{ product.id }}", "description": f"<p>{written}</p>"})

    assert made["name"] == "Mug"
    assert made["description"] == kept
