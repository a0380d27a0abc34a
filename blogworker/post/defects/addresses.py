"""Addresses and links: to the product's own page and to related posts of the site, each once, to nowhere else."""

import re

from blogworker.post import render
from blogworker.post.defects.kind import Known
from blogworker.post.defects.sentences import sentences, without

AUTOLINK = re.compile(r"<(https?://[^<>\s]+|mailto:[^<>\s]+)>")
LINK = re.compile(r"\[([^\[\]]*)\]\(\s*+(<[^<>\n]*>|[^\s()]*+(?:\([^\s()]*\)[^\s()]*+)*+)(?:\s[^)\[\n]*)?\)")
PICTURE = re.compile(f"!{LINK.pattern}")
OWN_LINK = re.compile(r"\[([^\[\]]*)\]\((<[^<>\n]*>)\)|(<https?://[^<>\s]+>)")
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
HIDDEN = "\ue0ff"  # stands for an allowed address while others are looked for; no printable text has these signs
FIRST_HIDDEN = 0xE0F0


def without_pictures(text: str, known: Known) -> str:
    return PICTURE.sub("", text) if "![" in text else text


def without_foreign_links(text: str, known: Known) -> str:
    """Links to elsewhere as their words."""
    return LINK.sub(lambda found: found[0] if _home(found[2], known) else found[1], text)


def own_links(text: str, known: Known) -> str:
    """The allowed addresses, wherever they are written, as links that every parser reads alike. A related post's bare
    address becomes a link with the post's title."""
    if not known.allowed:
        return text

    def bare(found: re.Match[str]) -> str:
        address = found[0] if _home(found[0], known) else found[0].rstrip(SENTENCE_ENDS)
        home = _home(address, known)
        return f"{_titled(home, known)}{found[0][len(address) :]}" if home else found[0]

    def auto(found: re.Match[str]) -> str:
        home = _home(found[1], known)
        if home and found.string.startswith("](", max(0, found.start() - 2)):
            return f"<{home}>"  # the target of a link
        return _titled(home, known) if home else found[1]

    def link(found: re.Match[str]) -> str:
        home = _home(found[2], known)
        return f"[{found[1]}](<{home}>)" if home else found[0]

    normal = AUTOLINK.sub(auto, LINK.sub(link, text))
    targets = "|".join(re.escape(f"<{url}>") for url in known.allowed)
    parts = re.split(f"({targets})", normal)
    parts[::2] = [BARE.sub(bare, part) for part in parts[::2]]
    return "".join(parts)


def _titled(url: str, known: Known) -> str:
    title = known.links.get(url)
    return render.link_to(url, title) if title else f"<{url}>"


def without_addresses(text: str, known: Known) -> str:
    """Without the sentences that send a reader elsewhere: without its address, the rest of one says nothing."""
    own = [f"<{url}>" for url in known.allowed]
    hidden = AUTOLINK.sub(lambda found: found[0] if found[0] in own else found[1], own_links(text, known))
    for place, url in enumerate(own):
        hidden = hidden.replace(url, chr(FIRST_HIDDEN + place))
    if not _elsewhere(hidden, known):
        return text
    kept = without(hidden, lambda part: _elsewhere(part, known))
    for place, url in enumerate(own):
        kept = kept.replace(chr(FIRST_HIDDEN + place), url)
    return kept.strip()


def line_without_addresses(text: str, known: Known) -> str:
    """As `without_addresses`, for a field that holds no link, not even the product's."""
    if not _elsewhere(text, known):
        return text
    return "".join(part for part in sentences(text) if not _elsewhere(part, known)).strip()


def one_link(text: str, known: Known) -> str:
    """The first link to each address stays, those after it are their words."""
    normal = own_links(text, known)
    kept = normal
    for url in known.allowed:
        kept = _once(kept, f"<{url}>")
    return text if kept == normal else kept


def _once(text: str, target: str) -> str:
    found = [link for link in OWN_LINK.finditer(text) if target in (link[2], link[3])]
    if len(found) < 2:
        return text

    def words(link: re.Match[str]) -> str:
        if target not in (link[2], link[3]):
            return link[0]
        return link[1] if link[1] is not None else HIDDEN

    end = found[0].end()
    rest = OWN_LINK.sub(words, text[end:])
    return text[:end] + (without(rest, lambda part: HIDDEN in part) if HIDDEN in rest else rest)


def _home(address: str, known: Known) -> str:
    """The allowed address that leads to the same page; empty: none."""
    return render.the_same(address.strip("<>"), known.allowed)


def _elsewhere(text: str, known: Known) -> bool:
    """Whether a text has an address. A name such as `Etsy.com` is none where the source has it."""
    return any(found[0].lower().startswith("http") or not known.holds(found[0]) for found in ELSEWHERE.finditer(text))
