"""The posts that a site has: what the writer is told of those about the same thing, and which of them it may link to.

    source -> terms -> related posts -> <taken>: the ideas are to be others
    idea   -> terms -> related posts -> <related>: not to be repeated; those published may be linked, each once

A writer that links none leaves readers without a way to the site's other posts. Then the closest are listed below the
post, by their titles alone: a list needs no words in the post's language, and no sentence is bent to hold a link. Posts
that are less closely related are not listed.

A post that its owner unpublishes, deletes or moves on the site stays in the library: nothing tells us.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from blogworker.post import render
from blogworker.post.plain import cut, web_address
from blogworker.post.slugs import COMMON
from blogworker.stages.work import Output, Related

MOST_TERMS = 24  # of one post
TERM_LETTERS = 6  # of a word: what follows is mostly its ending
LEAST_LETTERS = 3  # of a word in Latin letters
LONGEST_TEXT = 600  # characters of one text that terms are taken from
UNSPACED_TERM = 2  # letters of a term in a script that writes no spaces
DEPTH = 200  # newest posts with a term that are looked at
LEAST_SHARE, CLOSE_SHARE = 0.2, 0.4  # of the terms, for a post to be related, and to be listed below another
FOUND, SHOWN, MOST_LINKS = 12, 4, 2  # posts: looked at, shown to the writer, linked
TAKEN_SHOWN = 6  # posts that the ideas are told of
TITLE_SHOWN, ANGLE_SHOWN = 120, 160  # characters
LONGEST_ADDRESS = 500
RULE = "---"


def terms_of(texts: Iterable[object]) -> dict[str, int]:
    """What a post about these texts is found by: the beginnings of its words, in any script, each with the number of
    texts that have it; the most frequent first."""
    counts: Counter[str] = Counter()
    for text in texts:
        words = unicodedata.normalize("NFKC", str(text or "")[:LONGEST_TEXT]).casefold()
        counts.update(dict.fromkeys(term for word in re.findall(r"[^\W_]+", words) for term in _terms(word)).keys())
    return dict(counts.most_common(MOST_TERMS))


def _terms(word: str) -> list[str]:
    if word in COMMON or word.isdigit():
        return []
    if render.UNSPACED.search(word):
        return [word[at : at + UNSPACED_TERM] for at in range(max(1, len(word) - UNSPACED_TERM + 1))]
    if len(word) < LEAST_LETTERS:
        return []
    return [(word.removesuffix("s") if len(word) > LEAST_LETTERS else word)[:TERM_LETTERS]]


def about_source(source: Mapping[str, Any]) -> list[object]:
    """The texts that say what a source is about."""
    return [source.get("name"), source.get("keyword"), None if source.get("name") else source.get("text")]


def about_post(source: Mapping[str, Any], idea: Mapping[str, Any], *, title: str) -> list[object]:
    """The texts that say what a post is about."""
    return [source.get("name"), source.get("keyword"), *(idea.get("keywords") or []), title]


def told(related: Sequence[Related]) -> list[str]:
    """Posts of the site in a line each, as the writer of ideas is told of them."""
    return [_line(post) for post in related[:TAKEN_SHOWN]]


def _line(post: Related) -> str:
    angle = cut(post.angle, ANGLE_SHOWN)
    return f"{cut(post.title, TITLE_SHOWN)}: {angle}" if angle else cut(post.title, TITLE_SHOWN)


def offered(found: Sequence[Related], *, own_url: str) -> list[Related]:
    """The posts that the writer of a post is told of. At most MOST_LINKS have an address."""
    linkable: list[Related] = []
    for post in found:
        pages = [own_url, *(str(other.url) for other in linkable)]
        if _safe(post.url) and not any(render.same_page(str(post.url), page) for page in pages):
            linkable.append(post)
    kept = linkable[:MOST_LINKS]
    others = [post for post in found if post not in kept]
    shown = [*kept, *others[: SHOWN - len(kept)]]
    return [post if post in kept else Related(post.title, post.angle, None, post.share) for post in shown]


def _safe(url: str | None) -> bool:
    return url is not None and web_address(url) == url and len(url) <= LONGEST_ADDRESS


def stored(related: Sequence[Related]) -> list[Output]:
    return [asdict(post) for post in related]


def known(value: object) -> list[Related]:
    """The related posts of a checkpoint; what is not usable is left out, whoever wrote it."""
    posts: list[Related] = []
    for entry in value if isinstance(value, list) else []:
        match entry:
            case {"title": str(title), "angle": str(angle), "share": float() | int() as share, **rest} if title:
                url = rest.get("url")
                linked = isinstance(url, str) and _safe(url) and len(links(posts)) < MOST_LINKS
                posts.append(Related(title, angle, str(url) if linked else None, float(share)))
    return posts[:SHOWN]


def shown(related: Sequence[Related]) -> list[Output]:
    """What the model reads of them."""
    return [
        {"title": cut(post.title, TITLE_SHOWN), "angle": cut(post.angle, ANGLE_SHOWN)}
        | ({"url": post.url} if post.url else {})
        for post in related
    ]


def links(related: Sequence[Related]) -> dict[str, str]:
    """The addresses that a post may link to, each with the title of what is there."""
    return {post.url: post.title for post in related if post.url}


def closed(body: str, related: Sequence[Related], *, own_url: str) -> str:
    """The body, with the closest posts listed below it where it links to none."""
    known_links = links(related)
    if render.linked_in(body, own_url=own_url, links=known_links) - {own_url}:
        return body
    close = [post for post in related if post.url and post.share >= CLOSE_SHARE]
    listed = "\n".join(f"- {render.link_to(str(post.url), post.title)}" for post in close)
    longer = f"{body}\n\n{RULE}\n\n{listed}"
    # In a body that leaves its last block open, the list would be part of it.
    complete = {str(post.url) for post in close} <= render.linked_in(longer, own_url=own_url, links=known_links)
    return longer if listed and complete else body
