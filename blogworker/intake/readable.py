"""The text a reader would see of a piece of HTML, with its paragraphs kept apart."""

import re

from blogworker.markup import references, visible_text

HTML_MAX = 1_000_000  # characters that are read, without pictures; a hundred times what a description needs
BLOCKS = re.compile(
    "address|article|aside|blockquote|br|caption|d[dlt]|div|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|li|"
    "main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"
)
PICTURE = re.compile(r"data:[\w.+-]++/[\w.+-]++;base64,[\w+/=%\s-]*+")  # pasted into the text, often megabytes
PARAGRAPH = "\x1e"  # separates blocks; a line break in the HTML source is only a space


def readable(html: str, *, longest: int) -> str:
    """One line per paragraph, at most `longest` characters, cut between words. Text without markup keeps its lines."""
    html = PICTURE.sub("", html)[:HTML_MAX]
    if re.search(r"<[a-zA-Z/!?]", html):
        lines = visible_text(html, BLOCKS.fullmatch, mark=PARAGRAPH).split(PARAGRAPH)
    else:
        lines = references(html).splitlines()
    spaced = (" ".join(line.split()) for line in lines)
    return _cut("\n".join(line for line in spaced if line), longest)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return (text[: longest - 1].rsplit(None, 1) or [""])[0] + "…"
