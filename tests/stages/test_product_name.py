"""The name of a product is found in a text without what a shop adds to it: emoji, sizes, capitals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.defects.claims import about
from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.repeats import named_everywhere, unnamed
from blogworker.post.judging import linked
from blogworker.post.product_name import main_name
from blogworker.post.verdict import mentions_in

URL = "https://shop.example/lantern"
NAMES = ["Bothy Lantern", "Räucherlachs-Brett", "Bougie d\u2019été", "Taza Ñandú", "Кружка Байкал", "南部鉄器"]
EMOJI = ["\U0001f526", "\u2764\ufe0f", "\U0001f468\u200d\U0001f373", "\u2728"]
SUFFIXES = ["", ", 350 ml", " - blue", " | Sale", " (2 pcs)", ": LED", "\u3000/ M"]


def product(name: str) -> PostContext:
    return PostContext({"kind": "product", "name": name}, {}, "")


@given(
    name=st.sampled_from(NAMES),
    emoji=st.sampled_from(EMOJI),
    suffix=st.sampled_from(SUFFIXES),
    first=st.booleans(),
    capitals=st.booleans(),
)
def test_every_check_finds_the_name_that_a_text_uses(
    name: str, emoji: str, suffix: str, first: bool, capitals: bool
) -> None:
    written = f"{emoji} {name}{suffix}" if first else f"{name}{suffix} {emoji}"
    stored = written.upper() if capitals else written
    text = f"The {name} is small. It costs little."

    assert mentions_in(text, {"kind": "product", "name": stored}) == 1
    assert linked(text, name=stored, own_url=URL) == text.replace(name, f"[{name}](<{URL}>)")
    assert unnamed(text, product(stored)) == ""
    assert about(text, product(stored)) == (f"The {name} is small. ", "It costs little.")
    has_case = name.lower() != name.upper()
    assert named_everywhere(f"The {name} is small. " * 12, product(stored)) == (stored if has_case else "")


@pytest.mark.parametrize("name", ["\U0001f526", " \u2728 \u2728 ", "A", "", "A, B", "MUG"])
def test_a_name_always_leaves_something_to_look_for(name: str) -> None:
    assert bool(main_name(name)) == bool(name)


def test_a_name_that_is_an_ordinary_word_may_be_in_every_sentence() -> None:
    assert named_everywhere("A lantern of the shop is small. " * 12, product("lantern of the shop")) == ""
