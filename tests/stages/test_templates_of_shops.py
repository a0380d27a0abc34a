"""What a shop's template was to fill in: nobody knows it, and no sentence that hangs on it may be published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.defects import without_placeholders
from blogworker.stages.source import normalised

TAGS = st.sampled_from(
    ["{{ customer.first_name }}", "{{product.title}}", "%tienda%", "[warehouse_city]", "{name}", "[insert brand here]"]
)
WORDS = st.sampled_from(["your", "order in", "gracias por", "kaufen Sie bei", "livré par", "the"])
FACT = "The mug holds 0.35 litres."


@given(TAGS, WORDS, st.sampled_from([".", " today.", ", as always!"]), st.booleans())
def test_a_sentence_that_depends_on_a_tag_is_removed(tag: str, before: str, end: str, is_first: bool) -> None:
    sentence = f"We send {before} {tag}{end}"

    expected = without_placeholders(f"{sentence} {FACT}" if is_first else f"{FACT} {sentence}")

    assert expected == FACT


@given(TAGS, st.sampled_from([": ", " - ", ", ", " "]))
def test_text_after_a_tag_is_kept(tag: str, joint: str) -> None:
    assert without_placeholders(f"{tag}{joint}holds 0.35 l") == "holds 0.35 l"


@given(st.lists(st.sampled_from(["oak", "0.35 l", "Tasse", "30 °C", "(new)", "it's"]), min_size=1, max_size=8))
def test_text_without_tags_is_not_changed(words: list[str]) -> None:
    text = " ".join(words)

    assert without_placeholders(text) == text


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("Made of oak. Dear {{ first_name }}, your {{product.title}} ships from [city_name]. 160 psi.",
         "Made of oak. 160 psi."),
        ("Cera de soja.\n{{nombre}}, gracias por tu compra en %tienda%.", "Cera de soja."),
        ('Clay. [gallery ids="1,2"] Glazed.', "Clay. Glazed."),
    ],
)  # fmt: skip
def test_no_model_reads_half_a_sentence(description: str, expected: str) -> None:
    assert normalised("product", "p", {"name": "Pump", "description": description})["description"] == expected
