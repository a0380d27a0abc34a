"""Markdown into HTML and Ricos: safe, well formed, and complete."""

from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.post import render
from blogworker.post.ricos import Picture, ricos
from blogworker.post.ricos_rules import DEEPEST, ricos_faults

from .markdown import BLOCKS, OWN, PICTURES, cell, paragraph, text_node, texts


@settings(max_examples=300)
@given(BLOCKS)
def test_every_document_keeps_the_rules(markdown):
    """Wix refuses a post for one node in the wrong place, and the writing would be lost."""
    document = ricos(f"opening\n\n{markdown}", own_url=OWN, pictures=PICTURES)

    assert ricos_faults(document) == []


@settings(max_examples=300)
@given(BLOCKS)
def test_html_closes_every_tag_it_opens(markdown):
    html = render.html(markdown, own_url=OWN)

    tree = Xml.fromstring(f"<div>{html}</div>")  # noqa: S314 - our own output
    assert {link.get("href") for link in tree.iter("a")} <= {OWN}
    assert not list(tree.iter("img"))
    assert not list(tree.iter("h1"))


@settings(max_examples=200)
@given(st.text())
def test_any_text_at_all_can_be_rendered(text):
    assert ricos_faults(ricos(f"opening\n\n{text}")) == []


def read_aloud(markdown, **known):
    """Every word that a reader of the HTML sees, in order, and the words of pictures."""
    words = []
    for token in render.tokens(markdown, **known):
        words.append(token.content if token.type in ("fence", "code_block") else "")
        words += [" " if child.type in ("softbreak", "hardbreak") else child.content for child in token.children or []]
        words.append(" " if token.type != "inline" else "")
    return "".join(words).split()


def spoken(node):
    """Every word of a document, in order."""
    if node.get("type") == "IMAGE":
        return [f" {node['imageData']['altText']} "]
    inner = [word for child in node.get("nodes", []) for word in spoken(child)]
    return [node["textData"]["text"]] if node.get("type") == "TEXT" else [*inner, " "]


@settings(max_examples=300)
@given(BLOCKS)
def test_no_word_is_lost_and_all_are_in_order(markdown):
    """What cannot nest in Ricos is laid flat, never dropped; bullets, numbers and colons then come on top.

    Only a table laid flat is expected in another order: with the column's name before each cell.
    """
    wanted = read_aloud(markdown, own_url=OWN, pictures=PICTURES)
    said = "".join(spoken(ricos(markdown, own_url=OWN, pictures=PICTURES)))

    assert [word for word in wanted if word not in said] == []
    if not any(token.type == "table_open" and token.level for token in render.tokens(markdown)):
        letters = iter(said)
        assert [word for word in wanted if not all(letter in letters for letter in word)] == []


@pytest.mark.parametrize("mark", ["> ", "- ", "1. ", "- > ", "> - "])
@pytest.mark.parametrize("depth", [5, 9, 30, 60, 200])
def test_the_deepest_word_is_kept(mark, depth):
    """The parser drops what nests deeper than its limit, and Wix takes no bottomless list."""
    document = ricos(mark * depth + "word")

    assert "word" in "".join(texts(document))
    assert "word" in render.html(mark * depth + "word")
    assert ricos_faults(document) == []


def test_the_own_page_is_the_only_link():
    document = ricos(f"[mug]({OWN}?utm=1) and [other](https://evil.example)", own_url=OWN)

    links = [look for node in document["nodes"][0]["nodes"] for look in node["textData"]["decorations"]]
    assert links == [{"type": "LINK", "linkData": {"link": {"url": OWN, "target": "SELF"}}}]
    assert "".join(texts(document["nodes"][0])) == "mug and other"


def test_a_hard_line_break_becomes_two_paragraphs():
    kinds = [(node["type"], texts(node)) for node in ricos("one  \ntwo\nthree")["nodes"]]

    assert kinds == [("PARAGRAPH", ["one"]), ("PARAGRAPH", ["two three"])]


def test_headings_stay_below_the_title():
    levels = [node["headingData"]["level"] for node in ricos("# a\n## b\n###### c")["nodes"]]

    assert levels == [2, 3, 6]


def kinds_of(node):
    """The shape of a node: its kind, and those it holds; text as it reads."""
    if node["type"] == "PARAGRAPH":
        return "".join(texts(node))
    return {node["type"]: [kinds_of(child) for child in node["nodes"]]}


def test_a_table_is_a_table():
    (table,) = ricos("| Size | Price |\n|---|--:|\n| Small | **5** |\n| Large | |")["nodes"]

    rows = [["".join(texts(cell)) for cell in row["nodes"]] for row in table["nodes"]]
    price = table["nodes"][1]["nodes"][1]["nodes"][0]
    assert rows == [["Size", "Price"], ["Small", "5"], ["Large", ""]]
    assert table["tableData"]["rowHeader"] is True
    assert {name: len(sizes) for name, sizes in table["tableData"]["dimensions"].items()} == {
        "colsWidthRatio": 2, "rowsHeight": 3, "colsMinWidth": 2,
    }  # fmt: skip
    assert price["paragraphData"]["textStyle"]["textAlignment"] == "RIGHT"
    assert [look["type"] for look in price["nodes"][0]["textData"]["decorations"]] == ["BOLD"]


def test_a_table_in_a_list_becomes_sentences():
    """A list item may not hold one."""
    (found,) = ricos("- sizes\n\n  | Size | Price |\n  |---|---|\n  | Small | 5 |\n  | Large | |")["nodes"]

    assert kinds_of(found) == {
        "BULLETED_LIST": [{"LIST_ITEM": ["sizes", "Size: Small; Price: 5", "Size: Large; Price: \N{EN DASH}"]}]
    }


def test_lists_nest():
    (found,) = ricos("3. a\n   - b\n     1. c\n4. d")["nodes"]

    inner = {"BULLETED_LIST": [{"LIST_ITEM": ["b", {"ORDERED_LIST": [{"LIST_ITEM": ["c"]}]}]}]}
    assert kinds_of(found) == {"ORDERED_LIST": [{"LIST_ITEM": ["a", inner]}, {"LIST_ITEM": ["d"]}]}
    assert found["orderedListData"]["start"] == 3


def test_a_quote_of_many_parts_becomes_quotes_of_one():
    """Wix takes no quote with two paragraphs, nor anything else in one."""
    nodes = ricos("> one  \n> two\n>\n> ## three\n> 4. four\n> 5. five")["nodes"]

    assert [kinds_of(node) for node in nodes] == [
        {"BLOCKQUOTE": [line]} for line in ["one", "two", "three", "4. four", "5. five"]
    ]


def test_code_keeps_its_lines_and_its_spaces():
    nodes = ricos("```js\nif (a) {\n\n\tb\n}\n```")["nodes"]

    assert [(node["type"], texts(node)) for node in nodes] == [("CODE_BLOCK", ["if (a) {\n\n    b\n}"])]


def test_a_picture_of_the_sites_own_media_stands_between_the_lines_around_it():
    """Wix shows a picture only on a line of its own, and only with its size."""
    known = {"https://own.example/p.jpg": Picture("file", 800, 600)}
    markdown = "see ![a cup](https://own.example/p.jpg) here\n\n## ![a cup](https://own.example/p.jpg) too"

    before, picture, after, _, heading = ricos(markdown, pictures=known)["nodes"]

    assert [texts(before), texts(after), texts(heading)] == [["see "], [" here"], ["a cup too"]]
    assert picture["imageData"]["image"] == {"src": {"id": "file"}, "width": 800, "height": 600}
    assert picture["imageData"]["altText"] == "a cup"


def test_an_external_picture_becomes_its_alt_text():
    """Wix would show a broken frame, and another's server would learn who reads."""
    assert texts(ricos("see ![a cup](https://x/y.png)")) == ["see a cup"]


def test_html_in_markdown_is_text():
    """Nobody's markup gets into a shop's page."""
    assert texts(ricos("<script>a</script> <b>b</b>")) == ["<script>a</script> <b>b</b>"]


def test_blocks_are_spaced_but_not_below_headings():
    kinds = [(node["type"], bool(node["nodes"])) for node in ricos("## a\n\nb\n\nc")["nodes"]]

    assert kinds == [("HEADING", True), ("PARAGRAPH", True), ("PARAGRAPH", False), ("PARAGRAPH", True)]


def test_the_same_markdown_gives_the_same_document():
    """An attempt that looks its draft up again compares like with like."""
    assert ricos("a\n\n- b") == ricos("a\n\n- b")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([], "must not be empty"),
        ([text_node()], "TEXT is not allowed in document"),
        ([paragraph(text_node(""))], "must not be empty"),
        ([paragraph(text_node("a\nb"))], "line break"),
        ([paragraph(text_node(), colour="red")], "unknown property colour"),
        ([paragraph(text_node(size=3))], "textData: unknown property size"),
        ([paragraph(text_node(7))], "must be a str"),
        ([paragraph(paragraphData={"indentation": True})], "must be a whole number"),
        ([paragraph(paragraphData={"textStyle": {"textAlignment": "LEFTISH"}})], "is not one of"),
        ([paragraph(text_node(decorations=[{"type": "BOLD"}, {"type": "BOLD"}]))], "duplicate decoration BOLD"),
        ([paragraph(text_node(decorations=[{"type": "STRIKETHROUGH"}]))], "unknown decoration"),
        ([paragraph(text_node(decorations=[{"type": "LINK", "linkData": {"link": {}}}]))], "needs a url"),
        ([paragraph(id="n1"), paragraph(id="n1")], "duplicate id"),
        ([paragraph(id="n 1")], "an id consists of"),
        ([{"type": "BLOCKQUOTE", "nodes": [paragraph(), paragraph()]}], "contains one paragraph"),
        ([{"type": "TABLE", "nodes": [{"type": "TABLE_ROW", "nodes": []}]}], "must not be empty"),
        (
            [
                {
                    "type": "TABLE",
                    "nodes": [
                        {"type": "TABLE_ROW", "nodes": [cell(paragraph())]},
                        {"type": "TABLE_ROW", "nodes": [cell(paragraph()), cell(paragraph())]},
                    ],
                }
            ],
            "same length",
        ),
        ([{"type": "HEADING", "nodes": [], "headingData": {"level": 7}}], "not 1 to 6"),
        ([{"type": "BULLETED_LIST", "nodes": []}], "must not be empty"),
        ([{"type": "BLOCKQUOTE", "nodes": [{"type": "HEADING", "nodes": []}]}], "HEADING is not allowed in BLOCKQUOTE"),
        (
            [
                {
                    "type": "BULLETED_LIST",
                    "nodes": [{"type": "LIST_ITEM", "nodes": [{"type": "BULLETED_LIST", "nodes": []}]}],
                }
            ],
            "must not begin with a list",
        ),
        ([{"type": "IMAGE", "nodes": [], "imageData": {"image": {"src": {"id": "f"}}}}], "needs width"),
        ([{"type": "CODE", "nodes": []}], "CODE is not allowed"),
    ],
)
def test_each_rule_is_known(nodes, expected):
    assert any(expected in fault for fault in ricos_faults({"nodes": nodes}))


def test_an_endlessly_nested_document_is_refused():
    node = paragraph()
    for _ in range(2 * DEEPEST):
        node = {"type": "BULLETED_LIST", "nodes": [{"type": "LIST_ITEM", "nodes": [paragraph(), node]}]}

    assert any("nested deeper" in fault for fault in ricos_faults({"nodes": [node]}))
