"""Converts a Ricos document to HTML, as a reader of the site sees it. It may differ from the HTML of the Markdown.

All text is escaped, and only web addresses become links, because the document may come from any source.
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
    """Return the blocks of a document, one per line. A paragraph for spacing is an empty paragraph here too."""
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
            return f"<li>{_content(node)}</li>"
        case kind:
            return f"<{TAGS[kind]}>{_blocks(node)}</{TAGS[kind]}>"


def _blocks(node: Node) -> str:
    return "".join(_block(child) for child in _nodes(node))


def _content(node: Node) -> str:
    """Return the content of a list item or a cell. A single paragraph needs no tag."""
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
    return f"<{tag}{_side(_nodes(cell)[0])}>{_content(cell)}</{tag}>"


def _image(data: Node) -> str:
    image = data["image"]
    source = web_address(image["src"].get("url")) or MEDIA + quote(str(image["src"].get("id", "")))
    size = f'width="{int(image["width"])}" height="{int(image["height"])}"'
    return f'<img src="{escape(source)}" alt="{escape(str(data.get("altText", "")))}" {size}>'


def _side(node: Node) -> str:
    side = node.get("paragraphData", {}).get("textStyle", {}).get("textAlignment")
    return f' style="text-align:{side.lower()}"' if side in SIDES else ""


def _line(node: Node) -> str:
    """Return the text of a line. A link with several styles is still one link."""
    made = []
    for address, group in groupby(_nodes(node), _address):
        inner = "".join(_text(text) for text in group)
        made.append(f'<a href="{escape(address)}">{inner}</a>' if address else inner)
    return "".join(made)


def _text(node: Node) -> str:
    text = escape(str(node["textData"]["text"]))
    styles = {style["type"] for style in node["textData"].get("decorations", [])}
    for kind, tag in (("ITALIC", "em"), ("BOLD", "strong")):
        text = f"<{tag}>{text}</{tag}>" if kind in styles else text
    return text


def _address(node: Node) -> str:
    for style in node["textData"].get("decorations", []):
        if style["type"] == "LINK":
            return web_address(style["linkData"]["link"].get("url"))
    return ""


def _nodes(node: Node) -> Sequence[Node]:
    nodes: Sequence[Node] = node.get("nodes", ())
    return nodes
