"""No character of foreign text controls a terminal, and a word pasted into a shell keeps its meaning."""

import json
import shlex
import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.printable import printable, printable_json, printable_lines, typed, typed_argument

OBEYED = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u3164\ufe00\ufe0f\uffa0\U000e0100\U000e01ef"
every_text = st.text(st.characters(), max_size=40)  # all categories, surrogates too
shell_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def test_every_control_or_invisible_character_is_shown() -> None:
    planes = [range(0x33480), range(0xE0000, 0xE1010), range(0xF0000, 0xF0010), range(0x10FFF0, 0x110000)]
    every = "".join(chr(code) for plane in planes for code in plane)

    shown = printable(every)

    assert {unicodedata.category(sign) for sign in set(shown)} & OBEYED == set()
    assert not set(UNSEEN) & set(shown)
    assert set(printable_lines(every)) - set(shown) == {"\n", "\t"}


@given(every_text)
def test_visible_characters_are_not_changed(text: str) -> None:
    """Letters of every script, marks, signs and spaces; a cleaned title is still that title."""
    kept = "".join(sign for sign in text if printable(sign) == sign)

    assert printable(kept) == kept
    assert printable(printable(text)) == printable(text)
    assert printable(text, encoding="ascii").isascii()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("caf\xe9 \u5ead\u5712 e\u0301 \U0001f33f", "caf\xe9 \u5ead\u5712 e\u0301 \U0001f33f"),
        ("a\x1b[31mb\x07", r"a\x1b[31mb\x07"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x9b31m \u202egpj", r"\x9b31m \u202egpj"),
        ("zero\u200bwidth \U000e0041", r"zero\u200bwidth \U000e0041"),
        ("\u2764\ufe0f", "\u2764"),
    ],
)
def test_the_shown_form_can_be_recognised(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.recursive(every_text, lambda inside: st.lists(inside) | st.dictionaries(every_text, inside), max_leaves=5))
def test_json_is_equivalent_and_contains_no_control_characters(value: object) -> None:
    for ascii_only in (True, False):
        written = printable_json(json.dumps(value, ensure_ascii=ascii_only))

        assert json.loads(written) == json.loads(json.dumps(value))
        assert printable(written) == written


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@settings(max_examples=10)
@given(st.lists(shell_text, min_size=1, max_size=30))
def test_a_quoted_word_reaches_the_program_unchanged(words: list[str]) -> None:
    """A folder named `; rm -rf ~` or with an escape sequence in its name."""
    line = " ".join(map(typed, words))
    ran = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)

    assert ran.stdout.decode() == "".join(f"{word}\0" for word in words)
    assert printable(line) == line


def test_a_file_name_that_is_not_utf8_is_quoted_by_its_bytes() -> None:
    assert typed("caf\udce9") == r"$'caf\xe9'"


@pytest.mark.parametrize("word", ["-x", "--help", "-", "a b", "shop", "-a b'c"])
def test_an_argument_that_begins_with_a_dash_is_no_option(word):
    assert shlex.split(typed_argument(word)) == (["--", word] if word.startswith("-") else [word])
