"""Markdown into Ricos, the rich content of a Wix post.

Ricos nests less than Markdown does: a quote holds paragraphs only, a list item may not hold a quote, text may not hold
a line break. What does not fit is turned into paragraphs that read the same. Rules: `ricos_rules`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from markdown_it.tree import SyntaxTreeNode

from blogworker.stages import render

Node = dict[str, Any]
Place = Literal["root", "item", "quote"]

BOLD: Node = {"type": "BOLD", "fontWeightValue": 700}
ITALIC: Node = {"type": "ITALIC", "italicData": True}
TEXT_STYLE = {"textStyle": {"textAlignment": "AUTO"}}
BULLET = "• "  # where a list may not stand


@dataclass(frozen=True, slots=True)
class Run:
    """Text of one look."""

    text: str
    looks: tuple[Node, ...] = ()


Line = list[Run]


def ricos(markdown: str, *, own_url: str = "") -> Node:
    """The document of a post's body. Identical Markdown gives an identical document."""
    tree = SyntaxTreeNode(render.tokens(markdown, own_url=own_url))
    return {"nodes": _Builder().spaced(tree.children)}


class _Builder:
    """Makes nodes, each with an id of its own."""

    def __init__(self) -> None:
        self._ids = count(1)

    def spaced(self, blocks: Sequence[SyntaxTreeNode]) -> list[Node]:
        """The top level. Wix puts no space between blocks; an empty paragraph does, except below a heading."""
        nodes: list[Node] = []
        for block in blocks:
            if nodes and nodes[-1]["type"] != "HEADING":
                nodes.append(self._paragraph([]))
            nodes += self._block(block, "root")
        return nodes

    def _block(self, block: SyntaxTreeNode, place: Place) -> list[Node]:
        match block.type, place:
            case "heading", "root" | "item":
                return [self._heading(block)]
            case (("bullet_list" | "ordered_list"), "root" | "item"):
                return [self._list(block)]
            case (("bullet_list" | "ordered_list"), "quote"):
                return self._flat_list(block)
            case "blockquote", "root":
                return [self._node("BLOCKQUOTE", self._quoted(block), {"indentation": 0})]
            case "blockquote", _:
                return self._quoted(block)
            case (("fence" | "code_block"), _):
                return self._code(block, place)
            case "hr", _:
                return [self._divider()] if place == "root" else []
            case "table", _:
                return self._table(block)
            case _:
                return [self._paragraph(line) for line in _lines(block)]

    def _heading(self, block: SyntaxTreeNode) -> Node:
        runs: Line = []
        for line in _lines(block):
            runs += [Run(" "), *line] if runs else line
        return self._node("HEADING", self._texts(runs), {"level": int(block.tag[1]), **TEXT_STYLE})

    def _list(self, block: SyntaxTreeNode) -> Node:
        items = [self._item(item) for item in block.children]
        if block.type == "bullet_list":
            return self._node("BULLETED_LIST", items, {"indentation": 0})
        return self._node("ORDERED_LIST", items, {"indentation": 0, "start": max(1, int(block.attrs.get("start", 1)))})

    def _item(self, item: SyntaxTreeNode) -> Node:
        held = [node for block in item.children for node in self._block(block, "item")]
        if not held or held[0]["type"].endswith("_LIST"):
            held.insert(0, self._paragraph([]))
        return self._node("LIST_ITEM", held, None)

    def _quoted(self, block: SyntaxTreeNode) -> list[Node]:
        return [node for child in block.children for node in self._block(child, "quote")] or [self._paragraph([])]

    def _flat_list(self, block: SyntaxTreeNode) -> list[Node]:
        held = [(item, self._block(child, "quote")) for item in block.children for child in item.children]
        for item, nodes in held:
            if nodes and item.children[0].type == "paragraph":
                nodes[0]["nodes"][:0] = self._texts([Run(BULLET)])
        return [node for _, nodes in held for node in nodes]

    def _code(self, block: SyntaxTreeNode, place: Place) -> list[Node]:
        lines = [line.replace("\t", "    ") for line in block.content.splitlines() if line.strip()]
        if place != "root":
            return [self._paragraph([Run(line)]) for line in lines]
        return [self._node("CODE_BLOCK", self._texts([Run(line)]), TEXT_STYLE) for line in lines]

    def _divider(self) -> Node:
        look = {"lineStyle": "SINGLE", "width": "LARGE", "alignment": "CENTER"}
        return self._node("DIVIDER", [], look)

    def _table(self, block: SyntaxTreeNode) -> list[Node]:
        """A paragraph for each row: **column:** cell; **column:** cell."""
        rows = [[_one_line(cell) for cell in row.children] for part in block.children for row in part.children]
        head, body = rows[0], rows[1:]
        if not body:
            return [self._paragraph(_joined(head, "; "))]
        return [
            self._paragraph(_joined([_cell(name, cell) for name, cell in zip(head, row, strict=False) if cell], "; "))
            for row in body
        ]

    def _paragraph(self, line: Line) -> Node:
        return self._node("PARAGRAPH", self._texts(line), TEXT_STYLE)

    def _texts(self, line: Line) -> list[Node]:
        return [
            {"type": "TEXT", "id": "", "nodes": [], "textData": {"text": run.text, "decorations": list(run.looks)}}
            for run in line
            if run.text
        ]

    def _node(self, kind: str, nodes: list[Node], data: Node | None) -> Node:
        node: Node = {"type": kind, "id": f"n{next(self._ids)}", "nodes": nodes}
        return node if data is None else {**node, _data_name(kind): data}


def _data_name(kind: str) -> str:
    first, *rest = kind.lower().split("_")
    return f"{first}{''.join(part.title() for part in rest)}Data"


def _lines(block: SyntaxTreeNode) -> list[Line]:
    """A block's inline content, one entry for each line that its author broke by hand."""
    lines: list[Line] = [[]]
    for child in block.children:
        for run in _runs(child, ()):
            if run is None:
                lines.append([])
            else:
                lines[-1].append(run)
    return [line for line in lines if line] or [[]]


def _runs(node: SyntaxTreeNode, looks: tuple[Node, ...]) -> Iterator[Run | None]:
    """The runs below a node; None is a line break."""
    match node.type:
        case "text" | "code_inline":
            yield Run(" ".join(node.content.splitlines()), looks)
        case "softbreak":
            yield Run(" ", looks)
        case "hardbreak":
            yield None
        case "strong":
            yield from _below(node, _with(looks, BOLD))
        case "em":
            yield from _below(node, _with(looks, ITALIC))
        case "link":
            link = {"url": str(node.attrs.get("href", "")), "target": "SELF"}
            yield from _below(node, _with(looks, {"type": "LINK", "linkData": {"link": link}}))
        case _:
            yield from _below(node, looks)


def _below(node: SyntaxTreeNode, looks: tuple[Node, ...]) -> Iterator[Run | None]:
    for child in node.children:
        yield from _runs(child, looks)


def _with(looks: tuple[Node, ...], look: Node) -> tuple[Node, ...]:
    return looks if look in looks else (*looks, look)


def _one_line(block: SyntaxTreeNode) -> Line:
    return _joined(_lines(block), " ")


def _joined(lines: Iterable[Line], mark: str) -> Line:
    runs: Line = []
    for line in lines:
        runs += [Run(mark), *line] if runs and line else line
    return runs


def _cell(name: Line, cell: Line) -> Line:
    return [*(Run(run.text, _with(run.looks, BOLD)) for run in name), Run(": "), *cell] if name else cell
