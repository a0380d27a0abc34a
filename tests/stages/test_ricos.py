"""Markdown into HTML and Ricos: safe, well formed, and complete."""

from xml.etree import ElementTree as Xml

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blogworker.stages import render
from blogworker.stages.ricos import ricos
from blogworker.stages.ricos_rules import ricos_faults

OWN = "https://shop.example/mug"
WORDS = st.text("ab é<>&\"'\\", min_size=1, max_size=8)
INLINE = st.one_of(
    WORDS,
    WORDS.map(lambda word: f"**{word}**"),
    WORDS.map(lambda word: f"*{word}*"),
    WORDS.map(lambda word: f"`{word}`"),
    st.sampled_from(
        [f"[x *y*]({OWN}?a=1)", "[z](https://evil.example)", "![p](https://x/y.png)", "<b>raw</b>", "  \n", "\n"]
    ),
)
PARAGRAPHS = st.lists(INLINE, min_size=1, max_size=6).map(" ".join)


def indented(text, mark):
    first, *rest = text.split("\n")
    return "\n".join([mark + first, *(" " * len(mark) + line for line in rest)])


LEAVES = st.one_of(
    PARAGRAPHS,
    st.tuples(st.integers(1, 6), WORDS).map(lambda pair: f"{'#' * pair[0]} {pair[1]}"),
    st.sampled_from(
        ["---", "```\na\n\n\tb\n```", "    code", "| a | b |\n|---|---|\n| 1 | **2** |", "|a|\n|-|", "", "-", ">"]
    ),
)
BLOCKS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda text: "\n".join(f"> {line}" for line in text.split("\n"))),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: "\n".join(indented(item, "- ") for item in items)),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: "\n".join(indented(item, "7. ") for item in items)),
        st.lists(inner, min_size=1, max_size=3).map("\n\n".join),
    ),
    max_leaves=12,
)


def texts(node):
    found = [node["textData"]["text"]] if node.get("type") == "TEXT" else []
    return found + [text for child in node.get("nodes", []) for text in texts(child)]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BLOCKS)
def test_every_document_keeps_the_rules(markdown):
    """Wix refuses a post for one node in the wrong place, and the writing would be lost."""
    document = ricos(f"opening\n\n{markdown}", own_url=OWN)

    assert ricos_faults(document) == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BLOCKS)
def test_html_closes_every_tag_it_opens(markdown):
    html = render.html(markdown, own_url=OWN)

    tree = Xml.fromstring(f"<div>{html}</div>")  # noqa: S314 - our own output
    assert {link.get("href") for link in tree.iter("a")} <= {OWN}
    assert not list(tree.iter("img"))
    assert not list(tree.iter("h1"))


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_at_all_can_be_rendered(text):
    assert ricos_faults(ricos(f"opening\n\n{text}")) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abc", min_size=3, max_size=6), min_size=1, max_size=5, unique=True), st.integers(0, 5))
def test_no_word_is_lost(words, shape):
    """What cannot nest in Ricos is laid flat, never dropped."""
    marks = ["", "> ", "- ", "> - ", "- > ", "- - "]
    markdown = "\n\n".join(marks[shape] + word for word in words)

    said = " ".join(texts(ricos(markdown))).split()
    assert all(word in said for word in words)


def test_the_own_page_is_the_only_link():
    document = ricos(f"[mug]({OWN}?utm=1) and [other](https://evil.example)", own_url=OWN)

    links = [look for node in document["nodes"][0]["nodes"] for look in node["textData"]["decorations"]]
    assert links == [{"type": "LINK", "linkData": {"link": {"url": OWN, "target": "SELF"}}}]
    assert "".join(texts(document["nodes"][0])) == "mug and other"


def test_a_broken_line_becomes_two_paragraphs():
    kinds = [(node["type"], texts(node)) for node in ricos("one  \ntwo\nthree")["nodes"]]

    assert kinds == [("PARAGRAPH", ["one"]), ("PARAGRAPH", ["two", " ", "three"])]


def test_headings_stay_below_the_title():
    levels = [node["headingData"]["level"] for node in ricos("# a\n## b\n###### c")["nodes"]]

    assert levels == [2, 3, 6]


def test_a_table_is_told_in_sentences():
    document = ricos("| Size | Price |\n|---|---|\n| Small | 5 |\n| Large | |")

    assert ["".join(texts(node)) for node in document["nodes"]] == ["Size: Small; Price: 5", "Size: Large"]


def test_blocks_are_spaced_but_not_below_headings():
    kinds = [(node["type"], bool(node["nodes"])) for node in ricos("## a\n\nb\n\nc")["nodes"]]

    assert kinds == [("HEADING", True), ("PARAGRAPH", True), ("PARAGRAPH", False), ("PARAGRAPH", True)]


def test_the_same_markdown_gives_the_same_document():
    """An attempt that looks its draft up again compares like with like."""
    assert ricos("a\n\n- b") == ricos("a\n\n- b")


def text_node(text="a", **data):
    return {"type": "TEXT", "id": "", "nodes": [], "textData": {"text": text, "decorations": [], **data}}


def paragraph(*nodes, **fields):
    return {"type": "PARAGRAPH", "id": "", "nodes": list(nodes), "paragraphData": {}, **fields}


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([], "must hold something"),
        ([text_node()], "TEXT may not stand in document"),
        ([paragraph(text_node(""))], "must not be empty"),
        ([paragraph(text_node("a\nb"))], "line break"),
        ([paragraph(text_node(), colour="red")], "unknown property colour"),
        ([paragraph(text_node(size=3))], "unknown property textData.size"),
        ([paragraph(text_node(decorations=[{"type": "STRIKETHROUGH"}]))], "unknown decoration"),
        ([paragraph(text_node(decorations=[{"type": "LINK", "linkData": {"link": {}}}]))], "needs a url"),
        ([paragraph(id="n1"), paragraph(id="n1")], "used twice"),
        ([{"type": "HEADING", "nodes": [], "headingData": {"level": 7}}], "not 1 to 6"),
        ([{"type": "BULLETED_LIST", "nodes": []}], "must hold something"),
        ([{"type": "BLOCKQUOTE", "nodes": [{"type": "HEADING", "nodes": []}]}], "HEADING may not stand in BLOCKQUOTE"),
        (
            [
                {
                    "type": "BULLETED_LIST",
                    "nodes": [{"type": "LIST_ITEM", "nodes": [{"type": "BULLETED_LIST", "nodes": []}]}],
                }
            ],
            "may not begin with a list",
        ),
        ([{"type": "IMAGE", "nodes": [], "imageData": {"image": {"src": {"id": "f"}}}}], "needs width"),
        ([{"type": "CODE", "nodes": []}], "CODE may not stand"),
    ],
)
def test_each_rule_is_known(nodes, told):
    assert any(told in fault for fault in ricos_faults({"nodes": nodes}))
