"""Converts the Markdown of the model to tokens that are safe to publish, and the tokens to HTML.

All formats of a post are made from the tokens: HTML here, Ricos in `ricos`. So no format contains what is removed here:
links to other pages than the product's and the related posts, foreign pictures, raw HTML, first-level headings.
"""

import re
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from blogworker.post.plain import printable

TOP_LEVEL, LOWEST_LEVEL = 2, 6  # level one is the title of the page
DEEPEST = 100  # nested blocks; the parser silently drops deeper ones
UNCLOSED_MAX = 50  # unclosed brackets; the parser searches the end of each one, so 20,000 take minutes
PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST}).enable("table")
PLAIN = MarkdownIt("zero")
BRACKETS = re.compile(r"[\[\]]")
MARKS = re.compile(r"[\\`*_<>~|&]")
# Thai, Lao, Myanmar and Khmer; kana and Han.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+|[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef\U00020000-\U0003ffff]+"
)
THAI_WORD, HAN_WORD = 4, 2  # average letters per word


def tokens(
    markdown: str, *, own_url: str = "", links: Iterable[str] = (), pictures: Container[str] = ()
) -> list[Token]:
    """Return the document, safe to publish, with headings of the levels two to six.

    Links stay only if they lead to `own_url` or `links`, and pictures only at the given addresses. Others are replaced
    by their words.
    """
    text = printable(markdown)
    if text.count("[") - text.count("]") > UNCLOSED_MAX:
        text = text.replace("[", r"\[")
    parsed = PARSER.parse(text)
    if any(token.level >= DEEPEST - 1 for token in parsed):
        parsed = PLAIN.parse(text)
    allowed = [url for url in (own_url, *links) if url]
    shift = 1 if any(token.tag == "h1" for token in parsed) else 0
    for token in parsed:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(LOWEST_LEVEL, max(TOP_LEVEL, int(token.tag[1]) + shift))}"
        if token.children:
            token.children = list(_safe(token.children, allowed, pictures))
    return parsed


def html(markdown: str, *, own_url: str = "", links: Iterable[str] = ()) -> str:
    """Return the body of a post as HTML in which every tag is closed."""
    return str(PARSER.renderer.render(tokens(markdown, own_url=own_url, links=links), PARSER.options, {})).strip()


def linked_in(markdown: str, *, own_url: str = "", links: Iterable[str] = ()) -> set[str]:
    """Return those of the addresses that the post links to."""
    found = (token.children or [] for token in tokens(markdown, own_url=own_url, links=links))
    return {str(child.attrGet("href")) for children in found for child in children if child.type == "link_open"}


def link_to(url: str, words: str) -> str:
    """Return a Markdown link with these words, in which marks are escaped."""
    label = MARKS.sub(r"\\\g<0>", BRACKETS.sub("", words))
    return f"[{label}](<{url}>)"


@lru_cache(maxsize=256)  # the fields of some posts, which several checks read
def text(markdown: str) -> str:
    """Return the text that a reader sees, without Markdown marks."""
    return "\n".join(inline_text(token.children or []) for token in tokens(markdown) if token.type == "inline")


def word_count(markdown: str) -> int:
    """Return the number of words. In scripts without spaces it is estimated from the number of letters."""
    read = text(markdown)
    unspaced = sum(len(run) / letters for run, letters in _runs(read))
    return len(UNSPACED.sub(" ", read).split()) + round(unspaced)


def _runs(read: str) -> Iterable[tuple[str, int]]:
    return ((run[0], THAI_WORD if run[0][0] < "\u2e80" else HAN_WORD) for run in UNSPACED.finditer(read))


def inline_text(children: Sequence[Token]) -> str:
    return "".join(" " if child.type in ("softbreak", "hardbreak") else child.content for child in children)


def matching_page(address: str, pages: Iterable[str]) -> str:
    """Return the page that the address leads to, or an empty text."""
    return next((page for page in pages if same_page(address, page)), "")


def same_page(one: str, other: str) -> bool:
    """Whether two addresses lead to the same page. Scheme, `www.`, a trailing slash, the query and percent-encoding are
    ignored."""
    return bool(one and other) and _page(one) == _page(other)


def _page(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(PARSER.normalizeLink(address))  # as the parser normalises links
    except ValueError:
        return address, ""
    return (parts.hostname or "").removeprefix("www."), unquote(parts.path).rstrip("/")


def _safe(children: Iterable[Token], allowed: Sequence[str], pictures: Container[str]) -> Iterable[Token]:
    """Replace foreign links in inline tokens by their words, and unknown pictures by their alternative text."""
    allowed_links: list[bool] = []  # for each open link, whether it is allowed
    for child in children:
        match child.type:
            case "link_open":
                page = matching_page(str(child.attrGet("href") or ""), allowed)
                allowed_links.append(bool(page))
                if page:
                    child.attrSet("href", page)
                    yield child
            case "link_close":
                if allowed_links.pop():
                    yield child
            case "image" if str(child.attrGet("src")) not in pictures:
                yield Token("text", "", 0, content=child.content)
            case _:
                yield child
