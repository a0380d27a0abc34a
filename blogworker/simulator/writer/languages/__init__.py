"""Articles in other languages than English, one file per language. Each file is read once.

    title: A / B                     of the ideas; `excerpt`, `description` (for search engines), `alt`, `tags`, …
    <an empty line>                  then the introduction
    ## Heading                       the first section is about a product; the last one is the closing

Text is Markdown with slots in braces. As in `kinds`, a sentence with an unknown slot is left out. The sentences fit any
subject, because there is no grammar of these languages here.
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
from blogworker.simulator.writer.grammar import cut, upper_first
from blogworker.simulator.writer.ideas import BEST_SCORE, WORST_SCORE, Idea
from blogworker.simulator.writer.post import (
    COLOURS,
    LIGHT,
    LONGEST_ALT,
    LONGEST_EXCERPT,
    LONGEST_SEO_DESCRIPTION,
    LONGEST_SEO_TITLE,
    LONGEST_TAG,
    MOST_TAGS,
    VIEWS,
    Post,
)
from blogworker.simulator.writer.subject import Subject, main_part

ALTERNATIVES = " / "
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])")
SLOT = re.compile(r"\{(\w+)\}")
AMOUNT = re.compile(r"([€$£])(\d+)(?:\.(\d\d))?")  # the English format; these languages write `12,90 €`
LISTED = ("- ", "|", "1. ")
LONGEST_NAME, LONGEST_TITLE, MOST_QUOTED = 40, 65, 2
TOO_FEW_SECTIONS = 3  # known headings of an outline with which it is replaced


@dataclass(frozen=True, slots=True)
class Language:
    """The texts of one language."""

    fields: Mapping[str, str]  # `title`, `excerpt`, `tags` and so on
    opening: str
    sections: tuple[tuple[str, str], ...]  # heading and text; the first is for products only


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
        fields=dict(line.split(": ", 1) for line in head.splitlines()),
        opening=opening.strip(),
        sections=tuple((heading, written.strip()) for heading, written in pairs),
    )


def ideas_in(language: Language, subject: Subject, random: Random) -> list[Idea]:
    """An idea for each title. Their outlines have the sections in different orders."""
    titles = language.fields["title"].split(ALTERNATIVES)
    scores = sorted((round(random.uniform(WORST_SCORE, BEST_SCORE), 1) for _ in titles), reverse=True)
    return [
        Idea(
            title=_fill(title, _slots(subject), longest=LONGEST_TITLE),
            angle=language.fields["angle"],
            audience=language.fields["audience"],
            search_intent=random.choice(("informational", "commercial")),
            keywords=tuple(
                f"{_short_name(subject)} {search}" for search in language.fields["search"].split(ALTERNATIVES)
            ),
            outline=tuple(_outline(language, subject, random)),
            score=score,
        )
        for title, score in zip(titles, scores, strict=True)
    ]


def post_in(language: Language, subject: Subject, idea: Mapping[str, Any] | None, random: Random) -> Post:
    """A post after the given idea, or after its own."""
    idea, slots = idea or {}, _slots(subject)
    titles = language.fields["title"].split(ALTERNATIVES)
    title = without_markup(str(idea.get("title") or "")) or _fill(titles[0], slots, longest=LONGEST_TITLE)
    known = dict(language.sections)
    planned = [str(heading) for heading in idea.get("outline") or () if heading in known]
    headings = planned if len(planned) > TOO_FEW_SECTIONS else _outline(language, subject, random)
    blocks = [_block(language.opening, slots)]
    for heading in headings:
        paragraphs = [text for block in known[heading].split("\n\n") if (text := _block(block, slots))]
        blocks += [f"## {heading}", *paragraphs]
    name = _short_name(subject)
    tags = [*language.fields["tags"].split(ALTERNATIVES), *subject.tags, name]
    return Post(
        title=title,
        slug=slug_of(title, subject.language),
        excerpt=cut(language.fields["excerpt"], LONGEST_EXCERPT),
        seo_title=title if len(title) <= LONGEST_SEO_TITLE else cut(name, LONGEST_SEO_TITLE),
        seo_description=cut(language.fields["description"], LONGEST_SEO_DESCRIPTION),
        tags=tuple(dict.fromkeys(tag for tag in tags if 2 <= len(tag) <= LONGEST_TAG))[:MOST_TAGS],
        body_markdown="\n\n".join(blocks),
        image_prompt=(
            f"Editorial photograph of {subject.name} on a wooden table beside a window, {random.choice(LIGHT)}, "
            f"{random.choice(VIEWS)}, {random.choice(COLOURS)}, no text"
        ),
        image_alt=cut(upper_first(_fill(language.fields["alt"], slots, longest=LONGEST_ALT)), LONGEST_ALT),
    )


def _outline(language: Language, subject: Subject, random: Random) -> list[str]:
    first, *middle, last = (heading for heading, _ in language.sections)
    ordered = random.sample(middle, len(middle))
    return [ordered[0], *([first] if subject.is_product else []), *ordered[1:], last]


def _slots(subject: Subject) -> dict[str, str]:
    quoted = " ".join(subject.sentences[:MOST_QUOTED])
    price = AMOUNT.sub(lambda found: f"{found[2]}{',' if found[3] else ''}{found[3] or ''} {found[1]}", subject.price)
    known = {"vendor": subject.vendor, "price": price, "url": subject.url, "told": quoted}
    product = {"product": main_part(subject.name)} if subject.is_product else {}
    return {"name": _short_name(subject), **product, **{name: value for name, value in known.items() if value}}


def _short_name(subject: Subject) -> str:
    return cut(main_part(subject.name), LONGEST_NAME) if subject.is_product else cut(subject.name, LONGEST_NAME)


def _fill(text: str, slots: Mapping[str, str], *, longest: int) -> str:
    return cut(SLOT.sub(lambda found: slots[found[1]], text), longest)


def _block(block: str, slots: Mapping[str, str]) -> str:
    """A paragraph with its slots filled, without the sentences that have unknown slots."""
    parts = [block] if block.startswith(LISTED) else SENTENCE_END.split(" ".join(block.split("\n")))
    kept = [part for part in parts if all(name in slots for name in SLOT.findall(part))]
    return SLOT.sub(lambda found: slots[found[1]], " ".join(kept))
