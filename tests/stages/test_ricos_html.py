"""A post looks on the site as it does here: the Ricos document and the HTML of one text say the same."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.post import render
from blogworker.post.ricos import ricos
from blogworker.post.ricos_html import ricos_html

from .markdown import BLOCKS, INLINE, OWN, PICTURES, TABLES, WORDS, indented, paragraph, text_node

MARKING = {"ul", "ol", "li", "blockquote", "th", "td", "pre", "strong", "em", *(f"h{level}" for level in range(1, 7))}
COUNTED = {"li", "tr", "th", "td", "pre", "hr", *(f"h{level}" for level in range(1, 7))}
VOID = {"br", "hr", "img"}

# Forms that Ricos has too; others are flattened and differ from the HTML.
LINES = st.lists(INLINE.filter(lambda text: "\n" not in text and "![own" not in text), min_size=1, max_size=4).map(
    lambda parts: f"a {' '.join(parts)} b"
)
LISTS = st.recursive(
    LINES,
    lambda inner: st.tuples(st.sampled_from(["- ", "1. ", "7. "]), LINES, st.lists(inner, min_size=1, max_size=3)).map(
        lambda parts: "\n".join(
            [parts[0] + parts[1], *(indented(f"- {item}" if item[0] == "a" else item, "   ") for item in parts[2])]
        )
    ),
    max_leaves=6,
)
FITTING = st.lists(
    st.one_of(
        LINES,
        LISTS,
        TABLES.filter(lambda table: "![own" not in table),
        LINES.map(lambda line: f"> {line}\n>\n> {line}"),
        st.tuples(st.integers(1, 6), WORDS).map(lambda pair: f"{'#' * pair[0]} {pair[1]}"),
        st.sampled_from(["---", "```\nif a:\n    <b>\n\n    c\n```"]),
    ),
    min_size=1,
    max_size=5,
).map("\n\n".join)


class Reader(HTMLParser):
    """What a page says: each letter with the marks it stands under, each item, cell, heading and rule as it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[object] = []
        self.tags: list[str] = []
        self.marks: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag in COUNTED:
            self.said.append((f"<{tag}>", dict(attrs).get("style")))
        if tag not in VOID:
            self.tags.append(tag)
            self.marks.append(f"a {dict(attrs)['href']}" if tag == "a" else tag if tag in MARKING else "")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.tags.pop() == tag, "closed in another order than opened"
            self.marks.pop()

    def handle_data(self, data):
        marks = [mark for mark in self.marks if mark]
        if "th" in marks:
            marks = [mark for mark in marks if mark != "strong"]  # bold anyway
        kept = data if "pre" in marks else "".join(data.split())
        self.said += [(letter, frozenset(marks)) for letter in kept]


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.tags == []
    return reader.said


@settings(max_examples=200)
@given(FITTING)
def test_both_renderings_of_a_text_are_equivalent(markdown):
    """Each letter stands in the same heading, list, quote, cell, link and weight."""
    theirs = ricos_html(ricos(markdown, own_url=OWN))

    assert read(theirs) == read(render.html(markdown, own_url=OWN))


@settings(max_examples=200)
@given(BLOCKS)
def test_any_document_becomes_a_whole_page(markdown):
    """Every tag closed, nothing in it but what our renderer writes."""
    page = ricos_html(ricos(markdown, own_url=OWN, pictures=PICTURES))

    assert read(page) is not None
    assert "<script" not in page
    assert 'href="https://evil' not in page


def test_hostile_text_stays_text():
    look = {"type": "LINK", "linkData": {"link": {"url": "javascript:alert(1)"}}}
    spoilt = {"type": "LINK", "linkData": {"link": {"url": 'https://x.example/"onclick="a'}}}
    hostile = paragraph(text_node("<img onerror=x>"), text_node("a", decorations=[look]))

    page = ricos_html({"nodes": [hostile, paragraph(text_node("b", decorations=[spoilt]))]})

    assert page == "<p>&lt;img onerror=x&gt;a</p>\n<p>b</p>"


@pytest.mark.parametrize(
    ("markdown", "page"),
    [
        ("a\n\nb", "<p>a</p>\n<p></p>\n<p>b</p>"),
        ("3. a\n4. **b** c", '<ol start="3"><li>a</li><li><strong>b</strong> c</li></ol>'),
        (f"[a **b**]({OWN})", f'<p><a href="{OWN}">a <strong>b</strong></a></p>'),
        ("- a\n\n  b", "<ul><li><p>a</p><p>b</p></li></ul>"),
        (
            "| a |\n|--:|\n| b |",
            '<table><thead><tr><th style="text-align:right"><strong>a</strong></th></tr></thead>'
            '<tbody><tr><td style="text-align:right">b</td></tr></tbody></table>',
        ),
        (
            "![own](https://own.example/p.jpg)",
            '<img src="https://static.wixstatic.com/media/abc~mv2.jpg" alt="own" width="1024" height="576">',
        ),
    ],
)
def test_each_form_has_its_tags(markdown, page):
    assert ricos_html(ricos(markdown, own_url=OWN, pictures=PICTURES)) == page
