"""Addresses and links: to the product's own page once, to nowhere else."""

import re

from blogworker.stages import render
from blogworker.stages.defects.kind import Known
from blogworker.stages.defects.sentences import sentences, without

AUTOLINK = re.compile(r"<(https?://[^<>\s]+|mailto:[^<>\s]+)>")
LINK = re.compile(r"\[([^\[\]]*)\]\(\s*+(<[^<>\n]*>|[^\s()]*+(?:\([^\s()]*\)[^\s()]*+)*+)(?:\s[^)\[\n]*)?\)")
PICTURE = re.compile(f"!{LINK.pattern}")
OWN_LINK = re.compile(r"\[([^\[\]]*)\]\(<[^<>\n]*>\)|<https?://[^<>\s]+>")
# Balanced parentheses belong to an address, a closing one alone to the sentence around it.
BARE = re.compile(
    r"(?<![(\w<])https?://(?:[^\s<>()\]]|\([^\s<>()]*\))+|(?<=\()(?<!\]\()https?://(?:[^\s<>()\]]|\([^\s<>()]*\))+"
)
SENTENCE_ENDS = ".,;:!?\"'*_"  # behind a bare address, no part of it
ELSEWHERE = re.compile(
    r"https?://[^\s<>)\]]+|(?<![\w.@/-])www\.[\w-]+\.[a-z]{2,}"
    r"|(?<![\w.+-])[\w+-]{1,64}(?:\.[\w+-]{1,64}){0,8}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
    r"|(?<![\w.@/-])[a-z0-9][a-z0-9-]{1,62}\.(?-i:com|net|org|info|shop|store|io|co\.uk|example)(?![\w-]|\.\w)(?:/[^\s<>)\]]*)?"
    r"|(?<![\w.@/-])[a-z0-9][a-z0-9-]{1,62}\.(?-i:de|at|ch|fr|es|it|nl|be|eu)/[^\s<>)\]]*",
    re.I,
)
HIDDEN = "\ue0ff"  # stands for the product's own link while others are looked for; no printable text has it


def without_pictures(text: str, known: Known) -> str:
    return PICTURE.sub("", text) if "![" in text else text


def without_foreign_links(text: str, known: Known) -> str:
    """Links to elsewhere as their words. Those to the product have its own url, as the shop writes it."""
    return LINK.sub(lambda found: found[0] if _own(found[2], known) else found[1], text)


def own_links(text: str, known: Known) -> str:
    """The product's address, wherever it is written, as a link that every parser reads alike."""
    url = known.own_url
    if not url:
        return text

    def bare(found: re.Match[str]) -> str:
        address = found[0] if _own(found[0], known) else found[0].rstrip(SENTENCE_ENDS)
        return f"<{url}>{found[0][len(address) :]}" if _own(address, known) else found[0]

    linked = LINK.sub(lambda found: f"[{found[1]}](<{url}>)" if _own(found[2], known) else found[0], text)
    hidden = AUTOLINK.sub(lambda found: f"<{url}>" if _own(found[1], known) else found[1], linked)
    parts = hidden.split(f"<{url}>")
    return f"<{url}>".join(BARE.sub(bare, part) for part in parts)


def without_addresses(text: str, known: Known) -> str:
    """Without the sentences that send a reader elsewhere: without its address, the rest of one says nothing."""
    own = f"<{known.own_url}>"
    hidden = AUTOLINK.sub(lambda found: found[0] if found[0] == own else found[1], own_links(text, known))
    hidden = hidden.replace(own, HIDDEN) if known.own_url else hidden
    if not _elsewhere(hidden, known):
        return text
    return without(hidden, lambda part: _elsewhere(part, known)).replace(HIDDEN, own).strip()


def line_without_addresses(text: str, known: Known) -> str:
    """As `without_addresses`, for a field that holds no link, not even the product's."""
    if not _elsewhere(text, known):
        return text
    return "".join(part for part in sentences(text) if not _elsewhere(part, known)).strip()


def one_link(text: str, known: Known) -> str:
    """The first link stays, those after it are their words."""
    normal = own_links(text, known)
    found = list(OWN_LINK.finditer(normal))
    if len(found) < 2:
        return text
    end = found[0].end()
    rest = OWN_LINK.sub(lambda link: link[1] if link[1] is not None else HIDDEN, normal[end:])
    return normal[:end] + (without(rest, lambda part: HIDDEN in part) if HIDDEN in rest else rest)


def _own(address: str, known: Known) -> bool:
    return render.same_page(address.strip("<>"), known.own_url)


def _elsewhere(text: str, known: Known) -> bool:
    """Whether a text has an address. A name such as `Etsy.com` is none where the source has it."""
    return any(found[0].lower().startswith("http") or not known.holds(found[0]) for found in ELSEWHERE.finditer(text))
