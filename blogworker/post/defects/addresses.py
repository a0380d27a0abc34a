"""Addresses and links. A post may link to the product's page and to related posts of its site, once each."""

import re

from blogworker.post import render
from blogworker.post.defects.kind import PostContext
from blogworker.post.defects.matches import matches
from blogworker.post.defects.sentences import sentences, without

AUTOLINK = re.compile(r"<(https?://[^<>\s]+|mailto:[^<>\s]+)>")
LINK = re.compile(r"\[([^\[\]]*)\]\(\s*+(<[^<>\n]*>|[^\s()]*+(?:\([^\s()]*\)[^\s()]*+)*+)(?:\s[^)\[\n]*)?\)")
PICTURE = re.compile(f"!{LINK.pattern}")
OWN_LINK = re.compile(r"\[([^\[\]]*)\]\((<[^<>\n]*>)\)|(<https?://[^<>\s]+>)")
# Balanced parentheses belong to an address. A single closing one belongs to the sentence.
BARE = re.compile(
    r"(?<![(\w<])https?://(?:[^\s<>()\]]|\([^\s<>()]*\))+|(?<=\()(?<!\]\()https?://(?:[^\s<>()\]]|\([^\s<>()]*\))+"
)
SENTENCE_ENDS = ".,;:!?\"'*_"  # not part of a bare address that they follow
FOREIGN_ADDRESS = re.compile(
    r"https?://[^\s<>)\]]+|(?<![\w.@/-])www\.[\w-]+\.[a-z]{2,}"
    r"|(?<![\w.@/-])[a-z0-9][a-z0-9-]{1,62}\.(?-i:com|net|org|info|shop|store|io|co\.uk|example)(?![\w-]|\.\w)(?:/[^\s<>)\]]*)?"
    r"|(?<![\w.@/-])[a-z0-9][a-z0-9-]{1,62}\.(?-i:de|at|ch|fr|es|it|nl|be|eu)/[^\s<>)\]]*",
    re.I,
)
MAIL_ADDRESS = re.compile(r"(?<![\w.+-])[\w+-]{1,64}(?:\.[\w+-]{1,64}){0,8}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
PART_OF_AN_ADDRESS = re.compile(
    r"://|@|[wW]\.|\.(?:com|net|org|info|shop|store|io|co\.uk|example|de|at|ch|fr|es|it|nl|be|eu)"
)
HIDDEN = "\ue0ff"  # replaces an allowed address during the search; printable text has no such character
FIRST_HIDDEN = 0xE0F0


def without_pictures(text: str, context: PostContext) -> str:
    return PICTURE.sub("", text) if "![" in text else text


def without_foreign_links(text: str, context: PostContext) -> str:
    """Return the text with each link to another address replaced by its words."""
    return LINK.sub(lambda found: found[0] if _allowed_page(found[2], context) else found[1], text)


def own_links(text: str, context: PostContext) -> str:
    """Write each allowed address as a link that all parsers read the same way. The bare address of a related post
    becomes a link with the title of the post."""
    if not context.allowed:
        return text

    def bare(found: re.Match[str]) -> str:
        address = found[0] if _allowed_page(found[0], context) else found[0].rstrip(SENTENCE_ENDS)
        page = _allowed_page(address, context)
        return f"{_titled(page, context)}{found[0][len(address) :]}" if page else found[0]

    def auto(found: re.Match[str]) -> str:
        page = _allowed_page(found[1], context)
        if page and found.string.startswith("](", max(0, found.start() - 2)):
            return f"<{page}>"  # the target of a link
        return _titled(page, context) if page else found[1]

    def link(found: re.Match[str]) -> str:
        page = _allowed_page(found[2], context)
        return f"[{found[1]}](<{page}>)" if page else found[0]

    normal = AUTOLINK.sub(auto, LINK.sub(link, text))
    targets = "|".join(re.escape(f"<{url}>") for url in context.allowed)
    parts = re.split(f"({targets})", normal)
    parts[::2] = [BARE.sub(bare, part) for part in parts[::2]]
    return "".join(parts)


def _titled(url: str, context: PostContext) -> str:
    title = context.links.get(url)
    return render.link_to(url, title) if title else f"<{url}>"


def without_addresses(text: str, context: PostContext) -> str:
    """Remove the sentences that contain a foreign address: without the address, such a sentence has no meaning."""
    own = [f"<{url}>" for url in context.allowed]
    hidden = AUTOLINK.sub(lambda found: found[0] if found[0] in own else found[1], own_links(text, context))
    for place, url in enumerate(own):
        hidden = hidden.replace(url, chr(FIRST_HIDDEN + place))
    if not _has_foreign_address(hidden, context):
        return text
    remaining = without(hidden, lambda part: _has_foreign_address(part, context))
    for place, url in enumerate(own):
        remaining = remaining.replace(chr(FIRST_HIDDEN + place), url)
    return remaining.strip()


def line_without_addresses(text: str, context: PostContext) -> str:
    """Do the same for a field that must not contain any link, not even to the product."""
    if not _has_foreign_address(text, context):
        return text
    return "".join(part for part in sentences(text) if not _has_foreign_address(part, context)).strip()


def one_link(text: str, context: PostContext) -> str:
    """Keep the first link to each address, and replace later ones by their words."""
    normal = own_links(text, context)
    once = normal
    for url in context.allowed:
        once = _linked_once(once, f"<{url}>")
    return text if once == normal else once


def _linked_once(text: str, target: str) -> str:
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


def _allowed_page(address: str, context: PostContext) -> str:
    """Return the allowed address of the same page, or an empty text."""
    return render.matching_page(address.strip("<>"), context.allowed)


def _has_foreign_address(text: str, context: PostContext) -> bool:
    """Whether a text contains a foreign address. A name such as `Etsy.com` is not one if the source contains it."""
    if not PART_OF_AN_ADDRESS.search(text):
        return False
    found = (*matches(FOREIGN_ADDRESS, text), *(matches(MAIL_ADDRESS, text) if "@" in text else ()))
    addresses = (address[0] for address in found)
    return any(address.lower().startswith("http") or not context.source_has(address) for address in addresses)
