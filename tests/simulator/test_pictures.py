"""The pictures: files of the requested size and format, different for each prompt."""

import io

import pytest
from PIL import Image

from blogworker.simulator.pictures import FILE_FORMATS, SIZES, PictureRequest, draw
from blogworker.simulator.pictures.motifs import motif_for
from blogworker.simulator.writer.kinds import ANY, kinds


def picture_request(prompt: str, *, seed: int = 1, **given: object) -> PictureRequest:
    return PictureRequest.from_input(
        {"prompt": prompt, "aspect_ratio": "16:9", "output_format": "jpg"} | given, variant=0, seed=seed
    )


@pytest.mark.parametrize("output_format", FILE_FORMATS)
def test_a_picture_is_a_file_of_the_requested_format(output_format: str) -> None:
    with Image.open(io.BytesIO(draw(picture_request("a candle", output_format=output_format)))) as image:
        image.load()

        assert image.format == FILE_FORMATS[output_format]
        assert image.size == (1024, 576)


def test_every_size_has_its_aspect_ratio() -> None:
    for ratio, (width, height) in SIZES.items():
        wide, high = map(int, ratio.split(":"))
        assert width / height == pytest.approx(wide / high, rel=0.01)


def test_a_picture_depends_only_on_prompt_and_seed() -> None:
    prompts = ["a candle (candle)", "a ring (ring)", "a chair", "a monstera", "nothing at all", "a mug, deep blue"]

    files = [draw(picture_request(prompt)) for prompt in prompts]

    assert len(set(files)) == len(prompts)
    assert draw(picture_request(prompts[0])) == files[0]
    assert draw(picture_request(prompts[0], seed=2)) != files[0]


def test_the_word_in_parentheses_selects_the_motif_before_other_words() -> None:
    """The names of products are invented; the word in parentheses says what the product is."""
    assert motif_for("the Lantern Room Candle Holder (mug) by the sofa") is motif_for("a mug")
    assert motif_for("quite abstract") is None


@pytest.mark.parametrize("name", sorted(set(kinds()) - {ANY}))
def test_every_kind_of_product_has_a_motif(name: str) -> None:
    """An article about knives must not have the picture of a bowl."""
    kind = kinds()[name]

    assert motif_for(f"the Harbour ({kind.noun}) on a table") is not None
    assert motif_for(kind.noun) is motif_for(kind.picture_phrase)


def test_only_coffee_and_tea_share_the_motif_of_the_mug() -> None:
    motifs = {name: motif_for(kind.noun) for name, kind in kinds().items() if name not in (ANY, "coffee", "tea")}

    assert len(set(motifs.values())) == len(motifs)
