"""A whole post: the article and everything that goes around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from blogworker.simulator.slugs import slug_of
from blogworker.simulator.writer.article import Article
from blogworker.simulator.writer.bank import angles
from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import cut, upper_first
from blogworker.simulator.writer.headings import kind_of
from blogworker.simulator.writer.ideas import LONGEST_TITLE, one_idea, short_name
from blogworker.simulator.writer.subject import Subject

LONGEST_EXCERPT, LONGEST_SEO_TITLE, LONGEST_SEO_DESCRIPTION, LONGEST_ALT = 300, 60, 155, 120
LONGEST_SLUG, LONGEST_TAG = 80, 30
FEWEST_TAGS, MOST_TAGS = 3, 6
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


def compose_post(subject: Subject, idea: dict[str, Any] | None, random: Random) -> Post:
    """A post that follows the idea, or one of its own."""
    article = Article(subject, random)
    title, outline = _planned(subject, idea, random)
    body = article.markdown(outline, _plan(outline, random))
    place, scene = article.pen.fragment("{where}"), article.pen.fragment("{sense}")
    name = short_name(subject)
    seen = f"{subject.phrase} ({subject.noun})" if subject.is_thing else article.pen.fragment("a {noun}")
    return Post(
        title=title,
        slug=slug_of(title)[:LONGEST_SLUG].strip("-"),
        excerpt=cut(_excerpt(article), LONGEST_EXCERPT),
        seo_title=cut(title, LONGEST_SEO_TITLE),
        seo_description=cut(_seo_description(article, name), LONGEST_SEO_DESCRIPTION),
        tags=_tags(subject, random),
        body_markdown=body,
        image_prompt=(
            f"Editorial photograph of {seen} {place}, {random.choice(LIGHT)}, "
            f"{random.choice(VIEW)}, {random.choice(COLOURS)}, mood of {scene}, no text"
        ),
        image_alt=cut(upper_first(f"{seen.partition(' (')[0]} {place}"), LONGEST_ALT),
    )


def short_body(subject: Subject, random: Random) -> str:
    """A text that is valid and far too short."""
    article = Article(subject, random)
    return " ".join(article.pen.write(line) for line in ("This is about {the}.", "Good {nouns} have {quality}."))


def poor_body(subject: Subject, random: Random) -> str:
    """Long enough, without headings, and it says one thing again and again."""
    line = Article(subject, random).pen.write("There is much to say about {the}, and it is worth knowing.")
    return "\n\n".join(" ".join([line] * 8) for _ in range(9))


def _planned(subject: Subject, idea: dict[str, Any] | None, random: Random) -> tuple[str, list[str]]:
    """Title and headings: those of the given idea when it has them."""
    given = idea or {}
    own = one_idea(subject, random)
    title = without_markup(str(given.get("title") or "")) or own.title
    outline = [without_markup(str(entry)) for entry in given.get("outline") or () if isinstance(entry, str)]
    return cut(title, LONGEST_TITLE), [entry.lstrip("0123456789.- ") for entry in outline if entry] or list(own.outline)


def _plan(outline: Sequence[str], random: Random) -> list[str]:
    """Kinds of sections to fall back on, in an order of their own."""
    known = [kind for heading in outline if (kind := kind_of(heading))]
    best = max(angles().values(), key=lambda angle: len(set(angle.sections) & set(known)))
    kinds = [kind for kind in ("why", "choose", "use", "care", "pairing", "mistakes") if kind not in best.sections]
    random.shuffle(kinds)
    return [*best.sections, *kinds]


def _excerpt(article: Article) -> str:
    forms = (
        "{the} [in plain words|without the fuss]: what to look for, what to leave out and how to keep {quality}.",
        "A [calm|practical] look at {the}, for {who}. With a short list to keep.",
        "What we learned about {the} {when}: [less is more|small things count], and nothing replaces {quality}.",
        "Everything that matters about {the}, from the first day to the hundredth, in a few minutes of reading.",
        "How {the} [end{s}|find{s}] a place in an ordinary week, and what makes the difference: {quality}.",
    )
    return article.pen.write(article.random.choice(forms))


def _seo_description(article: Article, name: str) -> str:
    forms = (
        "{name}: what to look for, how to use and keep {ito}, and the mistakes worth avoiding.",
        "A practical guide to {the}, with a checklist, clear steps and honest answers.",
        "Thinking about {the}? Read what matters, what it costs and what to skip.",
        "{name}, explained: quality, care and everyday use in five minutes.",
    )
    return article.pen.write(article.random.choice(forms).replace("{name}", name))


def _tags(subject: Subject, random: Random) -> tuple[str, ...]:
    kind = "how to" if subject.is_act else "good to know"
    about = "" if subject.theme.name == "general" else subject.theme.name
    wanted = [*subject.tags, short_name(subject), about, subject.nouns, kind, "everyday", "guide"]
    unique = [tag for tag in dict.fromkeys(tag.lower() for tag in wanted) if 2 <= len(tag) <= LONGEST_TAG]
    return tuple(unique[: random.randint(max(FEWEST_TAGS, 4), MOST_TAGS)])
