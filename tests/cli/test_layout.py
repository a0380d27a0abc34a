"""Tables fit the terminal, whatever they contain: no value is truncated, columns are aligned."""

import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from blogworker.cli.output import Screen, facts, table
from blogworker.printable import printable

ID = "5ee25ed9-75e1-4f04-809d-c5f23551bb22"
any_text = st.text(st.characters(), max_size=60)
words = st.lists(
    st.sampled_from(["lamp", ID, "\u5ead\u5712\u71c8", "e\u0301te\u0301", "\U0001f33f", "a\x1b[1mb", "\u202eq"])
)
wide_enough = st.integers(60, 160)


def drawn(shown: object, width: int) -> list[str]:
    out = io.StringIO()
    Screen(file=out, width=width, markup=False, highlight=False, emoji=False).print(shown)
    return out.getvalue().split("\n")[:-1]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(), any_text, words.map(" ".join), any_text), max_size=3), st.integers(8, 160))
@example([(0, "", "\u5ead\u5712\u71c8", "")], 18)
def test_nothing_is_truncated_at_any_width(rows: list[tuple[object, ...]], width: int) -> None:
    columns = ["id", "site", "source", "title or error"]

    lines = drawn(table("Blogs", columns, rows, fold=["source", "title or error"]), width)

    assert all(printable(line) == line for line in lines)
    assert not any(line.endswith(" ") for line in lines)
    below = "".join("".join(lines).split())
    for _, site, source, _ in rows:
        for word in printable(str(site)).split(" ") + (str(source).split() if width > 12 else []):
            assert any(printable(word) in line for line in lines) or word in below  # broken between any two characters


@given(st.lists(words.map(" ".join), min_size=1, max_size=4), wide_enough)
def test_lines_fit_if_their_words_do(errors: list[str], width: int) -> None:
    rows = [(number, ID, "FAILED", error) for number, error in enumerate(errors)]

    lines = drawn(table(None, ["id", "site", "status", "error"], rows, fold=["error"]), width)

    assert max(map(cell_len, lines)) <= width
    assert sum(ID in line for line in lines) >= len(rows)


@given(st.lists(st.tuples(words.map("".join), st.integers(0, 10**6)), min_size=1, max_size=5))
def test_columns_are_aligned(rows: list[tuple[str, int]]) -> None:
    """Scripts whose characters are two columns wide, marks that have no width, escapes that have four."""
    lines = drawn(table(None, ["site", "blogs"], rows), 10_000)

    assert {cell_len(line) for line in lines} == {cell_len(lines[0])}


LIST = ["id", "site", "source", "status", "tries", "title or error"]
BLOG = (
    "3006",
    ID,
    "keyword: how to choose a garden lamp",
    "FAILED",
    "5/5",
    "there is no such product: add it and retry",
)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (
            60,
            f"""
id              3006
site            {ID}
source          keyword: how to choose a garden lamp
status          FAILED
tries           5/5
title or error  there is no such product: add it and retry""",
        ),
        (
            80,
            f"""
  id  site                                  status  tries
3006  {ID}  FAILED  5/5
    source: keyword: how to choose a garden lamp
    title or error: there is no such product: add it and retry""",
        ),
        (
            120,
            f"""
  id  site                                  source                         status  tries  title or error
3006  {ID}  keyword: how to choose a       FAILED  5/5    there is no such product: add
                                            garden lamp                                   it and retry""",
        ),
    ],
)
def test_a_list_of_blogs_at_three_widths(width: int, shown: str) -> None:
    assert drawn(table(None, LIST, [BLOG], fold=["source", "title or error"]), width) == shown.split("\n")[1:]


def test_a_heading_is_wrapped_only_if_there_is_no_room() -> None:
    """It was broken in two although the columns that could not fit had left room for it."""
    columns = ["provider", "state", "open for", "next probe", "tries", "reason"]
    lines = drawn(table(None, columns, [["replicate", "open", "13 s", "in 3 s", 2, "x" * 70]], fold=["reason"]), 80)

    assert lines[:2] == [
        "provider   state  open for  next probe  tries",
        "replicate  open       13 s  in 3 s          2",
    ]


def test_amounts_and_shares_are_right_aligned() -> None:
    lines = drawn(table(None, ["cost", "pace"], [["$1.25", "100 %"], ["$12.50", "9 %"], [None, None]]), 80)

    assert lines == ["  cost   pace", " $1.25  100 %", "$12.50    9 %", "     -      -"]


def test_a_value_without_room_beside_its_name_is_below_it() -> None:
    assert drawn(facts({"site": ID, "error": "x"}), 30) == ["site", ID, "error  x"]


def test_a_site_that_ends_in_a_wide_space_keeps_it() -> None:
    """Otherwise a copy of the id would name another site."""
    assert drawn(table(None, ["site"], [["tea\u3000"]]), 80) == ["site", "tea\u3000"]


def test_markup_in_a_string_is_text() -> None:
    assert drawn("[bold]mugs[/nope] :smile:", 80) == ["[bold]mugs[/nope] :smile:"]
