"""Converts Markdown to Ricos, the rich content of a Wix post.

Ricos allows less nesting than Markdown: a quote contains one paragraph, a list item cannot contain a quote, code or a
table, and a paragraph has no line break. Such blocks become paragraphs with the same text. Rules: `ricos_rules`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from markdown_it.tree import SyntaxTreeNode

from blogworker.post import render
from blogworker.post.ricos_inline import InlineImage, Line, Node, Run, bold, joined, lines, pieces, texts

Place = Literal["root", "item", "flat"]  # flat: only paragraphs are allowed

TEXT_STYLE = {"textStyle": {"textAlignment": "AUTO"}}
BULLET = "• "  # where a list is not allowed
DEEPEST_LIST = 8
ROW_HEIGHT, NARROWEST_COLUMN = 47, 120  # pixels, as in the editor of Wix
TAB = " " * 4
EMPTY_CELL = Run("\N{EN DASH}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A file in the media of the site, with what Wix needs to show it inside a post."""

    file_id: str
    width: int
    height: int


def ricos(
    markdown: str,
    *,
    own_url: str = "",
    links: Iterable[str] = (),
    pictures: Mapping[str, Picture] | None = None,
) -> Node:
    """Return the document of a post's body. Identical Markdown gives an identical document.

    `pictures` maps addresses in the text to files in the media of the site. Other pictures are replaced by their words.
    """
    known = pictures or {}
    tree = SyntaxTreeNode(render.tokens(markdown, own_url=own_url, links=links, pictures=known))
    return {"nodes": _Builder(known).spaced(tree.children)}


class _Builder:
    """Makes nodes, each with a unique id."""

    def __init__(self, pictures: Mapping[str, Picture]) -> None:
        self._ids = count(1)
        self._pictures = pictures

    def spaced(self, blocks: Sequence[SyntaxTreeNode]) -> list[Node]:
        """Return the top level. Wix adds no space between blocks: empty paragraphs do, except after a heading."""
        nodes: list[Node] = []
        for block in blocks:
            made = self._block(block, "root")
            if made and nodes and nodes[-1]["type"] != "HEADING":
                nodes.append(self._paragraph([]))
            nodes += made
        return nodes

    def _block(self, block: SyntaxTreeNode, place: Place, *, depth: int = 0) -> list[Node]:
        match block.type:
            case "heading":
                return [self._heading(block, place)]
            case "bullet_list" | "ordered_list" if place == "flat" or depth == DEEPEST_LIST:
                return self._flat_list(block)
            case "bullet_list" | "ordered_list":
                return [self._list(block, depth)]
            case "blockquote":
                return self._quote(block, place)
            case "fence" | "code_block":
                return self._code(block, place)
            case "hr":
                return [self._divider()] if place == "root" else []
            case "table":
                return [self._table(block)] if place == "root" else self._flat_table(block)
            case _ if place == "flat":
                return [self._paragraph(line) for line in lines(block)]
            case _:
                return [self._piece(piece) for piece in pieces(block)]

    def _heading(self, block: SyntaxTreeNode, place: Place) -> Node:
        line = _one_line(block)
        if place == "flat":
            return self._paragraph(bold(line))
        return self._node("HEADING", texts(line), {"level": int(block.tag[1]), **TEXT_STYLE})

    def _list(self, block: SyntaxTreeNode, depth: int) -> Node:
        items = [self._item(item, depth) for item in block.children]
        if block.type == "bullet_list":
            return self._node("BULLETED_LIST", items, {"indentation": 0})
        return self._node("ORDERED_LIST", items, {"indentation": 0, "start": max(1, _start(block))})

    def _item(self, item: SyntaxTreeNode, depth: int) -> Node:
        children = [node for block in item.children for node in self._block(block, "item", depth=depth + 1)]
        if not children or children[0]["type"].endswith("_LIST"):
            children.insert(0, self._paragraph([]))
        return self._node("LIST_ITEM", children, None)

    def _flat_list(self, block: SyntaxTreeNode) -> list[Node]:
        nodes: list[Node] = []
        for number, item in enumerate(block.children, _start(block)):
            paragraphs = self._flat(item)
            paragraphs[0]["nodes"][:0] = texts([Run(BULLET if block.type == "bullet_list" else f"{number}. ")])
            nodes += paragraphs
        return nodes

    def _quote(self, block: SyntaxTreeNode, place: Place) -> list[Node]:
        """Return a quote for each paragraph, because a Ricos quote contains only one."""
        paragraphs = self._flat(block)
        if place != "root":
            return paragraphs
        return [self._node("BLOCKQUOTE", [node], {"indentation": 0}) for node in paragraphs]

    def _flat(self, block: SyntaxTreeNode) -> list[Node]:
        return [node for child in block.children for node in self._block(child, "flat")] or [self._paragraph([])]

    def _code(self, block: SyntaxTreeNode, place: Place) -> list[Node]:
        code = block.content.replace("\t", TAB).rstrip("\n")
        if not code.strip():
            return []
        if place == "root":
            return [self._node("CODE_BLOCK", texts([Run(code)]), TEXT_STYLE)]
        return [self._paragraph([Run(_indented(line))]) for line in code.splitlines() if line.strip()]

    def _divider(self) -> Node:
        return self._node("DIVIDER", [], {"lineStyle": "SINGLE", "width": "LARGE", "alignment": "CENTER"})

    def _table(self, block: SyntaxTreeNode) -> Node:
        rows = list(_rows(block))
        made = [
            self._node("TABLE_ROW", [self._cell(cell, header=place == 0) for cell in row], None)
            for place, row in enumerate(rows)
        ]
        widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=False)]
        dimensions = {
            "colsWidthRatio": widths,
            "rowsHeight": [ROW_HEIGHT] * len(rows),
            "colsMinWidth": [NARROWEST_COLUMN] * len(widths),
        }
        return self._node("TABLE", made, {"dimensions": dimensions, "rowHeader": True})

    def _cell(self, cell: SyntaxTreeNode, *, header: bool) -> Node:
        line = _one_line(cell)
        side = str(cell.attrs.get("style", "")).removeprefix("text-align:").upper() or "AUTO"
        paragraph = self._paragraph(bold(line) if header else line, side=side)
        return self._node("TABLE_CELL", [paragraph], {})

    def _flat_table(self, block: SyntaxTreeNode) -> list[Node]:
        """Return a paragraph for each row: **column:** cell; **column:** cell."""
        head, *body = [[_one_line(cell) for cell in row] for row in _rows(block)]
        parts = [[_named(name, cell) for name, cell in zip(head, row, strict=False)] for row in body] or [head]
        return [self._paragraph(joined(row, "; ")) for row in parts]

    def _piece(self, piece: Line | InlineImage) -> Node:
        if not isinstance(piece, InlineImage):
            return self._paragraph(piece)
        picture = self._pictures[piece.address]
        data = {
            "containerData": {"width": {"size": "CONTENT"}, "alignment": "CENTER"},
            "image": {"src": {"id": picture.file_id}, "width": picture.width, "height": picture.height},
            "altText": piece.words,
        }
        return self._node("IMAGE", [], data)

    def _paragraph(self, line: Line, *, side: str = "AUTO") -> Node:
        return self._node("PARAGRAPH", texts(line), {"textStyle": {"textAlignment": side}})

    def _node(self, kind: str, nodes: list[Node], data: Node | None) -> Node:
        node: Node = {"type": kind, "id": f"n{next(self._ids)}", "nodes": nodes}
        return node if data is None else {**node, _data_name(kind): data}


def _data_name(kind: str) -> str:
    first, *rest = kind.lower().split("_")
    return f"{first}{''.join(part.title() for part in rest)}Data"


def _start(block: SyntaxTreeNode) -> int:
    return int(block.attrs.get("start", 1))


def _rows(table: SyntaxTreeNode) -> Iterator[list[SyntaxTreeNode]]:
    return (row.children for part in table.children for row in part.children)


def _one_line(block: SyntaxTreeNode) -> Line:
    return joined(lines(block), " ")


def _width(cell: SyntaxTreeNode) -> int:
    """Return the relative width of a cell, limited so that other columns stay readable."""
    return min(40, max(8, sum(len(run.text) for run in _one_line(cell))))


def _named(name: Line, cell: Line) -> Line:
    return [*bold(name), Run(": "), *(cell or [EMPTY_CELL])] if name else cell


def _indented(line: str) -> str:
    """Keep the indentation with no-break spaces: Wix does not show spaces at the start of a paragraph."""
    bare = line.lstrip(" ")
    return "\N{NO-BREAK SPACE}" * (len(line) - len(bare)) + bare
