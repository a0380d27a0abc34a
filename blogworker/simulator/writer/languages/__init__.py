"""Articles in languages other than English, one file per language, read once.

    title: A / B                     of the ideas; `excerpt`, `description` (for search engines), `alt`, `tags`, …
    <an empty line>                  the opening comes behind it
    ## Heading                       the first section is about a product's facts, the last one ends the article

Text is Markdown with slots in braces. A sentence with an unknown slot is left out, as in `kinds`: what is said about a
product comes from its source. The words fit any subject, since no grammar of these languages is known here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any

from blogworker.simulator.slugs import slug_of
from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import cut
from blogworker.simulator.writer.ideas import BEST, WORST, Idea
from blogworker.simulator.writer.post import (
    COLOURS,
    LIGHT,
    LONGEST_ALT,
    LONGEST_EXCERPT,
    LONGEST_SEO_DESCRIPTION,
    LONGEST_SEO_TITLE,
    LONGEST_TAG,
    MOST_TAGS,
    VIEW,
    Post,
)
from blogworker.simulator.writer.subject import Subject, main_part

ALTERNATIVES = " / "
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])")
SLOT = re.compile(r"\{(\w+)\}")
AMOUNT = re.compile(r"([€$£])(\d+)(?:\.(\d\d))?")  # English; these languages write `12,90 €`
LISTED = ("- ", "|", "1. ")
LONGEST_NAME, LONGEST_TITLE, MOST_QUOTED = 40, 65, 2
WORDY = 3  # sections of an article that an idea may leave out: the last of those between the first and the end


@dataclass(frozen=True, slots=True)
class Language:
    """What is written in one language."""

    told: Mapping[str, str]  # the fields of its head
    opening: str
    sections: tuple[tuple[str, str], ...]  # heading and text; the first is for products alone


@cache
def languages() -> Mapping[str, Language]:
    folder = files("blogworker.simulator.writer") / "languages"
    texts = {file.name.removesuffix(".md"): file for file in folder.iterdir() if file.name.endswith(".md")}
    return {tag: _language(texts[tag].read_text(encoding="utf-8")) for tag in sorted(texts)}


def _language(text: str) -> Language:
    head, _, body = text.partition("\n\n")
    opening, *sections = re.split(r"^## (.+)$", body, flags=re.M)
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return Language(
        told=dict(line.split(": ", 1) for line in head.splitlines()),
        opening=opening.strip(),
        sections=tuple((heading, written.strip()) for heading, written in pairs),
    )


def ideas_in(language: Language, subject: Subject, random: Random) -> list[Idea]:
    """An idea for each title. Their outlines have the sections in different order."""
    titles = language.told["title"].split(ALTERNATIVES)
    scores = sorted((round(random.uniform(WORST, BEST), 1) for _ in titles), reverse=True)
    return [
        Idea(
            title=_filled(title, _slots(subject), longest=LONGEST_TITLE),
            angle=language.told["angle"],
            audience=language.told["audience"],
            search_intent=random.choice(("informational", "commercial")),
            keywords=tuple(f"{_short(subject)} {search}" for search in language.told["search"].split(ALTERNATIVES)),
            outline=tuple(_outline(language, subject, random)),
            score=score,
        )
        for title, score in zip(titles, scores, strict=True)
    ]


def post_in(language: Language, subject: Subject, idea: Mapping[str, Any] | None, random: Random) -> Post:
    """A post that follows the idea, or one of its own."""
    idea, slots = idea or {}, _slots(subject)
    titles = language.told["title"].split(ALTERNATIVES)
    title = without_markup(str(idea.get("title") or "")) or _filled(titles[0], slots, longest=LONGEST_TITLE)
    known = dict(language.sections)
    planned = [str(heading) for heading in idea.get("outline") or () if heading in known]
    headings = planned if len(planned) > WORDY else _outline(language, subject, random)
    blocks = [_block(language.opening, slots)]
    for heading in headings:
        written = [told for block in known[heading].split("\n\n") if (told := _block(block, slots))]
        blocks += [f"## {heading}", *written]
    name = _short(subject)
    tags = [*language.told["tags"].split(ALTERNATIVES), *subject.tags, name]
    return Post(
        title=title,
        slug=slug_of(title),
        excerpt=cut(language.told["excerpt"], LONGEST_EXCERPT),
        seo_title=title if len(title) <= LONGEST_SEO_TITLE else cut(name, LONGEST_SEO_TITLE),
        seo_description=cut(language.told["description"], LONGEST_SEO_DESCRIPTION),
        tags=tuple(dict.fromkeys(tag for tag in tags if 2 <= len(tag) <= LONGEST_TAG))[:MOST_TAGS],
        body_markdown="\n\n".join(blocks),
        image_prompt=(
            f"Editorial photograph of {subject.name} on a wooden table beside a window, {random.choice(LIGHT)}, "
            f"{random.choice(VIEW)}, {random.choice(COLOURS)}, no text"
        ),
        image_alt=cut(_filled(language.told["alt"], slots, longest=LONGEST_ALT), LONGEST_ALT),
    )


def _outline(language: Language, subject: Subject, random: Random) -> list[str]:
    first, *middle, last = (heading for heading, _ in language.sections)
    ordered = random.sample(middle, len(middle))
    return [ordered[0], *([first] if subject.is_product else []), *ordered[1:], last]


def _slots(subject: Subject) -> dict[str, str]:
    quoted = " ".join(subject.told[:MOST_QUOTED])
    price = AMOUNT.sub(lambda found: f"{found[2]}{',' if found[3] else ''}{found[3] or ''} {found[1]}", subject.price)
    known = {"vendor": subject.vendor, "price": price, "url": subject.url, "told": quoted}
    product = {"product": main_part(subject.name)} if subject.is_product else {}
    return {"name": _short(subject), **product, **{name: value for name, value in known.items() if value}}


def _short(subject: Subject) -> str:
    return cut(main_part(subject.name), LONGEST_NAME) if subject.is_product else cut(subject.name, LONGEST_NAME)


def _filled(text: str, slots: Mapping[str, str], *, longest: int) -> str:
    return cut(SLOT.sub(lambda found: slots[found[1]], text), longest)


def _block(block: str, slots: Mapping[str, str]) -> str:
    """A paragraph without the sentences whose slots are not known."""
    parts = [block] if block.startswith(LISTED) else SENTENCE_END.split(" ".join(block.split("\n")))
    kept = [part for part in parts if all(name in slots for name in SLOT.findall(part))]
    return SLOT.sub(lambda found: slots[found[1]], " ".join(kept))
