"""What stands inside a block: runs of text of one look each, in the lines their author broke by hand, and pictures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from markdown_it.tree import SyntaxTreeNode

Node = dict[str, Any]

BOLD: Node = {"type": "BOLD", "fontWeightValue": 700}
ITALIC: Node = {"type": "ITALIC", "italicData": True}


@dataclass(frozen=True, slots=True)
class Run:
    """Text of one look."""

    text: str
    looks: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture in the text."""

    address: str
    words: str


Line = list[Run]


def pieces(block: SyntaxTreeNode) -> list[Line | Shown]:
    """A block's inline content: its lines, and the pictures between them; one empty line if there is nothing."""
    found: list[Line | Shown] = []
    for kind, group in groupby(_below(block, ()), type):
        if kind is Run:
            found.append([run for run in group if isinstance(run, Run)])
        else:
            found += [shown for shown in group if isinstance(shown, Shown)]
    return found or [[]]


def lines(block: SyntaxTreeNode) -> list[Line]:
    """A block's inline content where no picture may stand: its words are there instead."""
    found: list[Line] = [[]]
    for piece in _below(block, ()):
        match piece:
            case Run():
                found[-1].append(piece)
            case Shown():
                found[-1].append(Run(piece.words))
            case None:
                found.append([])
    return [line for line in found if line] or [[]]


def joined(parts: Iterable[Line], mark: str) -> Line:
    runs: Line = []
    for part in parts:
        runs += [Run(mark), *part] if runs and part else part
    return runs


def bold(line: Line) -> Line:
    return [replace(run, looks=_with(run.looks, BOLD)) for run in line]


def texts(line: Line) -> list[Node]:
    """The nodes of a line; what looks alike is one node."""
    return [
        {"type": "TEXT", "id": "", "nodes": [], "textData": {"text": text, "decorations": list(looks)}}
        for looks, runs in groupby(line, lambda run: run.looks)
        if (text := "".join(run.text for run in runs))
    ]


def _below(node: SyntaxTreeNode, looks: tuple[Node, ...]) -> Iterator[Run | Shown | None]:
    """The runs and pictures below a node; None is a line break."""
    for child in node.children:
        yield from _found(child, looks)


def _found(node: SyntaxTreeNode, looks: tuple[Node, ...]) -> Iterator[Run | Shown | None]:
    match node.type:
        case "text" | "code_inline":
            yield Run(" ".join(node.content.splitlines()), looks)
        case "softbreak":
            yield Run(" ", looks)
        case "hardbreak":
            yield None
        case "image":
            yield Shown(str(node.attrs.get("src", "")), node.content)
        case "strong":
            yield from _below(node, _with(looks, BOLD))
        case "em":
            yield from _below(node, _with(looks, ITALIC))
        case "link":
            link = {"url": str(node.attrs.get("href", "")), "target": "SELF"}
            yield from _below(node, _with(looks, {"type": "LINK", "linkData": {"link": link}}))
        case _:
            yield from _below(node, looks)


def _with(looks: Sequence[Node], look: Node) -> tuple[Node, ...]:
    return tuple(looks) if look in looks else (*looks, look)
