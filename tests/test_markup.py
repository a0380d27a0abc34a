"""Text of any markup: every input is accepted, in time proportional to its length."""

from html.parser import HTMLParser
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.markup import references, visible_text

HOSTILE = [
    "<![", "<![S-M]>", "<![CDATA[", "]]>", "<!--", "-->", "<!-- --!>", "<!", "<?", "</", "</a ", "<a ", "<a b",
    "<a b=", "<a b='", '<a b="', "<a b=\"'>", "<a/", "<a =' =", "<script>", "</script>", "<style",
    "<textarea>", "<title>", "</title>", "<body>", "<!doctype ", "&", "&#", "&#x", "&amp", "&" + "a" * 40, ">",
    "<", "'", '"', "=", "/", " ", "\0", "x", "&#" + "9" * 5000 + ";", "&#" + "0" * 5000 + "65;", "&#xD800;",
    "&#0;", "\ud800", "😀",
]  # fmt: skip


def text(html: str) -> str:
    return visible_text(html, {"p", "br"}.__contains__, mark="|")


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>Hi &amp; <b>you</b></p>", "|Hi & you|"),
        ("a<![S-M]>b", "ab"),
        ("a<![if !supportLists]>b<![endif]>", "ab"),
        ("<![CDATA[<p>Good</p>]]>", "|Good|"),
        ("a<!-- <p> -->b<!--->c<!-- x --!>d", "abcd"),
        ("a<!-- <p>", "a"),
        ("a<script>if (a<b && c>d) '<style>'</script>b", "ab"),
        ("a<script>let b = 1;", "a"),
        ("a<STYLE>p > b {}</Style >b", "ab"),
        ("<title>a</title><template><p>b</p></template>c", "||c"),
        ("<head><title>a</title><body>b</p>", "b|"),
        ("<a title=\"5 > 3\" href='>'>b</a>", "b"),
        ('<img alt="5" tall">b', "b"),
        ('<a href="x>b</a>', "b"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("<b>Cup</b> < 20 cm, <small", "Cup < 20 cm, <small"),
        ("I <3 mugs</>", "I <3 mugs"),
        ("&#8364;&#128;&#" + "9" * 5000 + ";&#" + "0" * 5000 + "65;", "€€\ufffdA"),
    ],
)
def test_the_text_is_what_a_browser_shows(html: str, expected: str) -> None:
    assert text(html) == expected


@given(st.lists(st.sampled_from(HOSTILE), max_size=30).map("".join))
def test_any_markup_has_a_text(html: str) -> None:
    assert len(text(html)) <= len(html)
    references(html)


@pytest.mark.parametrize("suffix", ["", ">", "'>", '">', "-->", "</script>"])
def test_any_markup_is_parsed_quickly(suffix: str) -> None:
    """60 KB of `<a ` kept `html.parser` busy for 50 seconds, and no worker extends its lease meanwhile."""
    for piece in HOSTILE:
        began = process_time()
        text(piece * (60_000 // len(piece)) + suffix)
        assert process_time() - began < 1, piece


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


@given(
    st.recursive(
        st.sampled_from(["word ", "&amp;", "&lt;b&gt;", "<br>", "<img alt='a > b'>", "<!-- no -->", "5 < 6 "]),
        lambda inner: st.tuples(st.sampled_from(["p", "b", "H2", "x-y"]), st.lists(inner, max_size=4)).map(
            lambda element: f'<{element[0]} class="c">{"".join(element[1])}</{element[0]}>'
        ),
    )
)
def test_well_formed_markup_gives_the_same_text_as_html_parser(html: str) -> None:
    reader = Reader()
    reader.feed(html)
    reader.close()

    assert visible_text(html, lambda name: False, mark="") == "".join(reader.pieces)
