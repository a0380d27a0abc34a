"""Markdown into Ricos, the rich content of a Wix post.

Ricos nests less than Markdown does: a quote holds one paragraph, a list item holds no quote, code or table, and no
paragraph a line break. What does not fit is turned into paragraphs that read the same. Rules: `ricos_rules`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from markdown_it.tree import SyntaxTreeNode

from blogworker.post import render
from blogworker.post.ricos_inline import Line, Node, Run, Shown, bold, joined, lines, pieces, texts

Place = Literal["root", "item", "flat"]  # flat: only paragraphs may stand here

TEXT_STYLE = {"textStyle": {"textAlignment": "AUTO"}}
BULLET = "• "  # where a list may not stand
DEEPEST_LIST = 8
ROW_HEIGHT, NARROWEST_COLUMN = 47, 120  # pixels, as Wix's own editor has them
TAB = " " * 4
NOTHING = Run("\N{EN DASH}")  # an empty cell, told


@dataclass(frozen=True, slots=True)
class Picture:
    """A file in the site's media, as Wix wants one shown inside a post."""

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
    """The document of a post's body. Identical Markdown gives an identical document.

    `pictures` are those of the site's media by the address that the text knows them by; of others the words are kept.
    """
    known = pictures or {}
    tree = SyntaxTreeNode(render.tokens(markdown, own_url=own_url, links=links, pictures=known))
    return {"nodes": _Builder(known).spaced(tree.children)}


class _Builder:
    """Makes nodes, each with an id of its own."""

    def __init__(self, pictures: Mapping[str, Picture]) -> None:
        self._ids = count(1)
        self._pictures = pictures

    def spaced(self, blocks: Sequence[SyntaxTreeNode]) -> list[Node]:
        """The top level. Wix puts no space between blocks; an empty paragraph does, except below a heading."""
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
        held = [node for block in item.children for node in self._block(block, "item", depth=depth + 1)]
        if not held or held[0]["type"].endswith("_LIST"):
            held.insert(0, self._paragraph([]))
        return self._node("LIST_ITEM", held, None)

    def _flat_list(self, block: SyntaxTreeNode) -> list[Node]:
        nodes: list[Node] = []
        for number, item in enumerate(block.children, _start(block)):
            held = self._flat(item)
            held[0]["nodes"][:0] = texts([Run(BULLET if block.type == "bullet_list" else f"{number}. ")])
            nodes += held
        return nodes

    def _quote(self, block: SyntaxTreeNode, place: Place) -> list[Node]:
        """One after the other the paragraphs of a quote, for one quote holds only one."""
        held = self._flat(block)
        return held if place != "root" else [self._node("BLOCKQUOTE", [node], {"indentation": 0}) for node in held]

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
        """A paragraph for each row: **column:** cell; **column:** cell."""
        head, *body = [[_one_line(cell) for cell in row] for row in _rows(block)]
        told = [[_named(name, cell) for name, cell in zip(head, row, strict=False)] for row in body] or [head]
        return [self._paragraph(joined(row, "; ")) for row in told]

    def _piece(self, piece: Line | Shown) -> Node:
        if not isinstance(piece, Shown):
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
    """How much room a cell asks for, within what keeps its neighbours readable."""
    return min(40, max(8, sum(len(run.text) for run in _one_line(cell))))


def _named(name: Line, cell: Line) -> Line:
    return [*bold(name), Run(": "), *(cell or [NOTHING])] if name else cell


def _indented(line: str) -> str:
    """Spaces at the beginning of a paragraph would not be seen."""
    bare = line.lstrip(" ")
    return "\N{NO-BREAK SPACE}" * (len(line) - len(bare)) + bare
