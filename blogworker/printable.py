r"""Makes external text safe for a terminal and a shell.

Titles, errors, site ids and file names come from shops, providers and models. Escape sequences in them can change the
colours, the title and the content of a terminal, bidirectional controls reorder a line, and zero-width characters are
invisible in an id. Such characters are shown as escapes of Python, C and bash: \n, \x1b, \u202e, \U000e0041.
"""

import os
import re
import shlex

_PRESENTATION = "\ufe0e\ufe0f"  # text or emoji style; terminals differ in the width of the character before it
# Unicode's categories Cc, Cf, Cs, Co, Zl and Zp, the rest of Default_Ignorable_Code_Point, and the noncharacters.
_NONCHARACTERS = "".join(f"\\U{plane:04x}fffe-\\U{plane:04x}ffff" for plane in range(15))
_HIDDEN = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    r"\U000f0000-\U0010ffff" + _NONCHARACTERS
)
_ANY = re.compile(f"[{_HIDDEN}]")
_BUT_LINES = re.compile(f"(?![\n\t])[{_HIDDEN}]")
_NEITHER_QUOTED = re.compile(rf"[{_HIDDEN}\\']")
_SEEN = re.compile(rf"[^{_HIDDEN}\s\u2800]")  # the last is braille without a dot; schema/queue.sql has the same
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r"}


def printable(text: str, *, encoding: str = "utf-8") -> str:
    """Return the text on one line, with hidden characters escaped."""
    return _shown(_ANY, text, encoding)


def printable_lines(text: str, *, encoding: str = "utf-8") -> str:
    """Return the text with hidden characters escaped, except line breaks and tabs."""
    return _shown(_BUT_LINES, text, encoding)


def printable_json(text: str) -> str:
    """Escape hidden characters in JSON. Only its strings can contain them, so its meaning does not change."""
    return _BUT_LINES.sub(_json_escape, text)


def is_visible(text: str) -> bool:
    """Whether the text has a visible character."""
    return _SEEN.search(text) is not None


def typed(word: str) -> str:
    """Quote a word for a shell. Hidden characters need the $'...' of bash, zsh, ksh and POSIX 2024."""
    if not _ANY.search(word):
        return shlex.quote(word)
    return "$'" + _NEITHER_QUOTED.sub(_shell_escape, word) + "'"


def typed_argument(word: str) -> str:
    """Quote a word as the last argument of a command. After `--`, one that begins with a dash is no option."""
    return f"-- {typed(word)}" if word.startswith("-") else typed(word)


def _shown(hidden: re.Pattern[str], text: str, encoding: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    for mark in _PRESENTATION:
        text = text.replace(mark, "")
    text = hidden.sub(_escape, text)
    # Encode here, not on output: escapes make the text longer, and callers measure its length.
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _SHORT.get(found[0]) or (f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}")


def _json_escape(found: re.Match[str]) -> str:
    pair = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pair[at : at + 2].hex()}" for at in range(0, len(pair), 2))


def _shell_escape(found: re.Match[str]) -> str:
    if found[0] in "\\'":
        return "\\" + found[0]
    if "\udc80" <= found[0] <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{os.fsencode(found[0]).hex()}"
    return "".join(f"\\x{byte:02x}" for byte in found[0].encode("utf-8", "surrogatepass"))
