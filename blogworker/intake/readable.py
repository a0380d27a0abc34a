"""The text a reader would see of a piece of HTML, with its paragraphs kept apart."""

import re

from blogworker.markup import references, seen

HTML_MAX = 1_000_000  # characters looked at, without pictures; a hundred times what a description needs
BLOCKS = re.compile(
    "address|article|aside|blockquote|br|caption|d[dlt]|div|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|li|"
    "main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"
)
PICTURE = re.compile(r"data:[\w.+-]++/[\w.+-]++;base64,[\w+/=%\s-]*+")  # pasted into the text, often megabytes
PARAGRAPH = "\x1e"  # parts blocks; a line break in the source of a page is only a space


def readable(html: str, *, longest: int) -> str:
    """One line a paragraph, at most `longest` characters, cut between words. Text without markup keeps its lines."""
    html = PICTURE.sub("", html)[:HTML_MAX]
    if re.search(r"<[a-zA-Z/!?]", html):
        lines = seen(html, BLOCKS.fullmatch, mark=PARAGRAPH).split(PARAGRAPH)
    else:
        lines = references(html).splitlines()
    evened = (" ".join(line.split()) for line in lines)
    return _cut("\n".join(line for line in evened if line), longest)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return (text[: longest - 1].rsplit(None, 1) or [""])[0] + "…"
