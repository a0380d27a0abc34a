"""The inline content of a block: runs of text with one style each, in lines with hard breaks, and pictures."""

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
    """Text with one style."""

    text: str
    styles: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A picture in the text."""

    address: str
    words: str


Line = list[Run]


def pieces(block: SyntaxTreeNode) -> list[Line | InlineImage]:
    """Return the lines of a block and the pictures between them; one empty line if there is nothing."""
    found: list[Line | InlineImage] = []
    for kind, group in groupby(_below(block, ()), type):
        if kind is Run:
            found.append([run for run in group if isinstance(run, Run)])
        else:
            found += [image for image in group if isinstance(image, InlineImage)]
    return found or [[]]


def lines(block: SyntaxTreeNode) -> list[Line]:
    """Return the lines of a block in which pictures are not allowed and are replaced by their words."""
    found: list[Line] = [[]]
    for piece in _below(block, ()):
        match piece:
            case Run():
                found[-1].append(piece)
            case InlineImage():
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
    return [replace(run, styles=_with(run.styles, BOLD)) for run in line]


def texts(line: Line) -> list[Node]:
    """Return the nodes of a line. Adjacent text with the same style is one node."""
    return [
        {"type": "TEXT", "id": "", "nodes": [], "textData": {"text": text, "decorations": list(styles)}}
        for styles, runs in groupby(line, lambda run: run.styles)
        if (text := "".join(run.text for run in runs))
    ]


def _below(node: SyntaxTreeNode, styles: tuple[Node, ...]) -> Iterator[Run | InlineImage | None]:
    """Yield the runs and pictures below a node; None is a line break."""
    for child in node.children:
        yield from _found(child, styles)


def _found(node: SyntaxTreeNode, styles: tuple[Node, ...]) -> Iterator[Run | InlineImage | None]:
    match node.type:
        case "text" | "code_inline":
            yield Run(" ".join(node.content.splitlines()), styles)
        case "softbreak":
            yield Run(" ", styles)
        case "hardbreak":
            yield None
        case "image":
            yield InlineImage(str(node.attrs.get("src", "")), node.content)
        case "strong":
            yield from _below(node, _with(styles, BOLD))
        case "em":
            yield from _below(node, _with(styles, ITALIC))
        case "link":
            link = {"url": str(node.attrs.get("href", "")), "target": "SELF"}
            yield from _below(node, _with(styles, {"type": "LINK", "linkData": {"link": link}}))
        case _:
            yield from _below(node, styles)


def _with(styles: Sequence[Node], style: Node) -> tuple[Node, ...]:
    return tuple(styles) if style in styles else (*styles, style)
