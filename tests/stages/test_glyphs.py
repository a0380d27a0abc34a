"""Emoji, broken encodings and texts that break off, in texts that hypothesis makes up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.post.defects.endings import broken_off
from blogworker.post.defects.glyphs import decoded_again, without_emoji, without_thoughts
from blogworker.post.defects.kind import PostContext

KNOWN = PostContext({"kind": "product", "name": "Mug \U0001f31e"}, {}, "")
LETTERS = "abcdefghijklmnopqrstuvwxyzäöüßéèêàâçñáíóúãõìò"
WORDS = st.text(LETTERS, min_size=1, max_size=9)
SENTENCES = st.lists(WORDS, min_size=8, max_size=14).map(lambda words: f"{' '.join(words).capitalize()}.")
EMOJI = st.sampled_from(
    [
        "\U0001f31f",
        "\u2728",
        "\U0001f44d\U0001f3fd",
        "\u2764\ufe0f",
        "\U0001f468\u200d\U0001f373",
        "\U0001f1ee\U0001f1f9",
        "\U0001f1ee\U0001f1f9\ufe0f",
        "\U0001f44d\U0001f3fd\ufe0f",
        "\U0001f170\ufe0f",
        "\U0001f9d1\u200d\u2696",
        "\u2b50\ufe0f\ufe0f",
        "\ufe0f",
        "\u200d",
        "\u2600\ufe0f\u200d",
    ]
)


def misread(text: str) -> str:
    """UTF-8 as a browser reads it that was told of Windows text."""
    return "".join(bytes([one]).decode("cp1252", "ignore") or chr(one) for one in text.encode())


@given(words=st.lists(WORDS, min_size=2, max_size=12), place=st.integers(0, 12), emoji=EMOJI)
def test_removing_emoji_changes_nothing_else(words: list[str], place: int, emoji: str) -> None:
    planted = [*words[:place], emoji, *words[place:]]

    assert without_emoji(" ".join(planted), KNOWN).strip() == " ".join(words)


@pytest.mark.parametrize(
    "kept",
    [
        "| a | \u2705 |", "| a | \u2764\ufe0f |", "Mug \U0001f31e", "20 °C, \u2713 and \u2605", "5 * 3 # 4 © 2",
        "1. First",
        "\u0646\u0647\u200d \u06cc", "\u0915\u094d\u200d\u0937", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    ],
)  # fmt: skip
def test_meaningful_symbols_are_kept(kept: str) -> None:
    assert without_emoji(kept, KNOWN) == kept


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A mug\ufe0f for tea", "A mug for tea"),
        ("A mug \ufe0f\u200d for tea", "A mug for tea"),
        ("| a\ufe0f | \u2764\ufe0f\u200d |", "| a | \u2764\ufe0f |"),
        ("Mug \U0001f31e\ufe0f\u200d of clay", "Mug \U0001f31e\ufe0f of clay"),
        ("- \ufe0fStrong", "- Strong"),
    ],
)
def test_a_selector_or_joiner_without_an_emoji_is_removed(text: str, left: str) -> None:
    assert without_emoji(text, KNOWN) == left


@given(text=st.lists(SENTENCES, min_size=2, max_size=4).map(" ".join))
def test_a_broken_encoding_is_repaired(text: str) -> None:
    broken = misread(text)

    assert decoded_again(broken, KNOWN) == text or broken.count("\u00c3") < 2
    assert decoded_again(text, KNOWN) == text


@pytest.mark.parametrize("whole", ["CAFÉ…", "IRMÃ” disse", "À la carte", "¡SÍ!", "Größe: 5 \u2013 6", "Âge d\u2019or"])
def test_accented_capitals_are_not_a_broken_encoding(whole: str) -> None:
    assert decoded_again(whole, KNOWN) == whole


@given(sentences=st.lists(SENTENCES, min_size=1, max_size=4), cut=st.integers(2, 20))
def test_a_truncated_text_is_detected(sentences: list[str], cut: int) -> None:
    whole = " ".join([*sentences, "Hier ist am Ende noch ein Satz der länger ist als das."])

    assert broken_off(f"Vorher steht noch etwas.\n\n{whole}", KNOWN) == ""
    assert broken_off(f"{whole[:-cut]}\n\n## Weiter\n\n{whole}", KNOWN)


@given(thought=st.text(LETTERS + " .\n", max_size=80), text=SENTENCES)
def test_reasoning_of_the_model_is_removed_from_the_post(thought: str, text: str) -> None:
    assert without_thoughts(f"<think>{thought}</think>\n{text}", KNOWN) == text
    assert without_thoughts(f"A <think> without an end. {text}", KNOWN) == f"A <think> without an end. {text}"
