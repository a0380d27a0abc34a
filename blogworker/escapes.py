r"""Removes escapes from a text: %2F of URLs, &amp; and &#x2F; of HTML, \/ and \u002f of JSON, \x2f of Python.

A text that was escaped twice is unescaped twice.

Each program decides which characters it escapes: only quotes, everything that is not ASCII, or all. So a known text is
found by unescaping, not by listing its possible forms.
"""

import html
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

Span = tuple[int, int]

# What each kind of escape begins with, and how that character is itself escaped.
MARKS = {"%": ("%25",), "&": ("&amp;", "&#38;", "&#x26;", "&#X26;"), "\\": ("\\\\",)}
MOST_UNESCAPED = 20_000  # in one text, so that megabytes of backslashes do not block the event loop
SHORT = 5_000  # characters; a longer text is unescaped in one way only
MOST_WAYS = 6  # for the same reason
ESCAPE = re.compile(
    r"""
    (?P<bytes>(?:%[0-9A-Fa-f]{2}){1,3000})
    | &(?:\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});
    | (?P<units>(?:\\u[0-9A-Fa-f]{4}){1,3000})
    | \\(?:x(?P<byte>[0-9A-Fa-f]{2})|U(?P<code>000[0-9A-Fa-f]{5}|0010[0-9A-Fa-f]{4}))
    | \\u\{0*(?P<braced>[0-9A-Fa-f]{1,5})\}
    | \\(?P<one>["'`\\/bfnrt])
    """,
    re.VERBOSE | re.DOTALL,
)
ONE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Layer:
    """A text, or its unescaped form, with the position in the original text that each part comes from."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.begins = [0]  # where each part begins in this text
        self.origins: list[Span] = [(0, 0)]  # and its span in the original; an empty span: unchanged from there
        self.length = 0

    def source(self, span: Span) -> Span:
        """Return the span of the original text for a span of this text, which must not be empty."""
        return self.origin(span[0])[0], self.origin(span[1] - 1)[1]

    def inside(self, span: Span) -> Span:
        """Return the span of this text that comes from a span of the original; it may be empty."""
        places = range(len(self.text))
        begin = bisect_left(places, span[0], key=lambda place: self.origin(place)[0])
        return begin, bisect_right(places, span[1], key=lambda place: self.origin(place)[1])

    def unescaped(self, *, only: str = "") -> "Layer | None":
        """Return the text unescaped once; None if it has no escapes. `only`: the escapes that begin with this."""
        if not any(mark in self.text for mark in MARKS):
            return None
        parts: list[str] = []
        found = Layer("")
        done = 0
        for escape in ESCAPE.finditer(self.text):
            if len(found.begins) > MOST_UNESCAPED:
                break
            if not escape[0].startswith(only):
                continue
            found.copy(self, done, escape.start(), parts)
            for character, span in _parts(escape):
                found.append(character, self.source(span), parts)
            done = escape.end()
        if not done:
            return None
        found.copy(self, done, len(self.text), parts)
        found.text = "".join(parts)
        return found

    def copy(self, outer: "Layer", begin: int, end: int, parts: list[str]) -> None:
        """Copy a stretch without changes, with the same parts."""
        while begin < end:
            part = bisect_right(outer.begins, begin) - 1
            upto = min(end, outer.begins[part + 1] if part + 1 < len(outer.begins) else end)
            source = outer.origin(begin)
            plain = outer.origins[part][0] == outer.origins[part][1]
            self.append(outer.text[begin:upto], (source[0], source[0]) if plain else source, parts)
            begin = upto

    def append(self, text: str, source: Span, parts: list[str]) -> None:
        if self.begins[-1] == self.length:
            self.origins[-1] = source
        else:
            self.begins.append(self.length)
            self.origins.append(source)
        parts.append(text)
        self.length += len(text)

    def origin(self, place: int) -> Span:
        part = bisect_right(self.begins, place) - 1
        begin, end = self.origins[part]
        if begin < end:
            return begin, end
        begin += place - self.begins[part]
        return begin, begin + 1


def unescaped_layers(text: str, most: int) -> Iterator[Layer]:
    """Yield the text unescaped once, twice and so on, until it has no escapes.

    All kinds of escapes are undone at once. If the mark of one kind is itself escaped, a program of that kind may have
    escaped a text that already had escapes of other kinds. Then its kind is undone alone, too: a mark that the others
    unescape to would join its neighbours.
    """
    layers, seen = [Layer(text)], {text}
    for _ in range(most):
        found = [
            layer.unescaped(only=mark)
            for mark in ("", *MARKS)
            for layer in layers[:MOST_WAYS]
            if _may_be_undone(layer.text, mark)
        ]
        layers = []
        for layer in found:
            if layer is not None and layer.text not in seen:
                seen.add(layer.text)
                layers.append(layer)
        yield from layers


def _may_be_undone(text: str, only: str) -> bool:
    return not only or (len(text) <= SHORT and any(escaped in text for escaped in MARKS[only]))


def _parts(found: re.Match[str]) -> Iterator[tuple[str, Span]]:
    """Yield each character of an escape with the span of its own part."""
    begin, (kind, value) = found.start(), (found.lastgroup, found[found.lastgroup or 0])
    match kind:
        case "bytes":
            for character in bytes.fromhex(value.replace("%", "")).decode(errors="surrogateescape"):
                end = begin + 3 * len(character.encode(errors="surrogateescape"))
                yield character, (begin, end)
                begin = end
        case "units":
            units = bytes.fromhex(value.replace("\\u", ""))
            for character in units.decode("utf-16-be", errors="surrogatepass"):
                end = begin + 3 * len(character.encode("utf-16-be", errors="surrogatepass"))
                yield character, (begin, end)
                begin = end
        case "byte" | "code" | "braced":
            yield chr(int(value, 16)), found.span()
        case "one":
            yield ONE.get(value, value), found.span()
        case _:
            yield html.unescape(value), found.span()
