"""A whole post: the article and everything that goes around it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from blogworker.simulator.slugs import slug_of
from blogworker.simulator.writer.article import Article
from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import cut, singular, upper_first
from blogworker.simulator.writer.ideas import LONGEST_TITLE, one_idea, short_name
from blogworker.simulator.writer.kinds import ANY, ENGLISH, GOODS, Angle, goods
from blogworker.simulator.writer.subject import Subject

LONGEST_EXCERPT, LONGEST_SEO_TITLE, LONGEST_SEO_DESCRIPTION, LONGEST_ALT = 300, 60, 155, 120
LONGEST_SLUG, LONGEST_TAG = 80, 30
MOST_TAGS = 6
PLAIN_TAGS = ("good to know", "how to", "guide")  # added if a source has too few
LEAST_SECTIONS = 3  # an outline with fewer sections that we have is replaced by one of our own
LEAST_EXCERPT = 80
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
LIGHT = ("soft morning light", "low evening sun", "bright northern light", "warm lamplight", "overcast daylight")
VIEW = ("seen from slightly above", "at eye level", "close up, with a blurred background", "with generous empty space")
COLOURS = ("muted earth tones", "cream and sage green", "deep blue and copper", "warm ochre", "pale pink and clay")


@dataclass(frozen=True, slots=True)
class Post:
    """What a content call answers."""

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
    """A post that follows the idea, or one of its own. It links the first of the related posts that has an address."""
    article = Article(subject, random)
    title, angle, outline = _planned(article, idea)
    excerpt, described = _in_brief(article, angle)
    place = random.choice(subject.kind.places)
    scene = place if subject.language == ENGLISH else random.choice(goods()[ENGLISH].places)
    known = subject.kind.name not in (ANY, GOODS)
    seen = subject.kind.shown if known and not subject.is_product else subject.phrase
    shown = f"{seen} ({subject.kind.noun})" if known and subject.is_product else seen
    return Post(
        title=title,
        slug=slug_of(title)[:LONGEST_SLUG].strip("-"),
        excerpt=cut(excerpt, LONGEST_EXCERPT),
        seo_title=cut(title, LONGEST_SEO_TITLE),
        seo_description=cut(described, LONGEST_SEO_DESCRIPTION),
        tags=_tags(subject),
        body_markdown=article.markdown(angle, outline, _further(related)),
        image_prompt=(
            f"Editorial photograph of {article.pen.fragment(shown)} {scene}, {random.choice(LIGHT)}, "
            f"{random.choice(VIEW)}, {random.choice(COLOURS)}, no text"
        ),
        image_alt=cut(upper_first(f"{article.pen.fragment(seen)} {place}"), LONGEST_ALT),
    )


def short_body(subject: Subject, random: Random) -> str:
    """A text that is valid and far too short."""
    return Article(subject, random).pen.write("This is about {the}. There is more to say.")


def poor_body(subject: Subject, random: Random) -> str:
    """Long enough, without headings, and it says one thing again and again."""
    line = Article(subject, random).pen.write("There is much to say about {the}, and it is worth knowing.")
    return "\n\n".join(" ".join([line] * 8) for _ in range(9))


def _planned(article: Article, idea: dict[str, Any] | None) -> tuple[str, Angle, list[tuple[str, str]]]:
    """Title, angle, and headings with their sections: those of the given idea if we have its sections."""
    given = idea or {}
    title = without_markup(str(given.get("title") or ""))
    outline = _written(article, [without_markup(text) for text in given.get("outline") or () if isinstance(text, str)])
    if not title or len(outline) < LEAST_SECTIONS:
        own = one_idea(article.subject, article.random)
        title, outline = title or own.title, _written(article, own.outline)
    names = {name for _, name in outline}
    angles = article.subject.kind.angles.values()
    return cut(title, LONGEST_TITLE), max(angles, key=lambda angle: _closeness(angle, names, given)), outline


def _written(article: Article, headings: Sequence[str]) -> list[tuple[str, str]]:
    """The headings that we have sections for, each section once."""
    found = {name: heading for heading in reversed(headings) if (name := article.named(heading))}
    return [(heading, name) for name, heading in reversed(found.items())]


def _closeness(angle: Angle, names: set[str], given: dict[str, Any]) -> tuple[bool, int]:
    return given.get("angle") == angle.about, len(names & set(angle.sections))


def _further(related: Sequence[Mapping[str, Any]]) -> str:
    """A sentence that leads to another post; empty if there is none."""
    linked = next((post for post in related if post.get("url") and post.get("title")), None)
    return f"What belongs beside this is told in [{linked['title']}]({linked['url']})." if linked else ""


def _in_brief(article: Article, angle: Angle) -> tuple[str, str]:
    """The excerpt and the description for search engines: the second and the first sentence of an answer."""
    subject = article.subject
    answer = subject.answer
    if answer is not None and answer.angle == angle.name:
        first, *rest = _SENTENCE_END.split(answer.text)
        return " ".join(rest[:1] if len(rest[0]) >= LEAST_EXCERPT else rest[:2]), first
    if not subject.is_product:
        return angle.about, angle.about
    return article.said["brief"].format(about=angle.about, name=subject.phrase), angle.about


def _tags(subject: Subject) -> tuple[str, ...]:
    told = [*subject.tags, *subject.kind.tags, short_name(subject)]
    fitting = [tag.lower() for tag in told if 2 <= len(tag) <= LONGEST_TAG]
    unique = {singular(tag): tag for tag in reversed(fitting)}  # `mug` and `mugs` are one tag
    found = [*reversed(unique.values())][:MOST_TAGS]
    plain = PLAIN_TAGS if subject.language == ENGLISH else subject.kind.tags
    return tuple(dict.fromkeys([*found, *plain][: max(len(found), len(plain))]))
