"""The text that a reader sees of a piece of HTML, whatever is in it.

`html.parser` raises on some declarations and on references of thousands of digits, and takes a minute for 60 KB of tags
that never end. Here every text has an answer, in time in proportion to its length: no pattern below gives back what it
took, and none that fails to find an end looks for the same end again.
"""

import re
from collections.abc import Callable
from html import unescape

TOKEN = re.compile(
    r"""
      <!\[CDATA\[ | \]\]>                              # a wrapper of feeds; what is in it is the text
    | <!--(?:-?> | (?s:.*?)(?:--!?> | \Z))             # comment; one that never ends takes all, as in a browser
    | <[!?][^>]*+>                                     # declaration, such as <!DOCTYPE html> and Word's <![if !x]>
    | <(?P<raw>script|style)\b[^>]*+>(?s:.*?)(?:</(?P=raw)\b[^>]*+> | \Z)
    | </(?P<end>[a-z]?[^\s/>]*+)[^>]*+>
    | <(?P<start>[a-z][^\s/>]*+)(?:[^>=]++ | =\s*+(?:"[^"]*+" | '[^']*+')?+)*+>   # a quoted value may hold >
    """,
    re.IGNORECASE | re.VERBOSE,
)
REFERENCE = re.compile(r"&#0*+([0-9]*+)")
DIGITS_MAX = 8  # enough for a number above every character; int() refuses one of thousands of digits
UNSEEN = frozenset({"head", "noscript", "template", "title"})


def seen(html: str, parting: Callable[[str], object], *, mark: str) -> str:
    """The text of the markup, with `mark` for each tag whose name, in lower case, is `parting`.

    Behind the last > no tag ends: what stands there is text.
    """
    end = html.rfind(">") + 1
    pieces: list[str] = []
    hidden = at = 0  # how many elements are open that are not shown; where the text goes on
    for token in TOKEN.finditer(html, 0, end):
        if not hidden:
            pieces.append(references(html[at : token.start()]))
        at = token.end()
        start, name = token["start"], (token["start"] or token["end"] or "").lower()
        if name in UNSEEN:
            hidden = hidden + 1 if start else max(0, hidden - 1)
        elif name == "body":
            hidden = 0
        if parting(name):
            pieces.append(mark)
        if at == end and _never_ends(token):
            return "".join(pieces)
    if not hidden:
        pieces.append(references(html[at:]))
    return "".join(pieces)


def references(text: str) -> str:
    """The text with its character references (`&amp;`, `&#8364;`) replaced."""
    return unescape(REFERENCE.sub(lambda found: f"&#{found[1][:DIGITS_MAX] or '0'}", text)) if "&" in text else text


def _never_ends(token: re.Match[str]) -> bool:
    text = token[0]
    if token["raw"]:
        return not re.search(rf"</{token['raw']}\b[^>]*+>\Z", text, re.IGNORECASE)
    return text.startswith("<!--") and not text.endswith(("-->", "--!>")) and text not in ("<!-->", "<!--->")
