"""Plain text out of whatever people paste: markup stripped, spacing evened, length bounded on a word."""

import re
import unicodedata
from urllib.parse import quote, urlsplit

from blogworker.markup import visible_text
from blogworker.readable import readable

BLOCKS = frozenset({"p", "div", "br", "hr", "li", "ul", "ol", "table", "tr", "td", "th", "section", "article"})
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
PARTING = BLOCKS | HEADINGS | {"blockquote"}  # such a tag separates two words
KEPT = "\n\t\u200c\u200d"  # the joiners shape Persian, Indic scripts and emoji
LOOSE_ENDS = " ,;:.-\u2013\u2014"  # what no text should be cut off after
LATIN_ACCENTS = re.compile("([a-z])[\u0300-\u036f]+")  # in other scripts such marks make another letter
SOURCE_MAX = 100_000  # characters of a source's text that are cleaned: more than source_data holds
APOSTROPHES = "'\u2019"
SLUG_LIMIT = 100  # of the percent-encoded form, as Wix counts
FIRST_TAG = "\U000e0000"  # of the plane of tags and variation selectors, some of which count as printable


def printable(text: str) -> str:
    """Without control characters, which neither Postgres, XML nor a model takes well; newlines and tabs stay.

    Nor anything that a model reads and a person does not see: tag characters, marks of direction, zero widths.
    """
    if text.replace("\n", "").isprintable() and (text.isascii() or max(text) < FIRST_TAG):
        return text
    return "".join(sign for sign in text if sign in KEPT or not _unseen(sign))


def _unseen(sign: str) -> bool:
    return unicodedata.category(sign) in ("Cc", "Cs", "Cn", "Cf", "Co") or "\U000e0100" <= sign <= "\U000e01ef"


def plain(value: object, *, limit: int) -> str:
    """One line of text without markup, at most `limit` characters."""
    if value is None:
        return ""
    return cut(" ".join(printable(visible_text(str(value), PARTING.__contains__, mark=" ")).split()), limit)


def plain_lines(value: object, *, limit: int) -> str:
    """Text without markup, at most `limit` characters: a paragraph, a list item or a row of a table on each line."""
    if value is None:
        return ""
    lines = (" ".join(printable(line).split()) for line in readable(str(value), longest=SOURCE_MAX).splitlines())
    return cut("\n".join(line for line in lines if line), limit)


def cut(text: str, limit: int) -> str:
    """`text`, or as many of its whole words as fit, with an ellipsis."""
    if len(text) <= limit:
        return text
    words = re.match(r"(.*)\s", text[:limit], re.S)
    kept = words[1].rstrip(LOOSE_ENDS) if words else ""
    return f"{kept or text[: limit - 1]}…"


def cut_clean(text: str, limit: int) -> str:
    """As `cut`, without the ellipsis: for headlines."""
    return text if len(text) <= limit else cut(text, limit + 1).removesuffix("…")[:limit]


def web_address(value: object) -> str:
    """An absolute http or https address, or nothing."""
    text = str(value or "").strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.hostname and not re.search(r"[\s<>\"]", text) else ""


def slug(text: str, *, limit: int = SLUG_LIMIT) -> str:
    """Lower-case words joined by hyphens. Latin accents go, other scripts stay; it fits the limit when encoded."""
    bare = LATIN_ACCENTS.sub(r"\1", unicodedata.normalize("NFKD", text.lower().replace("ß", "ss")))
    joined = unicodedata.normalize("NFC", re.sub(f"[{APOSTROPHES}]", "", bare))
    words = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in joined).split()
    kept = ""
    if words and len(quote(words[0])) > limit:  # of a script without spaces: as many letters as fit
        words = [words[0][: limit // len(quote(max(words[0])))]]
    for word in words:
        longer = f"{kept}-{word}" if kept else word
        if len(quote(longer)) > limit:
            break
        kept = longer
    return kept or "post"
