"""How numbers are read, and what counts as a repetition, as a mention of the product, and as a broken encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.defects.claims import count_unknown, measure_unknown, numbers_in, price_unknown
from blogworker.post.defects.glyphs import decoded_again
from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.repeats import once, unnamed

STOOL = PostContext({"kind": "product", "name": "Kilbrack Oak Stool"}, {}, "")
SECTION = "## What the shop states\n\n> A shirt for hot days.\n\n| Aria | Shirt |\n| --- | --- |\n| Price | 28 € |"
PARAGRAPH = "Wash it by hand in cold water, and dry it flat on a towel in the shade."


@given(
    whole=st.integers(0, 99_999_999),
    cents=st.none() | st.integers(0, 99),
    style=st.sampled_from([",.", ".,", "'.", "\u00a0,", "."]),
)
def test_a_number_is_read_in_every_style_of_writing_it(whole: int, cents: int | None, style: str) -> None:
    group, decimal = (style[:-1], style[-1])
    written = f"{whole:,}".replace(",", group) + ("" if cents is None else f"{decimal}{cents:02}")

    assert float(f"{whole}.{cents or 0:02}") in numbers_in(written)


@given(whole=st.integers(0, 9_999), part=st.integers(0, 99), sign=st.sampled_from(".,"))
def test_a_decimal_sign_is_no_group_sign(whole: int, part: int, sign: str) -> None:
    """A belt of 3,5 cm is no source of a discount of 35 %."""
    assert numbers_in(f"{whole}{sign}{part:02}") == {float(f"{whole}.{part:02}")}


@pytest.mark.parametrize(("text", "numbers"), [("1,50,000", {150_000.0}), ("10,20,30", {10.0, 20.0, 30.0})])
def test_indian_groups_and_lists_are_read(text: str, numbers: set[float]) -> None:
    assert numbers_in(text) == numbers


def test_a_repeated_section_is_removed_however_short_its_blocks_are() -> None:
    text = f"{SECTION}\n\n{PARAGRAPH}"

    assert once(f"{text}\n\n{SECTION}", STOOL) == text


@pytest.mark.parametrize("short", ["Yes.", "> A shirt for hot days.", "- linen\n- cotton"])
def test_a_short_block_may_stand_below_two_headings(short: str) -> None:
    text = f"## Is it warm?\n\n{short}\n\n## Is it soft?\n\n{short}\n\n{PARAGRAPH}"

    assert once(text, STOOL) == text


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("The Kilbrack Oak Stool stands on any floor.", True),
        ("Kilbrack makes the stool from oak.", True),
        ("The Kilbrack stools of solid oak stand on any floor.", True),
        ("Kilbrack Joinery states little: the seat is made of oak, so anybody may sit on the stool.", False),
        ("| Kilbrack Joinery | The product |\n| --- | --- |\n| Material | oak |\n| Kind | three-legged stool |", False),
        ("The product stands on any floor.", False),
    ],
)
def test_a_product_is_named_where_its_words_stand_together(text: str, is_named: bool) -> None:
    assert unnamed(text, STOOL) == ("" if is_named else "Kilbrack Oak Stool")


@pytest.mark.parametrize("sign", "\u20ac\u2122\u2019\u201c\u2013\u2014\u2026\u2022\u2030\u00a3\u00b0\u00e9")
def test_one_misread_character_is_enough(sign: str) -> None:
    misread = "".join(bytes([one]).decode("cp1252", "ignore") or chr(one) for one in sign.encode())

    assert decoded_again(f"It costs {misread}189.00 in the shop.", STOOL) == f"It costs {sign}189.00 in the shop."


@pytest.mark.parametrize("text", ["«Voilâ», says „Â“", "CAFÉ…", "â la carte", "Ângela \u2013 \u201aa\u2018"])
def test_correct_text_is_not_decoded_again(text: str) -> None:
    assert decoded_again(text, STOOL) == text


MUG = PostContext(
    {
        "kind": "product",
        "name": "Harbour Mug",
        "price": "24.00",
        "compare_at_price": "30.00",
        "currency": "EUR",
        "description": "Holds 320 ml, in a box of 6 pieces. Article 77.",
    },
    {},
    "",
)


@pytest.mark.parametrize(
    ("claim", "is_known"),
    [
        ("holds 320 ml", True),
        ("holds 0.32 l", True),
        ("costs 24 EUR", True),
        ("costs €24.00 instead of €30.00", True),
        ("comes in a set of 6", True),
        ("weighs 77 g", True),  # a number without a unit may be any
        ("weighs 24 kg", False),
        ("is 30 cm wide", False),
        ("is 320 cm high", False),
        ("costs 320 EUR", False),
        ("comes in a set of 24", False),
    ],
)
def test_a_number_is_a_fact_only_of_its_kind(claim: str, is_known: bool) -> None:
    text = f"The Harbour Mug {claim}."
    found = [check(text, MUG) for check in (price_unknown, measure_unknown, count_unknown)]

    assert (found == ["", "", ""]) == is_known, found
