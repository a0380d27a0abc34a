"""A text that stops at an abbreviation is not complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.defects.endings import broken_off, whole_quotations
from blogworker.post.defects.kind import PostContext

MUG = PostContext({"kind": "product", "name": "Mug", "description": "Der Becher fasst ca. 350 ml."}, {}, "")
ABBREVIATIONS = ["ca.", "approx.", "env.", "aprox.", "z. B.", "z.B.", "e.g.", "p. ex.", "p. ej.", "bzw.", "vs."]
SENTENCES = ["Der Becher fasst {}", "It is made in {}", "Le bol mesure {}", "La taza dura {}", "Es\n> fasst {}"]
WHOLE = ["It holds hot tea, and the glaze is food safe.", "Die Glasur ist matt.", "Made by hand in Wales since 1998."]
ABBREVIATED = st.builds(str.format, st.sampled_from(SENTENCES), st.sampled_from(ABBREVIATIONS))


@given(before=st.lists(st.sampled_from(WHOLE), max_size=2), broken=ABBREVIATED, mark=st.sampled_from(["", "- ", "1. "]))
def test_a_text_that_stops_at_an_abbreviation_breaks_off(before: list[str], broken: str, mark: str) -> None:
    broken = broken.replace("\n> ", " ")

    assert broken_off(f"One.\n\n{mark}{' '.join([*before, broken])}\n\n{WHOLE[0]}", MUG).endswith(broken[-20:])


@given(before=st.lists(st.sampled_from(WHOLE), max_size=2), broken=ABBREVIATED, end=st.sampled_from(["", "“", "*"]))
def test_a_quotation_keeps_its_whole_sentences(before: list[str], broken: str, end: str) -> None:
    quotation = [f"> {' '.join(before)}"] if before else []

    found = whole_quotations(f"One.\n\n> {' '.join([*before, broken])}{end}\n\n{WHOLE[0]}", MUG)

    assert found == "\n\n".join(["One.", *quotation, WHOLE[0]])
    assert broken_off(found, MUG) == ""


@pytest.mark.parametrize(
    "text",
    [
        "The mug holds 350 ml approx.",
        "Il bollitore misura 24 cm ca.",
        "La taza pesa 300 gramos aprox.",
        "Bowls, mugs, plates, etc.",
        "The lid is sold by Wedge & Co.",
        "Der Becher fasst ca. 350 ml.",
        "It is env. 20 cm wide, e.g. for soup.",
        "| approx. | ca. |\n| --- | --- |\n| 1 | env. |",
    ],
)
def test_a_complete_text_may_have_abbreviations(text: str) -> None:
    assert broken_off(text, MUG) == ""
    assert whole_quotations(f"> {text}", MUG) == f"> {text}"
