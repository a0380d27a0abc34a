"""The text a reader would see of a piece of HTML, with its paragraphs kept apart."""

import re
from html import unescape
from html.parser import HTMLParser

HTML_MAX = 60_000  # characters looked at; bounds the time html.parser takes on hostile markup
BLOCKS = re.compile(
    "address|article|aside|blockquote|br|caption|d[dlt]|div|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|li|"
    "main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"
)
UNSEEN = frozenset({"head", "noscript", "script", "style", "template", "title"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in UNSEEN
        if BLOCKS.fullmatch(tag):
            self.pieces.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if BLOCKS.fullmatch(tag):
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in UNSEEN))
        if BLOCKS.fullmatch(tag):
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            # A line break in the source of a page is only a space.
            self.pieces.append(re.sub(r"\s+", " ", data))


def readable(html: str, *, longest: int) -> str:
    """One line a paragraph, at most `longest` characters, cut between words. Text without markup keeps its lines."""
    html = html[:HTML_MAX]
    text = _seen(html) if re.search(r"<[a-zA-Z/!]", html) else unescape(html)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return _cut("\n".join(line for line in lines if line), longest)


def _seen(html: str) -> str:
    reader = _Reader()
    try:
        reader.feed(html)
        reader.close()
    except AssertionError:  # how html.parser refuses some broken declarations, such as <![x[
        return unescape(re.sub(r"<[^<>]*>", " ", html))
    return "".join(reader.pieces)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return (text[: longest - 1].rsplit(None, 1) or [""])[0] + "…"
