"""Converts text to rich content and back: paragraphs, headings and lists only."""

import html
import re
from collections.abc import Iterator
from typing import Any

_HTML_BLOCK = re.compile(r"<(h[1-6]|p|li|blockquote)\b[^>]*>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_MARKS = re.compile(r"(\*\*|\*|__|`)")

Block = tuple[str, int, str]  # kind (p, h, li), heading level, text


def document_of(form: str, text: str, plugins: frozenset[str]) -> dict[str, Any]:
    """Convert a text to a rich content document. `form`: html, markdown or plainText."""
    read = {"html": _html_blocks, "markdown": _markdown_blocks, "plainText": _plain_blocks}[form]
    nodes: list[dict[str, Any]] = []
    for number, (kind, level, words) in enumerate(read(text), start=1):
        node_id = f"n{number}"
        if kind == "h" and "HEADING" in plugins:
            nodes.append({"type": "HEADING", "id": node_id, "nodes": [_text(words)], "headingData": {"level": level}})
        elif kind == "li":
            item = {"type": "LIST_ITEM", "id": f"{node_id}i", "nodes": [_paragraph(f"{node_id}p", words)]}
            if nodes and nodes[-1]["type"] == "BULLETED_LIST":
                nodes[-1]["nodes"].append(item)
            else:
                nodes.append({"type": "BULLETED_LIST", "id": node_id, "nodes": [item], "bulletedListData": {}})
        else:
            nodes.append(_paragraph(node_id, words))
    return {"nodes": nodes, "metadata": {"version": 1}}


def text_of(form: str, document: dict[str, Any]) -> str:
    """Convert a document to text. `form`: HTML, MARKDOWN or PLAIN_TEXT."""
    lines = [_render(form, node) for node in document.get("nodes", [])]
    return ("" if form == "HTML" else "\n\n").join(line for line in lines if line)


def _html_blocks(text: str) -> Iterator[Block]:
    for tag, inner in _HTML_BLOCK.findall(text):
        words = html.unescape(_TAG.sub("", inner)).strip()
        if words:
            name = tag.lower()
            yield ("h", int(name[1]), words) if name[0] == "h" else ("li" if name == "li" else "p", 0, words)


def _markdown_blocks(text: str) -> Iterator[Block]:
    for block in re.split(r"\n\s*\n|\n(?=[#*-] ?)", text):
        words = _MARKS.sub("", block).strip()
        if heading := re.match(r"(#{1,6})\s+(.*)", block.strip()):
            yield "h", len(heading[1]), _MARKS.sub("", heading[2])
        elif item := re.match(r"[-*]\s+(.*)", block.strip(), re.DOTALL):
            yield "li", 0, _MARKS.sub("", " ".join(item[1].split()))
        elif words:
            yield "p", 0, " ".join(words.split())


def _plain_blocks(text: str) -> Iterator[Block]:
    for block in text.split("\n"):
        if block.strip():
            yield "p", 0, block.strip()


def _text(words: str) -> dict[str, Any]:
    return {"type": "TEXT", "id": "", "nodes": [], "textData": {"text": words, "decorations": []}}


def _paragraph(node_id: str, words: str) -> dict[str, Any]:
    return {"type": "PARAGRAPH", "id": node_id, "nodes": [_text(words)], "paragraphData": {}}


def _words(node: dict[str, Any]) -> str:
    own = (node.get("textData") or {}).get("text", "")
    return str(own) + "".join(_words(child) for child in node.get("nodes", []))


def _render(form: str, node: dict[str, Any]) -> str:
    words = _words(node)
    match form, node.get("type"):
        case "HTML", "HEADING":
            level = (node.get("headingData") or {}).get("level", 2)
            return f"<h{level}>{html.escape(words)}</h{level}>"
        case "HTML", "BULLETED_LIST" | "ORDERED_LIST" as kind:
            tag = "ul" if kind == "BULLETED_LIST" else "ol"
            items = "".join(f"<li>{html.escape(_words(item))}</li>" for item in node.get("nodes", []))
            return f"<{tag}>{items}</{tag}>"
        case "HTML", _:
            return f"<p>{html.escape(words)}</p>" if words else ""
        case "MARKDOWN", "HEADING":
            return f"{'#' * (node.get('headingData') or {}).get('level', 2)} {words}"
        case "MARKDOWN", "BULLETED_LIST" | "ORDERED_LIST":
            return "\n".join(f"- {_words(item)}" for item in node.get("nodes", []))
        case "MARKDOWN", "BLOCKQUOTE":
            return f"> {words}"
    return words
