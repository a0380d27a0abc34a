"""Wrong marks in a correct text: footnotes, citations, misplaced Markdown, other formats."""

import html
import json
import re
from functools import partial

from blogworker.simulator.misbehaviours.draft import Draft, after_first_sentence, after_words, wrap_words

LINES = ("excerpt", "seo_description", "image_alt")
LIST_ITEM = re.compile(r"^- (?=\S)", re.M)
LINK = re.compile(r"\[([^\[\]]*)\]\((https?://[^\s()]*)\)")
CITATIONS = ("【4†source】", " :contentReference[oaicite:0]{index=0}", " [1][2]", " citeturn0search1turn2view0")


def footnotes(draft: Draft) -> None:
    draft.change_paragraph(0, lambda text: after_first_sentence(text, "[^1]"))
    draft.change_paragraph(-1, lambda text: after_first_sentence(text, "<sup>2</sup>"))
    draft.body += f"\n\n[^1]: {draft.phrase('note')}"


def citations(draft: Draft) -> None:
    for number, mark in enumerate(CITATIONS):
        draft.change_paragraph(number, partial(after_first_sentence, mark=mark))
    draft.post["excerpt"] += CITATIONS[0]


def bracketed_sources(draft: Draft) -> None:
    draft.change_paragraph(0, lambda text: after_first_sentence(text, " ((1))"))
    draft.change_paragraph(1, lambda text: after_first_sentence(text, f" ({draft.phrase('source')} 3)"))
    draft.change_paragraph(2, lambda text: after_first_sentence(text, " ((ref))"))


def reference_links(draft: Draft) -> None:
    draft.change_paragraph(0, lambda text: wrap_words(text, lambda words: f"[{words}][guide]"))
    draft.change_paragraph(1, lambda text: wrap_words(text, lambda words: f"[{words}][]"))


def strikethrough(draft: Draft) -> None:
    draft.change_paragraph(0, lambda text: after_words(text, f"~~{draft.phrase('struck')}~~"))
    draft.post["excerpt"] = after_words(draft.post["excerpt"], f"~~{draft.phrase('struck')}~~")


def task_list(draft: Draft) -> None:
    draft.body = LIST_ITEM.sub("- [ ] ", draft.body)


def code_fence(draft: Draft) -> None:
    draft.body = f"```markdown\n{draft.body}\n```"


def answer_in_body(draft: Draft) -> None:
    draft.body = f"```json\n{json.dumps(draft.post, ensure_ascii=False, indent=2)}\n```"


def escaped_line_ends(draft: Draft) -> None:
    draft.body = draft.body.replace("\n", "\\n")


def markdown_in_lines(draft: Draft) -> None:
    draft.post["title"] = f"**{draft.post['title']}**"
    draft.post["seo_title"] = f"# {draft.post['seo_title']}"
    draft.post["tags"] = [f"`{tag}`" for tag in draft.post["tags"]]
    for field, mark in zip(LINES, ("*", "**", "_"), strict=True):
        draft.post[field] = f"{mark}{draft.post[field]}{mark}"


def quoted_lines(draft: Draft) -> None:
    draft.post["title"] = f'"{draft.post["title"]}"'
    draft.post["seo_title"] = f"“{draft.post['seo_title']}”"


def html_body(draft: Draft) -> None:
    draft.body = "\n".join(_to_html(block) for block in draft.blocks)


def _to_html(block: str) -> str:
    def inline(text: str) -> str:
        linked = LINK.sub(r'<a href="\2" target="_blank">\1</a>', html.escape(text, quote=False))
        return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", linked)

    lines = block.split("\n")
    if block.startswith("#"):
        level = len(block) - len(block.lstrip("#"))
        return f"<h{level}>{inline(block[level:].strip())}</h{level}>"
    if block.startswith("> "):
        return f"<blockquote>{inline(block[2:])}</blockquote>"
    if block.startswith("- "):
        return "<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>"
    if block.startswith("|"):
        rows = [line.strip("|").split("|") for line in lines if "| ---" not in line]
        cells = ("".join(f"<td>{inline(cell.strip())}</td>" for cell in row) for row in rows)
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"
    return block if re.match(r"\d+\. ", block) else f'<p style="margin:0">{inline(block)}</p>'


def emoji(draft: Draft) -> None:
    draft.post["title"] = f"✨ {draft.post['title']}"
    draft.post["excerpt"] += " 🙌"
    draft.body = re.sub(r"^## ", "## 🌟 ", draft.body, flags=re.M)
    draft.change_paragraph(0, lambda text: after_first_sentence(text, " 😍👍🏽"))


def hash_tags(draft: Draft) -> None:
    draft.post["tags"] = [f"#{tag}" for tag in draft.post["tags"]]


def lookalike_letters(draft: Draft) -> None:
    """Cyrillic letters that look like Latin ones, in the longest word of the text."""
    word = max(re.findall(r"[a-z]+", draft.body), key=lambda word: ("o" in word and "e" in word, len(word), word))
    draft.body = draft.body.replace(word, word.replace("o", "\u043e").replace("e", "\u0435"))


def foreign_script(draft: Draft) -> None:
    draft.change_paragraph(0, lambda text: after_words(text, "质量"))


def broken_encoding(draft: Draft) -> None:
    """UTF-8 decoded as Windows-1252."""
    if draft.body.isascii():
        draft.body = draft.body.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")
    draft.body = _misdecode(draft.body)
    draft.post["excerpt"] = _misdecode(draft.post["excerpt"])


def _misdecode(text: str) -> str:
    """Bytes that Windows-1252 does not define become control characters, as in browsers."""
    raw = text.encode()
    return "".join(bytes([one]).decode("cp1252", "ignore") or chr(one) for one in raw)


def bare_own_address(draft: Draft) -> None:
    """The URL of the product in parentheses after the words that should link to it."""
    draft.body = LINK.sub(r"\1 (\2)", draft.body)
