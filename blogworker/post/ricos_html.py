"""A Ricos document as HTML: the page that a reader of the site gets, which is not quite the Markdown's own.

All text is escaped, and only web addresses become links: a document may come from anywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any
from urllib.parse import quote

from blogworker.post.plain import web_address

Node = Mapping[str, Any]

MEDIA = "https://static.wixstatic.com/media/"
TAGS = {"BULLETED_LIST": "ul", "BLOCKQUOTE": "blockquote", "LIST_ITEM": "li"}
SIDES = frozenset({"LEFT", "RIGHT", "CENTER", "JUSTIFY"})


def ricos_html(document: Node) -> str:
    """The blocks of a document, a line each. A paragraph that only makes room is an empty one here too."""
    return "\n".join(_block(node) for node in _nodes(document))


def _block(node: Node) -> str:
    match node["type"]:
        case "PARAGRAPH":
            return f"<p{_side(node)}>{_line(node)}</p>"
        case "HEADING":
            level = int(node["headingData"]["level"])
            return f"<h{level}>{_line(node)}</h{level}>"
        case "CODE_BLOCK":
            return f"<pre><code>{_line(node)}\n</code></pre>"
        case "DIVIDER":
            return "<hr>"
        case "IMAGE":
            return _image(node["imageData"])
        case "TABLE":
            return _table(node)
        case "ORDERED_LIST":
            start = int(node.get("orderedListData", {}).get("start", 1))
            first = f' start="{start}"' if start != 1 else ""
            return f"<ol{first}>{_blocks(node)}</ol>"
        case "LIST_ITEM":
            return f"<li>{_held(node)}</li>"
        case kind:
            return f"<{TAGS[kind]}>{_blocks(node)}</{TAGS[kind]}>"


def _blocks(node: Node) -> str:
    return "".join(_block(child) for child in _nodes(node))


def _held(node: Node) -> str:
    """What an item or a cell holds; one paragraph alone needs no tag."""
    lines = [child for child in _nodes(node) if child["type"] == "PARAGRAPH"]
    return "".join(_line(child) if lines == [child] else _block(child) for child in _nodes(node))


def _table(node: Node) -> str:
    rows = _nodes(node)
    heads = 1 if node.get("tableData", {}).get("rowHeader") else 0
    head, body = _rows(rows[:heads], "th"), _rows(rows[heads:], "td")
    return f"<table>{head and f'<thead>{head}</thead>'}{body and f'<tbody>{body}</tbody>'}</table>"


def _rows(rows: Iterable[Node], tag: str) -> str:
    return "".join(f"<tr>{''.join(_cell(cell, tag) for cell in _nodes(row))}</tr>" for row in rows)


def _cell(cell: Node, tag: str) -> str:
    return f"<{tag}{_side(_nodes(cell)[0])}>{_held(cell)}</{tag}>"


def _image(data: Node) -> str:
    image = data["image"]
    source = web_address(image["src"].get("url")) or MEDIA + quote(str(image["src"].get("id", "")))
    size = f'width="{int(image["width"])}" height="{int(image["height"])}"'
    return f'<img src="{escape(source)}" alt="{escape(str(data.get("altText", "")))}" {size}>'


def _side(node: Node) -> str:
    side = node.get("paragraphData", {}).get("textStyle", {}).get("textAlignment")
    return f' style="text-align:{side.lower()}"' if side in SIDES else ""


def _line(node: Node) -> str:
    """The text of a line; a link is one link though its looks change."""
    made = []
    for address, group in groupby(_nodes(node), _address):
        inner = "".join(_text(text) for text in group)
        made.append(f'<a href="{escape(address)}">{inner}</a>' if address else inner)
    return "".join(made)


def _text(node: Node) -> str:
    text = escape(str(node["textData"]["text"]))
    looks = {look["type"] for look in node["textData"].get("decorations", [])}
    for kind, tag in (("ITALIC", "em"), ("BOLD", "strong")):
        text = f"<{tag}>{text}</{tag}>" if kind in looks else text
    return text


def _address(node: Node) -> str:
    for look in node["textData"].get("decorations", []):
        if look["type"] == "LINK":
            return web_address(look["linkData"]["link"].get("url"))
    return ""


def _nodes(node: Node) -> Sequence[Node]:
    nodes: Sequence[Node] = node.get("nodes", ())
    return nodes
