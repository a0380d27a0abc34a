"""Markdown as the model writes it, into tokens that are safe to publish, and those into HTML.

The tokens are the one source of every form of a post: HTML here, Ricos in `ricos`. So what is removed here (links to
anywhere but the product's own page and the related posts, foreign pictures, raw HTML, level-one headings) is in none of
them.
"""

import re
from collections.abc import Container, Iterable, Sequence
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from blogworker.post.plain import printable

TOP_LEVEL, LOWEST_LEVEL = 2, 6  # the title is the page's level one
DEEPEST = 100  # blocks within blocks: what nests deeper, the parser would drop without a word
UNCLOSED_MAX = 50  # the parser searches the end of each bracket separately: 20,000 unclosed ones take minutes
PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST}).enable("table")
PLAIN = MarkdownIt("zero")
BRACKETS = re.compile(r"[\[\]]")
MARKS = re.compile(r"[\\`*_<>~|&]")
# Thai, Lao, Myanmar and Khmer; kana and Han.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+|[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef\U00020000-\U0003ffff]+"
)
THAI_WORD, HAN_WORD = 4, 2  # letters of a word, about


def tokens(
    markdown: str, *, own_url: str = "", links: Iterable[str] = (), pictures: Container[str] = ()
) -> list[Token]:
    """The document, safe and with its headings between the second and the sixth level.

    Of links only those to `own_url` and `links` are kept, of pictures only those at the given addresses; of others the
    words.
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
    """The post's body as HTML that closes every tag it opens."""
    return str(PARSER.renderer.render(tokens(markdown, own_url=own_url, links=links), PARSER.options, {})).strip()


def linked_in(markdown: str, *, own_url: str = "", links: Iterable[str] = ()) -> set[str]:
    """The addresses among these that the post links to."""
    found = (token.children or [] for token in tokens(markdown, own_url=own_url, links=links))
    return {str(child.attrGet("href")) for children in found for child in children if child.type == "link_open"}


def link_to(url: str, words: str) -> str:
    """A link in Markdown whose words are these, whatever marks they hold."""
    label = MARKS.sub(r"\\\g<0>", BRACKETS.sub("", words))
    return f"[{label}](<{url}>)"


def text(markdown: str) -> str:
    """What a reader reads, without marks."""
    return "\n".join(inline_text(token.children or []) for token in tokens(markdown) if token.type == "inline")


def word_count(markdown: str) -> int:
    """Words between spaces; of scripts that write none between them, as many as their letters make."""
    read = text(markdown)
    unspaced = sum(len(run) / letters for run, letters in _runs(read))
    return len(UNSPACED.sub(" ", read).split()) + round(unspaced)


def _runs(read: str) -> Iterable[tuple[str, int]]:
    return ((run[0], THAI_WORD if run[0][0] < "\u2e80" else HAN_WORD) for run in UNSPACED.finditer(read))


def inline_text(children: Sequence[Token]) -> str:
    return "".join(" " if child.type in ("softbreak", "hardbreak") else child.content for child in children)


def the_same(address: str, pages: Iterable[str]) -> str:
    """Which of these pages an address leads to; empty: none."""
    return next((page for page in pages if same_page(address, page)), "")


def same_page(one: str, other: str) -> bool:
    """Whether two addresses lead to the same page: scheme, `www.`, a last slash, the query, and which letters are
    percent-encoded do not count."""
    return bool(one and other) and _page(one) == _page(other)


def _page(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(PARSER.normalizeLink(address))  # as the parser gives the links it finds
    except ValueError:
        return address, ""
    return (parts.hostname or "").removeprefix("www."), unquote(parts.path).rstrip("/")


def _safe(children: Iterable[Token], allowed: Sequence[str], pictures: Container[str]) -> Iterable[Token]:
    """Inline tokens without foreign links (their words stay) and with strange pictures as their alternative text."""
    kept: list[bool] = []  # for each link that is open, whether it stays
    for child in children:
        match child.type:
            case "link_open":
                page = the_same(str(child.attrGet("href") or ""), allowed)
                kept.append(bool(page))
                if page:
                    child.attrSet("href", page)
                    yield child
            case "link_close":
                if kept.pop():
                    yield child
            case "image" if str(child.attrGet("src")) not in pictures:
                yield Token("text", "", 0, content=child.content)
            case _:
                yield child
