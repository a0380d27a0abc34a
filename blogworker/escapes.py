r"""Undoes the escapes that a text may have gone through: %2F of URLs, &amp; and &#x2F; of HTML, \/ and \u002f of JSON,
\x2f of Python. A text that was escaped twice is undone twice.

Which characters are escaped, and how, is up to each program: quotes only, what is not ASCII, all. So a known text is
found in an escaped one by undoing the escapes, not by listing how it may look.
"""

import html
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

Span = tuple[int, int]

MARKS = ("%", "&", "\\")  # a text without them holds no escape
MOST_UNDONE = 20_000  # of one text: megabytes of backslashes must not hold up the loop
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
    """A text, or what becomes of it when its escapes are undone, and where each part of that comes from."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.begins = [0]  # where a part begins, here
        self.origins: list[Span] = [(0, 0)]  # and in the first text; an empty span: what begins there, as it is
        self.length = 0

    def source(self, span: Span) -> Span:
        """Where the first text has what stands here in the span, which is not empty."""
        return self.origin(span[0])[0], self.origin(span[1] - 1)[1]

    def inside(self, span: Span) -> Span:
        """What of this text comes from within a span of the first one: empty if nothing does."""
        places = range(len(self.text))
        begin = bisect_left(places, span[0], key=lambda place: self.origin(place)[0])
        return begin, bisect_right(places, span[1], key=lambda place: self.origin(place)[1])

    def unescaped(self) -> "Layer | None":
        """The next layer; None where there is nothing to undo."""
        if not any(mark in self.text for mark in MARKS):
            return None
        parts: list[str] = []
        found = Layer("")
        done = 0
        for escape in ESCAPE.finditer(self.text):
            if len(found.begins) > MOST_UNDONE:
                break
            found.keep(self, done, escape.start(), parts)
            for sign, span in _parts(escape):
                found.put(sign, self.source(span), parts)
            done = escape.end()
        if not done:
            return None
        found.keep(self, done, len(self.text), parts)
        found.text = "".join(parts)
        return found

    def keep(self, outer: "Layer", begin: int, end: int, parts: list[str]) -> None:
        """Take a stretch as it is, in the pieces that it came in."""
        while begin < end:
            part = bisect_right(outer.begins, begin) - 1
            upto = min(end, outer.begins[part + 1] if part + 1 < len(outer.begins) else end)
            source = outer.origin(begin)
            plain = outer.origins[part][0] == outer.origins[part][1]
            self.put(outer.text[begin:upto], (source[0], source[0]) if plain else source, parts)
            begin = upto

    def put(self, text: str, source: Span, parts: list[str]) -> None:
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


def undoings(text: str, most: int) -> Iterator[Layer]:
    """The text with its escapes undone once, twice and so on, as long as there are any."""
    layer = Layer(text)
    for _ in range(most):
        if (inner := layer.unescaped()) is None:
            return
        yield inner
        layer = inner


def _parts(found: re.Match[str]) -> Iterator[tuple[str, Span]]:
    """Each character that an escape stands for, with its own part of it."""
    begin, (kind, value) = found.start(), (found.lastgroup, found[found.lastgroup or 0])
    match kind:
        case "bytes":
            for sign in bytes.fromhex(value.replace("%", "")).decode(errors="surrogateescape"):
                end = begin + 3 * len(sign.encode(errors="surrogateescape"))
                yield sign, (begin, end)
                begin = end
        case "units":
            units = bytes.fromhex(value.replace("\\u", ""))
            for sign in units.decode("utf-16-be", errors="surrogatepass"):
                end = begin + 3 * len(sign.encode("utf-16-be", errors="surrogatepass"))
                yield sign, (begin, end)
                begin = end
        case "byte" | "code" | "braced":
            yield chr(int(value, 16)), found.span()
        case "one":
            yield ONE.get(value, value), found.span()
        case _:
            yield html.unescape(value), found.span()
