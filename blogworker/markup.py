"""Extracts the text of HTML that a reader sees.

`html.parser` raises on some declarations and on references with thousands of digits, and needs a minute for 60 KB of
unclosed tags. This parser accepts any input, and its time is proportional to the length: its patterns are possessive,
so they do not backtrack, and none searches twice for a missing end.
"""

import re
from collections.abc import Callable
from html import unescape

TOKEN = re.compile(
    r"""
      <!\[CDATA\[ | \]\]>                              # used in feeds; its content is text
    | <!--(?:-?> | (?s:.*?)(?:--!?> | \Z))             # comment; an unclosed one hides the rest, as in a browser
    | <[!?][^>]*+>                                     # declaration, such as <!DOCTYPE html> and Word's <![if !x]>
    | <(?P<raw>script|style)\b[^>]*+>(?s:.*?)(?:</(?P=raw)\b[^>]*+> | \Z)
    | </(?P<end>[a-z]?[^\s/>]*+)[^>]*+>
    | <(?P<start>[a-z][^\s/>]*+)(?:[^>=]++ | =\s*+(?:"[^"]*+" | '[^']*+')?+)*+>   # a quoted value may contain >
    """,
    re.IGNORECASE | re.VERBOSE,
)
REFERENCE = re.compile(r"&#(?![xX])0*+([0-9]*+)")  # decimal; unescape() reads hexadecimal numbers of any length
DIGITS_MAX = 8  # more than any code point has; int() refuses thousands of digits
NOT_SHOWN = frozenset({"head", "noscript", "template", "title"})


def visible_text(html: str, is_break: Callable[[str], object], *, mark: str) -> str:
    """Return the text of the markup, with `mark` for each tag if `is_break` is true for its lower-case name."""
    return marked_text(html, lambda name: mark if is_break(name.removeprefix("/")) else "")


def marked_text(html: str, mark: Callable[[str], str]) -> str:
    """Return the text of the markup, with `mark(name)` for each tag: `td` for a start tag, `/td` for an end tag.

    No tag can end after the last `>`: the rest is text.
    """
    end = html.rfind(">") + 1
    pieces: list[str] = []
    hidden = at = 0  # open elements that are not shown; where the text continues
    for token in TOKEN.finditer(html, 0, end):
        if not hidden:
            pieces.append(references(html[at : token.start()]))
        at = token.end()
        start, name = token["start"], (token["start"] or token["end"] or "").lower()
        if name in NOT_SHOWN:
            hidden = hidden + 1 if start else max(0, hidden - 1)
        elif name == "body":
            hidden = 0
        pieces.append(mark(name if start else f"/{name}"))
        if at == end and _is_unclosed(token):
            return "".join(pieces)
    if not hidden:
        pieces.append(references(html[at:]))
    return "".join(pieces)


def references(text: str) -> str:
    """Replace the character references (`&amp;`, `&#8364;`) in a text."""
    return unescape(REFERENCE.sub(lambda found: f"&#{found[1][:DIGITS_MAX] or '0'}", text)) if "&" in text else text


def _is_unclosed(token: re.Match[str]) -> bool:
    text = token[0]
    if token["raw"]:
        return not re.search(rf"</{token['raw']}\b[^>]*+>\Z", text, re.IGNORECASE)
    return text.startswith("<!--") and not text.endswith(("-->", "--!>")) and text not in ("<!-->", "<!--->")
