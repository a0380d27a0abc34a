"""Removes marks that do not belong in a post: footnotes, citations, tasks, struck-out words, other formats.

Each match ends where the next one could begin. So the time is proportional to the length of the text, even if a model
repeats one character thousands of times.
"""

import json
import re

from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.repeats import is_named
from blogworker.post.plain import HEADINGS

FENCED_WHOLE = re.compile(r"\A\s*```(?:markdown|md|html|json)?[ \t]*\n(.*)\n```\s*\Z", re.S)
NOTE = re.compile(r"^ {0,3}\[\^[^\[\]\n]{1,60}\]:.*(?:\n(?: {4}|\t).*)*\n?", re.M)
NOTE_MARK = re.compile(r"[ \t]?\[\^[^\[\]\n]{1,60}\]")
RAISED = re.compile(
    r"<sup>\s*(?:<a\b[^<>]*>)?\s*[\[(]?(\d{1,3})[\])]?\s*(?:</a>)?\s*</sup>|(?<=[.,;!?])[¹²³⁴-⁹⁰]+"
    r"|(?<=\w)[¹⁴-⁹]+(?!\w)",
    re.I,
)
UNIT_BEFORE = re.compile(r"(?:\b|\d)(?:[mcdk]?m|ft|in|yd)$")
DEFINITION = re.compile(r"^ {0,3}\[([^\[\]\n^]{1,200})\]:[ \t]*<?([^\s<>]*)>?.*$\n?", re.M)
REFERENCE = re.compile(r"\[([^\[\]\n]{1,300})\] ?\[([^\[\]\n]{0,200})\]")
SHORTCUT = re.compile(r"(?<![\]\w!])\[([^\[\]\n]{1,300})\](?![(\[:{])")
STRUCK = re.compile(r"~~(?=\S)((?:[^~\n]|~(?!~))*)~~")
TASK = re.compile(r"^([ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+)\[[ xX✓✔]?\][ \t]+", re.M)
CITATION = re.compile(
    r"""
      [ \t]?【[^【】\n]{0,80}】
    | [ \t]?:?contentReference\[oaicite:[^\[\]\n]{0,20}\](?:\{[^{}\n]{0,40}\})?
    | [ \t]?\[?oaicite:\d{1,4}\]?(?:\{[^{}\n]{0,40}\})?
    | [ \t]?\ue200[^\ue200\ue201\n]{0,300}\ue201
    | [ \t]?[(\[]?(?:cite)?(?:(?:,[ ]?)?turn\d{1,3}(?:search|view|news|image|fetch|product|file|click
      |forecast)\d{1,3})+[)\]]?
    | (?<=[\w.,;:!?»”")%*])[ \t]?(?:\[\d{1,3}(?:[ ]?[,;–-][ ]?\d{1,3}){0,9}\])+(?![(:])
    | [ \t]?\(\((?:\d{1,3}|refs?\.?|sources?|note|quelle)(?:[,;][ ]?\d{1,3}){0,9}\)\)
    | [ \t]?[(\[](?:citation\ needed|source\ needed|quelle|source|fuente|fonte|quellenangabe)(?:[ ]?\d{1,3})?[)\]](?!\()
    """,
    re.X | re.I,
)
PART_OF_A_CITATION = re.compile(r"[【\ue200]|\[\d|\(\(|[(\[](?i:citation|source|quelle|fuente|fonte)")
NAME_OF_A_CITATION = re.compile(r"oaicite|turn\d")
LINKED_SOURCE = re.compile(r"[ \t]?\((?:\[[^\[\]\n]{0,200}\]\([^()\s]{0,500}\)(?:[,;] )?)+\)")
ESCAPED = re.compile(r"\\r?\\n|\\n")
TAG = re.compile(
    r"<!--(?:(?!<!--|-->).)*-->|<(?!https?://|mailto:)(?:(/?)([a-zA-Z][a-zA-Z0-9]*)\b[^<>]*|/?[a-zA-Z][^<>]*)>", re.S
)
ADDRESS_IN_TAG = re.compile(r"\bhref\s*=\s*[\"']?([^\"'\s<>]+)", re.I)
IN_LINE = {"strong": "**", "b": "**", "em": "*", "i": "*"}
APART = frozenset({"p", "div", "section", "article", "ul", "ol", "blockquote", "table", "thead", "tbody"}) | HEADINGS
RAW = re.compile(r"<(script|style)\b[^<>]*>[^<]*</\1\s*>", re.I)
EMPHASIS = (
    re.compile(r"(?<!\*)\*\*\*?(?=\S)([^*\n]+?)\*\*\*?(?!\*)"),
    re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])"),
    re.compile(r"(?<!\w)__(?=\S)([^_\n]+)__(?!\w)"),
    re.compile(r"(?<!\w)_(?=[^\s_])([^_\n]*[^\s_])_(?!\w)"),
    re.compile(r"(?<!`)`++([^`\n]++)`++"),
)
PLAIN_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*(?:\([^()\s]*\))?[^()\s]*\)")
LINE_MARK = re.compile(r"^\s*(?:#{1,6}\s+|>\s+|[-*+]\s+)")
CLOSING_HASHES = re.compile(r"(?<!\s)\s+#{1,6}\s*$")
LABELS = (
    r"title|headline|seo[ -]?title|meta[ -]?title|meta[ -]?description|seo[ -]?description|excerpt"
    r"|summary|alt(?:[ -]text)?"
    r"|titel|überschrift|seo-titel|meta-beschreibung|auszug|alt-text|titre|titre seo|méta[ -]description"
    r"|extrait|texte alternatif"
    r"|título|título seo|meta[ -]?descripción|extracto|resumen|texto alternativo|titolo|descrizione|estratto"
    r"|riassunto|descrição|resumo|testo alternativo|samenvatting|slug|tags?"
)
LABEL = re.compile(rf"^\W{{0,3}}(?:{LABELS})\s?\*{{0,2}}:\*{{0,2}}\s+", re.I)
PICTURE_OF = re.compile(
    r"^(?:an?\s|the\s|eine?\s|das\s|une?\s|l['’]|una?\s|uma?\s|een\s)?(?:close-?up\s)?"
    r"(?:(?:image|picture|photo(?:graph)?|illustration)\s(?:of|showing)|(?:bild|foto|abbildung|aufnahme)\s(?:von|eine[rs]|der|des)"
    r"|(?:image|photo(?:graphie)?|illustration)\s(?:de\s|d['’]|du\s|montrant)|(?:imagen|foto(?:grafía)?|ilustración)\s(?:de|del)"
    r"|(?:immagine|foto(?:grafia)?|illustrazione)\s(?:di|del|della|dell['’])|(?:imagem|foto(?:grafia)?|ilustração)\s(?:de|do|da)"
    r"|(?:afbeelding|foto|plaatje)\svan)\s?(?=\S)",
    re.I,
)
QUOTED = re.compile(r"^\s*([\"“„«'‘])(.*)([\"”“»'’])\s*$", re.S)
QUOTES = re.compile('["“”„«»]')
GOOD_TITLE, LONG_TITLE = 65, 100  # characters: what a search page shows; what the model must shorten
LEAST_TITLE = 20
SUBTITLES = re.compile(r"(?:[:;|–—?!]|(?<=\s)-)\s")
PARTS_OF_A_TITLE = re.compile(r"(?:[:;|–—?!,]|(?<=\s)-)\s")


def without_fence(text: str, context: PostContext) -> str:
    found = FENCED_WHOLE.match(text)
    return found[1] if found and "\n```" not in found[1] else text


def without_wrapping(text: str, context: PostContext) -> str:
    """Return the body alone, if it contains the whole answer as JSON."""
    if not text.lstrip().startswith("{") or "body_markdown" not in text:
        return text
    try:
        inner = json.loads(text)
    except ValueError:
        return text
    body = inner.get("body_markdown") if isinstance(inner, dict) else None
    return body if isinstance(body, str) else text


def with_line_ends(text: str, context: PostContext) -> str:
    """Restore line ends in a text that was escaped twice, where they are the letters `\\n`."""
    return ESCAPED.sub("\n", text) if text.count("\\n") > 1 and text.count("\n") < text.count("\\n") else text


def without_notes(text: str, context: PostContext) -> str:
    def raised(found: re.Match[str]) -> str:
        is_power = found[1] in ("2", "3") and UNIT_BEFORE.search(text[max(0, found.start() - 4) : found.start()])
        return {"2": "²", "3": "³"}[found[1]] if is_power else ""

    return RAISED.sub(raised, NOTE_MARK.sub("", NOTE.sub("", text)))


def without_references(text: str, context: PostContext) -> str:
    """Replace links by reference with inline links if the target is defined, otherwise with their words."""
    targets = {found[1].casefold(): found[2] for found in DEFINITION.finditer(text)}

    def link(found: re.Match[str]) -> str:
        if not found[2] and re.fullmatch(r"[\dxX ]", found[1]):
            return found[0]
        target = targets.get((found[2] or found[1]).casefold())
        return f"[{found[1]}]({target})" if target else found[1]

    def shortcut(found: re.Match[str]) -> str:
        target = targets.get(found[1].casefold())
        return f"[{found[1]}]({target})" if target else found[0]

    return SHORTCUT.sub(shortcut, REFERENCE.sub(link, DEFINITION.sub("", text)))


def without_brackets(text: str, context: PostContext) -> str:
    """Remove square brackets that are not part of a link. `[sic]` and numbers stay."""
    return SHORTCUT.sub(
        lambda found: found[1] if re.match(r"[^\W\d_]{2}", found[1]) and found[1] not in ("sic", "INST") else found[0],
        text,
    )


def without_struck(text: str, context: PostContext) -> str:
    """Remove struck-out words."""
    if "~~" not in text:
        return text
    return re.sub(r"(?<=\S)[ \t]{2,}(?=\S)", " ", STRUCK.sub("", text)).replace("~~", "")


def without_tasks(text: str, context: PostContext) -> str:
    return TASK.sub(r"\1", text)


def without_citations(text: str, context: PostContext) -> str:
    def source(found: re.Match[str]) -> str:
        return found[0] if any(url in found[0] for url in context.allowed) else ""

    if "([" in text:
        text = LINKED_SOURCE.sub(source, text)
    return CITATION.sub("", text) if _may_cite(text) else text


def _may_cite(text: str) -> bool:
    """Whether the text has a character or a word that each form of a citation needs."""
    return bool(NAME_OF_A_CITATION.search(text.casefold()) or PART_OF_A_CITATION.search(text))


def without_html(text: str, context: PostContext) -> str:
    """Replace HTML tags by the same Markdown, and remove tags that Markdown does not have."""
    if "<" not in text:
        return text
    pieces: list[str] = []
    at = cells = rows = 0
    links: list[str] = []
    text = RAW.sub("", text)
    for tag in TAG.finditer(text):
        pieces.append(text[at : tag.start()])
        at, name, ends = tag.end(), (tag[2] or "").lower(), tag[1] == "/"
        if name == "table":
            rows = 0
        elif name == "tr":
            if ends:
                pieces.append("\n" + ("|" + " --- |" * cells + "\n" if rows == 0 else ""))
                rows += 1
            else:
                pieces.append("|")
            cells = cells if ends else 0
            continue
        if name in ("td", "th"):
            cells += not ends
            pieces.append(" |" if ends else " ")
        else:
            pieces.append(_markdown_of(tag, name, ends=ends, links=links))
    pieces.append(text[at:])
    return re.sub(r"(?<=\|)[ \t]*\n\s*(?=\|)", "\n", "".join(pieces))


def _markdown_of(tag: re.Match[str], name: str, *, ends: bool, links: list[str]) -> str:
    if name in IN_LINE:
        return IN_LINE[name]
    if name in HEADINGS and not ends:
        return f"\n\n{'#' * max(2, int(name[1]))} "
    if name == "a" and not ends:
        target = ADDRESS_IN_TAG.search(tag[0])
        links.append(target[1] if target else "")
        return "[" if target else ""
    if name == "a":
        target_url = links.pop() if links else ""
        return f"]({target_url})" if target_url else ""
    if name == "blockquote" and not ends:
        return "\n\n> "
    return {"li": "" if ends else "\n- ", "br": "\n", "hr": "\n\n---\n\n"}.get(name, "\n\n" if name in APART else "")


def without_markdown(text: str, context: PostContext) -> str:
    """Return a line as plain text: links as their words, without Markdown marks. `#` before a number stays, as does a
    single star."""
    plain = CLOSING_HASHES.sub("", LINE_MARK.sub("", text)) if LINE_MARK.match(text) else text
    plain = PLAIN_LINK.sub(r"\1", plain)
    for pattern in EMPHASIS:
        plain = pattern.sub(r"\1", plain)
    return plain


def without_label(text: str, context: PostContext) -> str:
    """Remove the label from a text such as `Title: Mugs`."""
    return LABEL.sub("", text)


def without_picture_of(text: str, context: PostContext) -> str:
    """Shorten `Image of a mug` to `A mug`: a screen reader already announces an image."""
    found = PICTURE_OF.match(text)
    if not found:
        return text
    return f"{text[found.end() : found.end() + 1].upper()}{text[found.end() + 1 :]}"


def without_quotes(text: str, context: PostContext) -> str:
    """Remove quotation marks around a whole title."""
    found = QUOTED.match(text)
    return found[2] if found and not QUOTES.search(found[2]) and len(found[2]) > 3 else text


def shorter_title(text: str, context: PostContext) -> str:
    """Cut a long title between its parts. A subtitle is removed first, then the end of a list. What stays names the
    product if the title does: it may be the subtitle."""
    if len(text) <= GOOD_TITLE:
        return text
    names = is_named(text, context)
    starts = [0, *(end.end() for end in SUBTITLES.finditer(text) if names)]
    for parts in (SUBTITLES, PARTS_OF_A_TITLE):
        ends = [*(end.start() for end in parts.finditer(text)), len(text)]
        for start in starts:
            cuts = [text[start:end] for end in ends if LEAST_TITLE <= end - start <= GOOD_TITLE]
            if kept := [cut for cut in cuts if not names or is_named(cut, context)]:
                shorter = kept[-1].rstrip(" ,;:|–—-")
                return f"{shorter[0].upper()}{shorter[1:]}" if start else shorter
    return text


def long_title(text: str, context: PostContext) -> str:
    return f"{len(text)} characters" if len(text) > LONG_TITLE else ""
