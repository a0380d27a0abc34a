"""What a reader sees on a line of its own stays a line of its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.readable import readable

WORD = st.text("abcdefghij", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("one<br>two", ["one", "two"]),
        ("<h3>Features</h3><ul><li>Steel barrel<li>160 psi</ul>", ["Features", "Steel barrel", "160 psi"]),
        ("<ol><li>Soak<ul><li>two hours</li></ul></li><li>Rinse</li></ol>", ["Soak", "two hours", "Rinse"]),
        ("<table><tr><th>Mass:</th><td><p>2 kg</p></td></tr><tr><td>No<td>3</table>x", ["Mass: 2 kg", "No: 3", "x"]),
        ("<table>\n<tr>\n<td>Size</td>\n<td>Chest</td>\n<td>Length</td>\n</tr></table>", ["Size | Chest | Length"]),
        ("<tr><td>S</td><td></td><td>70</td></tr>", ["S | - | 70"]),
        ("<table><tr><td><p>One.</p><p>Two.</p></td></tr></table>", ["One.", "Two."]),
        (f"<table><tr><td>Left</td><td><p>{'word ' * 80}</p></td></tr></table>", ["Left", ("word " * 80).strip()]),
        ("<dl><dt>Clay</dt><dd>Stoneware</dd><dt>Glaze</dt><dd>Ash</dd></dl>", ["Clay: Stoneware", "Glaze: Ash"]),
        ("<b>Features</b>\n* Steel\n* 160 psi", ["Features", "* Steel", "* 160 psi"]),
        ("<p>One,\nstill one.</p>\n\n<b>Two</b>\n\nthree", ["One, still one.", "Two", "three"]),
    ],
)  # fmt: skip
def test_lines_items_and_rows_stay_apart(html: str, lines: list[str]) -> None:
    assert readable(html, longest=1_000).splitlines() == lines


@given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=6), st.booleans())
def test_a_table_of_pairs_has_a_line_for_each(rows: list[tuple[str, str]], is_closed: bool) -> None:
    end, end_row = ("</td>", "</tr>") if is_closed else ("", "")
    html = "".join(f"<tr><td>{name}{end}<td><b>{value}</b>{end}{end_row}" for name, value in rows)

    assert readable(f"<table>{html}</table>", longest=1_000).splitlines() == [
        f"{name}: {value}" for name, value in rows
    ]


@given(st.lists(WORD, min_size=1, max_size=8), st.sampled_from(["br", "p", "li", "div", "h2", "tr"]))
def test_no_two_words_become_one(words: list[str], tag: str) -> None:
    for html in (f"<{tag}>".join(words), "".join(f"<{tag}>{word}</{tag}>" for word in words)):
        assert readable(html, longest=1_000).split() == words


@given(st.lists(st.text("ab :|-\n", max_size=20), max_size=6).map("\n".join))
def test_readable_text_is_not_changed(text: str) -> None:
    once = readable(text, longest=1_000)

    assert readable(once, longest=1_000) == once


@given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=6), st.booleans())
def test_rows_below_a_header_row_are_not_read_as_pairs(rows: list[tuple[str, str]], is_followed: bool) -> None:
    """`Material: Detail` says nothing, and `oak: oiled` something wrong."""
    body = "".join(f"<tr><td>{one}</td><td>{other}</td></tr>" for one, other in rows)
    after = "<table><tr><td>size</td><td>big</td></tr></table>" if is_followed else ""

    html = f"<table><thead><tr><th>Material</th><th>Detail</th></tr></thead><tbody>{body}</tbody></table>{after}"

    expected = [
        "Material | Detail",
        *(f"{one} | {other}" for one, other in rows),
        *(["size: big"] if is_followed else []),
    ]
    assert readable(html, longest=1_000).splitlines() == expected
