"""Converts any input to plain text: removes markup, normalises spaces, and limits the length at a word."""

import re
import unicodedata
from urllib.parse import quote, urlsplit

from blogworker.markup import visible_text
from blogworker.readable import readable

BLOCKS = frozenset({"p", "div", "br", "hr", "li", "ul", "ol", "table", "tr", "td", "th", "section", "article"})
HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
SEPARATING = BLOCKS | HEADINGS | {"blockquote"}  # such a tag separates two words
ALLOWED = "\n\t\u200c\u200d"  # joiners are needed by Persian, Indic scripts and emoji
LOOSE_ENDS = " ,;:.-\u2013\u2014"  # characters that must not end a truncated text
LATIN_ACCENTS = re.compile("([a-z])[\u0300-\u036f]+")  # in other scripts the accent makes another letter
SOURCE_MAX = 100_000  # characters of a source that are cleaned: more than source_data can contain
# Apostrophes that separate no words: in `dog's` and `don't`, and between letters that are not Latin.
INNER_APOSTROPHE = re.compile(
    r"(?<=[^\W\d_])['\u2019](?=(?:s|t|d|m|ll|re|ve)\b)|(?<=[^\W\d_a-z\u00df-\u024f])['\u2019]"
)
UMLAUTS = {"de": str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})}  # language -> its spelling in ASCII
SLUG_LIMIT = 100  # of the percent-encoded form, as Wix counts
FIRST_TAG = "\U000e0000"  # start of the tags and variation selectors; some of them are printable to Python


def printable(text: str) -> str:
    """Remove control characters, except newlines and tabs, because Postgres and XML refuse them.

    Also remove what a model reads but a person does not see: tag characters, direction marks, zero-width characters.
    """
    if text.replace("\n", "").isprintable() and (text.isascii() or max(text) < FIRST_TAG):
        return text
    return "".join(character for character in text if character in ALLOWED or not _is_hidden(character))


def _is_hidden(character: str) -> bool:
    if "\U000e0100" <= character <= "\U000e01ef":
        return True
    return unicodedata.category(character) in ("Cc", "Cs", "Cn", "Cf", "Co")


def plain(value: object, *, limit: int) -> str:
    """Return one line of text without markup, of at most `limit` characters."""
    if value is None:
        return ""
    return cut(" ".join(printable(visible_text(str(value), SEPARATING.__contains__, mark=" ")).split()), limit)


def plain_lines(value: object, *, limit: int) -> str:
    """Return text without markup, of at most `limit` characters. Each paragraph, list item or table row is a line."""
    if value is None:
        return ""
    lines = (" ".join(printable(line).split()) for line in readable(str(value), longest=SOURCE_MAX).splitlines())
    return cut("\n".join(line for line in lines if line), limit)


def cut(text: str, limit: int) -> str:
    """Truncate the text to `limit` characters after a whole word, with an ellipsis."""
    if len(text) <= limit:
        return text
    words = re.match(r"(.*)\s", text[:limit], re.S)
    whole = words[1].rstrip(LOOSE_ENDS) if words else ""
    return f"{whole or text[: limit - 1]}…"


def cut_clean(text: str, limit: int) -> str:
    """Truncate a headline: like `cut`, but without the ellipsis."""
    return text if len(text) <= limit else cut(text, limit + 1).removesuffix("…")[:limit]


def web_address(value: object) -> str:
    """Return the value if it is an absolute http or https address, otherwise an empty text."""
    text = str(value or "").strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.hostname and not re.search(r"[\s<>\"]", text) else ""


def slug(text: str, *, language: str | None = None, limit: int = SLUG_LIMIT) -> str:
    """Return lower-case words joined by hyphens, without Latin accents, of at most `limit` characters when encoded.

    `language`: a tag such as `de-AT`; German writes an umlaut as two letters.
    """
    composed = unicodedata.normalize("NFC", text.lower()).replace("ß", "ss")
    spelled = composed.translate(UMLAUTS.get((language or "").lower().partition("-")[0], {}))
    bare = LATIN_ACCENTS.sub(r"\1", unicodedata.normalize("NFKD", INNER_APOSTROPHE.sub("", spelled)))
    joined = unicodedata.normalize("NFC", bare)
    words = "".join(one if unicodedata.category(one)[0] in "LMN" else " " for one in joined).split()
    kept = ""
    if words and len(quote(words[0])) > limit:  # a script without spaces: cut the only word
        words = [words[0][: limit // len(quote(max(words[0])))]]
    for word in words:
        longer = f"{kept}-{word}" if kept else word
        if len(quote(longer)) > limit:
            break
        kept = longer
    return kept or "post"
