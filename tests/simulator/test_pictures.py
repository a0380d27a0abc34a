"""The pictures: real files, of the right size and form, that differ."""

import io

import pytest
from PIL import Image

from blogworker.simulator.pictures import FORMS, SIZES, Order, draw
from blogworker.simulator.pictures.motifs import motif_for
from blogworker.simulator.writer.kinds import ANY, kinds


def order(prompt: str, *, seed: int = 1, **given: object) -> Order:
    return Order.from_input(
        {"prompt": prompt, "aspect_ratio": "16:9", "output_format": "jpg"} | given, variant=0, seed=seed
    )


@pytest.mark.parametrize("output_format", FORMS)
def test_a_picture_is_a_file_of_the_form_asked_for(output_format: str) -> None:
    with Image.open(io.BytesIO(draw(order("a candle", output_format=output_format)))) as image:
        image.load()

        assert image.format == FORMS[output_format]
        assert image.size == (1024, 576)


def test_every_ratio_has_its_own_shape() -> None:
    for ratio, (width, height) in SIZES.items():
        wide, high = map(int, ratio.split(":"))
        assert width / height == pytest.approx(wide / high, rel=0.01)


def test_a_picture_is_the_same_each_time_and_another_for_each_prompt() -> None:
    prompts = ["a candle (candle)", "a ring (ring)", "a chair", "a monstera", "nothing at all", "a mug, deep blue"]

    files = [draw(order(prompt)) for prompt in prompts]

    assert len(set(files)) == len(prompts)
    assert draw(order(prompts[0])) == files[0]
    assert draw(order(prompts[0], seed=2)) != files[0]


def test_the_kind_of_thing_decides_before_its_name() -> None:
    """Shops give fanciful names; the word in brackets says what it is."""
    assert motif_for("the Lantern Room Candle Holder (mug) by the sofa") is motif_for("a mug")
    assert motif_for("quite abstract") is None


@pytest.mark.parametrize("name", sorted(set(kinds()) - {ANY}))
def test_every_kind_that_is_written_about_has_a_picture(name: str) -> None:
    """A reader would notice a bowl above an article about knives at once."""
    kind = kinds()[name]

    assert motif_for(f"the Harbour ({kind.noun}) on a table") is not None
    assert motif_for(kind.noun) is motif_for(kind.shown)


def test_only_what_is_drunk_and_its_mug_share_a_picture() -> None:
    motifs = {name: motif_for(kind.noun) for name, kind in kinds().items() if name not in (ANY, "coffee", "tea")}

    assert len(set(motifs.values())) == len(motifs)
