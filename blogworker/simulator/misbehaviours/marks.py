"""Signs in or around the right words: notes, citations, Markdown where none belongs, other formats."""

import html
import json
import re
from functools import partial

from blogworker.simulator.misbehaviours.draft import Draft, behind_sentence, behind_words, wrapped

LINES = ("excerpt", "seo_description", "image_alt")
LIST_ITEM = re.compile(r"^- (?=\S)", re.M)
LINK = re.compile(r"\[([^\[\]]*)\]\((https?://[^\s()]*)\)")
CITATIONS = ("【4†source】", " :contentReference[oaicite:0]{index=0}", " [1][2]", " citeturn0search1turn2view0")


def footnotes(draft: Draft) -> None:
    draft.change(0, lambda text: behind_sentence(text, "[^1]"))
    draft.change(-1, lambda text: behind_sentence(text, "<sup>2</sup>"))
    draft.body += f"\n\n[^1]: {draft.said('note')}"


def citations(draft: Draft) -> None:
    for number, mark in enumerate(CITATIONS):
        draft.change(number, partial(behind_sentence, mark=mark))
    draft.post["excerpt"] += CITATIONS[0]


def bracketed_sources(draft: Draft) -> None:
    draft.change(0, lambda text: behind_sentence(text, " ((1))"))
    draft.change(1, lambda text: behind_sentence(text, f" ({draft.said('source')} 3)"))
    draft.change(2, lambda text: behind_sentence(text, " ((ref))"))


def reference_links(draft: Draft) -> None:
    draft.change(0, lambda text: wrapped(text, lambda words: f"[{words}][guide]"))
    draft.change(1, lambda text: wrapped(text, lambda words: f"[{words}][]"))


def strikethrough(draft: Draft) -> None:
    draft.change(0, lambda text: behind_words(text, f"~~{draft.said('struck')}~~"))
    draft.post["excerpt"] = behind_words(draft.post["excerpt"], f"~~{draft.said('struck')}~~")


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
    draft.body = "\n".join(_html_of(block) for block in draft.blocks)


def _html_of(block: str) -> str:
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
    draft.change(0, lambda text: behind_sentence(text, " 😍👍🏽"))


def hash_tags(draft: Draft) -> None:
    draft.post["tags"] = [f"#{tag}" for tag in draft.post["tags"]]


def lookalike_letters(draft: Draft) -> None:
    """Cyrillic letters that look Latin, in the longest word of the text."""
    word = max(re.findall(r"[a-z]+", draft.body), key=lambda word: ("o" in word and "e" in word, len(word), word))
    draft.body = draft.body.replace(word, word.replace("o", "\u043e").replace("e", "\u0435"))


def foreign_script(draft: Draft) -> None:
    draft.change(0, lambda text: behind_words(text, "质量"))


def broken_encoding(draft: Draft) -> None:
    """UTF-8 read as if it were Windows text."""
    if draft.body.isascii():
        draft.body = draft.body.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")
    draft.body = _misread(draft.body)
    draft.post["excerpt"] = _misread(draft.post["excerpt"])


def _misread(text: str) -> str:
    """Signs that have no place in Windows text become those that browsers take for them."""
    raw = text.encode()
    return "".join(bytes([one]).decode("cp1252", "ignore") or chr(one) for one in raw)


def bare_own_address(draft: Draft) -> None:
    """The product's address in round brackets behind the words that it should be a link of."""
    draft.body = LINK.sub(r"\1 (\2)", draft.body)
