"""The existing posts of a site: which of them the model sees, and which of them a new post may link to.

    source -> terms -> related posts -> <taken>: ideas must differ from these
    idea   -> terms -> related posts -> <related>: the post must not repeat these, and may link the published ones once

If the model links none of them, the most similar posts are listed below the post by their titles. A list of titles
needs no words in the language of the post, and no sentence has to change. Less similar posts are not listed.

A post that the owner unpublishes, deletes or moves on the site stays in the library, because we do not learn of it.
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
from blogworker.stages.records import Output
from blogworker.stages.work import Related

MOST_TERMS = 24  # of one post
TERM_LETTERS = 6  # of a word; the rest is mostly its ending
LEAST_LETTERS = 3  # of a word in a script that separates words
LONGEST_TEXT = 600  # characters of one text that are read for terms
UNSPACED_TERM = 2  # letters of a term in a script that writes no spaces
DEPTH = 200  # newest posts with a term that are compared
LEAST_SHARE, CLOSE_SHARE = 0.2, 0.4  # share of common terms for a related post, and for a post that may be listed
FOUND, SHOWN, MOST_LINKS = 12, 4, 2  # number of posts: found, shown to the model, linked
TAKEN_SHOWN = 6  # posts that the prompt for ideas names
TITLE_SHOWN, ANGLE_SHOWN = 120, 160  # characters
LONGEST_ADDRESS = 500
RULE = "---"


def terms_of(texts: Iterable[object]) -> dict[str, int]:
    """Return the terms by which a post about these texts is found, the most frequent first.

    A term is the beginning of a word, in any script. Its value is the number of texts that have it.
    """
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
    """Return the texts that describe the subject of a source."""
    return [source.get("name"), source.get("keyword"), None if source.get("name") else source.get("text")]


def about_post(source: Mapping[str, Any], idea: Mapping[str, Any], *, title: str) -> list[object]:
    """Return the texts that describe the subject of a post."""
    return [source.get("name"), source.get("keyword"), *(idea.get("keywords") or []), title]


def lines(related: Sequence[Related]) -> list[str]:
    """Return one line per post, for the prompt for ideas."""
    return [_line(post) for post in related[:TAKEN_SHOWN]]


def _line(post: Related) -> str:
    angle = cut(post.angle, ANGLE_SHOWN)
    return f"{cut(post.title, TITLE_SHOWN)}: {angle}" if angle else cut(post.title, TITLE_SHOWN)


def offered(found: Sequence[Related], *, own_url: str) -> list[Related]:
    """Return the posts that the prompt for a post names. At most MOST_LINKS of them have an address."""
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
    """Return the related posts of a checkpoint, without entries that are not valid."""
    posts: list[Related] = []
    for entry in value if isinstance(value, list) else []:
        match entry:
            case {"title": str(title), "angle": str(angle), "share": float() | int() as share, **rest} if title:
                url = rest.get("url")
                linked = isinstance(url, str) and _safe(url) and len(links(posts)) < MOST_LINKS
                posts.append(Related(title, angle, str(url) if linked else None, float(share)))
    return posts[:SHOWN]


def shown(related: Sequence[Related]) -> list[Output]:
    """Return what the model reads of these posts."""
    return [
        {"title": cut(post.title, TITLE_SHOWN), "angle": cut(post.angle, ANGLE_SHOWN)}
        | ({"url": post.url} if post.url else {})
        for post in related
    ]


def links(related: Sequence[Related]) -> dict[str, str]:
    """Return the addresses that a post may link to, each with the title of its post."""
    return {post.url: post.title for post in related if post.url}


def with_list(body: str, related: Sequence[Related], *, own_url: str) -> str:
    """Return the body. If it links no other post, the most similar posts are listed below it."""
    known_links = links(related)
    if render.linked_in(body, own_url=own_url, links=known_links) - {own_url}:
        return body
    close = [post for post in related if post.url and post.share >= CLOSE_SHARE]
    listed = "\n".join(f"- {render.link_to(str(post.url), post.title)}" for post in close)
    longer = f"{body}\n\n{RULE}\n\n{listed}"
    # In a body whose last block is not closed, the list would become part of that block.
    complete = {str(post.url) for post in close} <= render.linked_in(longer, own_url=own_url, links=known_links)
    return longer if listed and complete else body
