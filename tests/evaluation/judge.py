"""A reader of published posts who knows no rule of the program: a post is as good as the one that was not spoilt.

What a reader finds in a post and not in the good one got through; what is missing was lost to a repair. Every form is
read: title, excerpt, the fields for search engines, tags, alternative text, the page as HTML and as Wix's rich content.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from html.parser import HTMLParser
from typing import Any

from blogworker.post.draft import draft_of

LINES = ("title", "excerpt", "seo_title", "seo_description", "image_alt")
BLOCKS = frozenset({"p", "li", "h2", "h3", "h4", "h5", "h6", "td", "th", "blockquote", "pre", "hr"})
HELD = frozenset({"ul", "ol", "table", "strong", "em", "a", "br"})  # markup that a reader sees as such
TOKEN = re.compile(r"\w+|[^\w\s]")
ALIKE = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'"})
SHOWN = 6  # tokens of a finding


@dataclass(frozen=True)
class Published:
    """All that a reader can come to see, form by form."""

    forms: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """What differs from the good post; both empty: nothing does."""

    strange: str = ""
    lost: str = ""


class _Page(HTMLParser):
    """The lines of a page, each with the name of its element, and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self.lines.append(f"{tag} ")
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")
        if tag in ("img", "script", "style", "del", "s", "input", "sup"):
            self.lines.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.lines.append("")

    def handle_data(self, data: str) -> None:
        if not self.lines:
            self.lines.append("")
        self.lines[-1] += data


def published(content: Mapping[str, Any]) -> Published:
    """The forms of a post, as they leave the last stage that writes."""
    draft = draft_of(content, member_id="m", language=None, keywords=[])
    return Published(
        {
            **{name: (str(content[name]),) for name in LINES},
            "tags": tuple(content["tags"]),
            **_page(content["html"]),
            **_rich(draft["richContent"]),
        }
    )


def _page(html: str) -> dict[str, tuple[str, ...]]:
    page = _Page()
    page.feed(html)
    return {"html": _lines(page.lines), "html links": tuple(page.links)}


def _rich(document: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    lines: list[str] = []
    links: list[str] = []

    def walk(node: Mapping[str, Any]) -> str:
        text = str(node.get("textData", {}).get("text", ""))
        marks = node.get("textData", {}).get("decorations", [])
        links.extend(mark["linkData"]["link"]["url"] for mark in marks if mark["type"] == "LINK")
        inner = "".join(map(walk, node.get("nodes", [])))
        if node["type"] in ("PARAGRAPH", "HEADING", "CODE_BLOCK"):
            lines.append(f"{node['type']} {inner}")
        elif node["type"] not in ("TEXT", "TABLE_ROW"):
            lines.append(node["type"])
        return text + inner

    for node in document["nodes"]:
        walk(node)
    return {"rich": _lines(lines), "rich links": tuple(links)}


def _lines(lines: list[str]) -> tuple[str, ...]:
    return tuple(kept for line in lines if (kept := " ".join(line.split())))


def compared(post: Published, good: Published, *, may_stay: frozenset[str] = frozenset()) -> Verdict:
    """`may_stay`: tokens that a right repair leaves in, such as those of the product's own address."""
    strange, lost = [], []
    for name, expected in good.forms.items():
        found = post.forms[name]
        if found == expected:
            continue
        more, less = _apart(found, expected)
        if more and not set(more) <= may_stay:
            strange.append(f"{name}: {' '.join(more[:SHOWN])}")
        if less:
            lost.append(f"{name}: {' '.join(less[:SHOWN])}")
    return Verdict("; ".join(strange), "; ".join(lost))


def _apart(found: tuple[str, ...], expected: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The tokens of the one that are not in the other, and the reverse, in their order."""
    here = TOKEN.findall("\n".join(found).translate(ALIKE))
    there = TOKEN.findall("\n".join(expected).translate(ALIKE))
    more: list[str] = []
    less: list[str] = []
    for kind, start, end, begin, stop in SequenceMatcher(None, here, there, autojunk=False).get_opcodes():
        if kind != "equal":
            more += here[start:end]
            less += there[begin:stop]
    return more, less
