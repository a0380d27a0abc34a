"""One clean shape for whatever a producer sent."""

import pytest

from blogworker.errors import Rejected
from blogworker.stages import source
from blogworker.stages.product_data import DESCRIPTION_MAX

from .conftest import PRODUCT, claimed

pytestmark = pytest.mark.anyio


async def test_a_product_is_cleaned(work):
    output = await source.run(work)

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

    output = await source.run(claimed(work, source_data=row))

    assert (output["name"], output["description"], output["price"]) == ("Mug", "Blue", "5")
    assert output["image"] == "https://x.example/a.jpg"


async def test_a_keyword_may_be_its_own_id(work):
    """The seed's producers put the phrase into source_id."""
    output = await source.run(claimed(work, source_type="keyword", source_id="best mug", source_data={}))

    assert output["keyword"] == "best mug"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"source_type": "text", "source_data": {"text": " <p></p> "}}, "has no text"),
        ({"source_type": "keyword", "source_id": None, "source_data": {}}, "has no keyword"),
        ({"source_type": "product", "source_id": None, "source_data": {}}, "neither"),
        ({"source_type": "product", "source_data": {}}, "WIX_APP_ID"),
        ({"source_type": "video"}, "none of keyword"),
    ],
)
async def test_a_source_of_no_use_is_told_to_its_producer(work, fields, told):
    with pytest.raises(Rejected, match=told):
        await source.run(claimed(work, **fields))


def test_lengths_are_bounded():
    output = source.normalised("product", None, {**PRODUCT, "description": "word " * 10_000, "tags": ["t"] * 100})

    assert len(output["description"]) <= DESCRIPTION_MAX
    assert output["tags"] == ["t"]
