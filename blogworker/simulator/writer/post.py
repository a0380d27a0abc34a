"""A complete post: the article, its title, excerpt, tags and the other fields."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from blogworker.simulator.slugs import slug_of
from blogworker.simulator.writer.article import Article
from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import cut, singular, upper_first
from blogworker.simulator.writer.ideas import LONGEST_TITLE, best_idea, short_name
from blogworker.simulator.writer.kinds import ANY, ENGLISH, GOODS, Angle, goods
from blogworker.simulator.writer.subject import Subject

LONGEST_EXCERPT, LONGEST_SEO_TITLE, LONGEST_SEO_DESCRIPTION, LONGEST_ALT = 300, 60, 155, 120
LONGEST_SLUG, LONGEST_TAG = 80, 30
MOST_TAGS = 6
PLAIN_TAGS = ("good to know", "how to", "guide")  # added if a subject has too few
LEAST_SECTIONS = 3  # an outline with fewer known sections is replaced
LEAST_EXCERPT = 80
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
LIGHT = ("soft morning light", "low evening sun", "bright northern light", "warm lamplight", "overcast daylight")
VIEWS = ("seen from slightly above", "at eye level", "close up, with a blurred background", "with generous empty space")
COLOURS = ("muted earth tones", "cream and sage green", "deep blue and copper", "warm ochre", "pale pink and clay")


@dataclass(frozen=True, slots=True)
class Post:
    """The answer to a content request."""

    title: str
    slug: str
    excerpt: str
    seo_title: str
    seo_description: str
    tags: tuple[str, ...]
    body_markdown: str
    image_prompt: str
    image_alt: str


def compose_post(
    subject: Subject, idea: dict[str, Any] | None, random: Random, related: Sequence[Mapping[str, Any]] = ()
) -> Post:
    """A post after the given idea, or after its own. It links to the first related post that has a URL."""
    article = Article(subject, random)
    title, angle, outline = _plan(article, idea)
    excerpt, described = _excerpt_and_description(article, angle)
    place = random.choice(subject.kind.places)
    scene = place if subject.language == ENGLISH else random.choice(goods()[ENGLISH].places)
    known = subject.kind.name not in (ANY, GOODS)
    seen = subject.kind.picture_phrase if known and not subject.is_product else "{the}"
    shown = f"{seen} ({subject.kind.noun})" if known and subject.is_product else seen
    return Post(
        title=title,
        slug=slug_of(title, subject.language)[:LONGEST_SLUG].strip("-"),
        excerpt=cut(excerpt, LONGEST_EXCERPT),
        seo_title=cut(title, LONGEST_SEO_TITLE),
        seo_description=cut(described, LONGEST_SEO_DESCRIPTION),
        tags=_tags(subject),
        body_markdown=article.markdown(angle, outline, _related_sentence(article, related)),
        image_prompt=(
            f"Editorial photograph of {article.filler.fill_fragment(shown)} {scene}, {random.choice(LIGHT)}, "
            f"{random.choice(VIEWS)}, {random.choice(COLOURS)}, no text"
        ),
        image_alt=cut(upper_first(f"{article.filler.fill_fragment(seen)} {place}"), LONGEST_ALT),
    )


def short_body(subject: Subject, random: Random) -> str:
    """A valid text that is far too short."""
    return Article(subject, random).filler.fill("This is about {the}. There is more to say.")


def poor_body(subject: Subject, random: Random) -> str:
    """A text of sufficient length that has no headings and repeats one sentence."""
    line = Article(subject, random).filler.fill("There is much to say about {the}, and it is worth knowing.")
    return "\n\n".join(" ".join([line] * 8) for _ in range(9))


def _plan(article: Article, idea: dict[str, Any] | None) -> tuple[str, Angle, list[tuple[str, str]]]:
    """Title, angle, and the headings with their sections: those of the given idea if its sections are known."""
    given = idea or {}
    title = without_markup(str(given.get("title") or ""))
    outline = _known_sections(
        article, [without_markup(text) for text in given.get("outline") or () if isinstance(text, str)]
    )
    if not title or len(outline) < LEAST_SECTIONS:
        own = best_idea(article.subject, article.random)
        title, outline = title or own.title, _known_sections(article, own.outline)
    names = {name for _, name in outline}
    angles = article.subject.kind.angles.values()
    return cut(title, LONGEST_TITLE), max(angles, key=lambda angle: _closeness(angle, names, given)), outline


def _known_sections(article: Article, headings: Sequence[str]) -> list[tuple[str, str]]:
    """The known headings with their sections. Each section appears once."""
    found = {name: heading for heading in reversed(headings) if (name := article.section_name(heading))}
    return [(heading, name) for name, heading in reversed(found.items())]


def _closeness(angle: Angle, names: set[str], given: dict[str, Any]) -> tuple[bool, int]:
    return given.get("angle") == angle.about, len(names & set(angle.sections))


def _related_sentence(article: Article, related: Sequence[Mapping[str, Any]]) -> str:
    """A sentence with a link to another post; empty if there is none."""
    linked = next((post for post in related if post.get("url") and post.get("title")), None)
    return article.phrases["related"].format(title=linked["title"], url=linked["url"]) if linked else ""


def _excerpt_and_description(article: Article, angle: Angle) -> tuple[str, str]:
    """The excerpt and the SEO description. With a prepared answer, these are its second and its first sentence."""
    subject = article.subject
    answer = subject.answer
    if answer is not None and answer.angle == angle.name:
        first, *rest = _SENTENCE_END.split(answer.text)
        return " ".join(rest[:1] if len(rest[0]) >= LEAST_EXCERPT else rest[:2]), first
    if not subject.is_product:
        return angle.about, angle.about
    return article.phrases["brief"].format(about=angle.about, name=subject.phrase), angle.about


def _tags(subject: Subject) -> tuple[str, ...]:
    tags = [*subject.tags, *subject.kind.tags, short_name(subject)]
    fitting = [tag.lower() for tag in tags if 2 <= len(tag) <= LONGEST_TAG]
    unique = {singular(tag): tag for tag in reversed(fitting)}  # `mug` and `mugs` are one tag
    found = [*reversed(unique.values())][:MOST_TAGS]
    plain = PLAIN_TAGS if subject.language == ENGLISH else subject.kind.tags
    return tuple(dict.fromkeys([*found, *plain][: max(len(found), len(plain))]))
