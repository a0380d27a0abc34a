"""A long title is cut between its parts, and what stays names the product if the title does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.marks import GOOD_TITLE, LEAST_TITLE, shorter_title
from blogworker.post.defects.repeats import is_named

BOARD = "Schneidebrett Stirnholz Räuchereiche"
NO_PART = "Was in der Hütte bleibt, wenn alle gegangen sind und niemand mehr liest: Mug"
LANTERN = "BOTHY LANTERN \U0001f526, 350 lm"
PARTS = [
    "Ein Geschenk, das benutzt wird",
    "a light for the hut, the tent and the long way home",
    "Ce qui reste quand tout le reste est parti",
    "die Bothy Lantern für lange Abende",
    "Bothy Lantern",
    "lo que conviene saber",
]


def about(name: str) -> PostContext:
    return PostContext({"kind": "product", "name": name}, {}, "")


@pytest.mark.parametrize(
    ("title", "name", "shorter"),
    [
        (f"Ein Geschenk, das benutzt wird: {BOARD}", BOARD, BOARD),
        (f"{BOARD}: ein Geschenk, das jeden Tag benutzt wird", BOARD, BOARD),
        (
            "Ein Geschenk, das benutzt wird: Schneidebretter aus Stirnholz und Räuchereiche",
            f"{BOARD}, 40 cm",
            "Schneidebretter aus Stirnholz und Räuchereiche",
        ),
        (f"Un regalo que se usa todos los días - la {BOARD}", BOARD, f"La {BOARD}"),
        (
            "Light that lasts the whole night? Bothy Lantern and the long way home",
            LANTERN,
            "Bothy Lantern and the long way home",
        ),
        # No part of good length has the name: the title stays, and is sent back if it is much too long.
        (NO_PART, "Mug", NO_PART),
        (
            "Ein Geschenk, das benutzt wird: was ein Brett aus Holz wirklich gut kann",
            BOARD,
            "Ein Geschenk, das benutzt wird",
        ),
    ],
)
def test_a_shorter_title_still_names_the_product(title: str, name: str, shorter: str) -> None:
    assert shorter_title(title, about(name)) == shorter


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5), st.sampled_from([": ", " - ", ", ", "? ", " | "]))
def test_no_cut_loses_the_name(parts: list[str], between: str) -> None:
    title = between.join(parts)

    shorter = shorter_title(title, about(LANTERN))

    assert is_named(shorter, about(LANTERN)) == is_named(title, about(LANTERN))
    assert shorter.casefold() in title.casefold()
    assert shorter == title or LEAST_TITLE - 3 <= len(shorter) <= GOOD_TITLE
