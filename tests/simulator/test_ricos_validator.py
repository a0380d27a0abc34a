"""The validation of rich content."""

import copy
from typing import Any

import pytest

from blogworker.simulator.ricos_rules import violations


def text(words: str, *decorations: dict[str, Any]) -> dict[str, Any]:
    return {"type": "TEXT", "id": "", "nodes": [], "textData": {"text": words, "decorations": list(decorations)}}


def paragraph(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"type": "PARAGRAPH", "nodes": list(nodes), "paragraphData": {"textStyle": {"textAlignment": "AUTO"}}}


LINK = {
    "type": "LINK",
    "linkData": {"link": {"url": "https://e.example", "target": "BLANK", "rel": {"noreferrer": True}}},
}
ITEM = {"type": "LIST_ITEM", "nodes": [paragraph(text("item"))]}
IMAGE = {"type": "IMAGE", "nodes": [], "imageData": {"image": {"src": {"id": "f"}, "width": 1024, "height": 576}}}
CELL = {"type": "TABLE_CELL", "nodes": [paragraph(text("cell"))], "tableCellData": {}}
TABLE = {
    "type": "TABLE",
    "nodes": [{"type": "TABLE_ROW", "nodes": [CELL, CELL]}],
    "tableData": {"dimensions": {"colsWidthRatio": [1, 1], "rowsHeight": [48], "colsMinWidth": [120, 120]}},
}
DOCUMENT = {
    "nodes": [
        {"type": "HEADING", "id": "n1", "nodes": [text("Section")], "headingData": {"level": 2}},
        paragraph(text("bold", {"type": "BOLD", "fontWeightValue": 700}), text(" link", LINK)),
        paragraph(),
        {"type": "BULLETED_LIST", "nodes": [ITEM], "bulletedListData": {"indentation": 0}},
        {"type": "ORDERED_LIST", "nodes": [ITEM], "orderedListData": {"indentation": 0, "start": 1}},
        {"type": "BLOCKQUOTE", "nodes": [paragraph(text("quote"))], "blockquoteData": {"indentation": 0}},
        {"type": "CODE_BLOCK", "nodes": [text("a = 1")], "codeBlockData": {"textStyle": {"textAlignment": "AUTO"}}},
        IMAGE,
        {"type": "DIVIDER", "nodes": [], "dividerData": {"lineStyle": "SINGLE", "width": "LARGE"}},
        TABLE,
    ],
    "metadata": {"version": 1},
    "documentStyle": {},
}


def test_a_document_with_every_common_node_is_valid() -> None:
    assert violations(DOCUMENT) == []


@pytest.mark.parametrize(
    ("nodes", "rule", "path"),
    [
        ([text("loose")], "INVALID_NESTING", "richContent.nodes[0]"),
        ([{"type": "BULLETED_LIST", "nodes": [], "bulletedListData": {}}], "MIN_SIZE", "richContent.nodes[0].nodes"),
        (
            [{"type": "BULLETED_LIST", "nodes": [{"type": "LIST_ITEM", "nodes": [text("x")]}]}],
            "INVALID_NESTING", "richContent.nodes[0].nodes[0].nodes[0]",
        ),
        ([{"type": "BLOCKQUOTE", "nodes": [ITEM]}], "INVALID_NESTING", "richContent.nodes[0].nodes[0]"),
        ([{"type": "HEADING", "nodes": [], "headingData": {"level": 7}}], "INVALID_VALUE",
         "richContent.nodes[0].headingData.level"),
        ([paragraph(text("one\ntwo"))], "INVALID_CHARACTER", "richContent.nodes[0].nodes[0].textData.text"),
        ([paragraph(text(""))], "MIN_LENGTH", "richContent.nodes[0].nodes[0].textData.text"),
        ([paragraph(text("x", {"type": "STRIKETHROUGH"}))], "INVALID_ENUM_VALUE",
         "richContent.nodes[0].nodes[0].textData.decorations[0].type"),
        ([paragraph(text("x", {"type": "LINK", "linkData": {"link": {"url": "u", "target": "_blank"}}}))],
         "INVALID_ENUM_VALUE", "richContent.nodes[0].nodes[0].textData.decorations[0].linkData.link.target"),
        ([{"type": "PARAGRAPH", "nodes": [], "colour": "red"}], "UNKNOWN_PROPERTY", "richContent.nodes[0].colour"),
        ([{"type": "IMAGE", "nodes": [], "imageData": {"image": {"src": {"id": "f"}}}}], "INVALID_VALUE",
         "richContent.nodes[0].imageData.image.width"),
        ([{"type": "POEM", "nodes": []}], "INVALID_ENUM_VALUE", "richContent.nodes[0].type"),
    ],
)  # fmt: skip
def test_a_violation_has_a_rule_and_a_path(nodes: list[dict[str, Any]], rule: str, path: str) -> None:
    found = violations({"nodes": nodes})

    assert (rule, path) in [(violation.rule, violation.field) for violation in found]


def test_the_rows_of_a_table_must_have_the_same_length() -> None:
    table = copy.deepcopy(TABLE)
    table["nodes"].append({"type": "TABLE_ROW", "nodes": [CELL]})

    assert {violation.rule for violation in violations({"nodes": [table]})} == {"INVALID_SIZE"}


@pytest.mark.parametrize("document", [None, [], {}, {"nodes": None}, {"nodes": [7]}])
def test_other_values_than_documents_are_rejected(document: Any) -> None:
    assert violations(document)
