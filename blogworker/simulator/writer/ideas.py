"""Ideas for a subject: different angles, each with a title, audience, outline and score."""

from dataclasses import dataclass
from random import Random

from blogworker.simulator.writer.article import Article
from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import PhraseFiller, cut, title_case, upper_first
from blogworker.simulator.writer.kinds import ENGLISH, Angle
from blogworker.simulator.writer.subject import Subject, main_part, slots_of

LONGEST_TITLE = 100
LONGEST_SHORT_NAME = 60
MOST_IDEAS = 5
MOST_KEYWORDS = 5
BEST_SCORE, WORST_SCORE = 9.6, 5.8  # of ten


@dataclass(frozen=True, slots=True)
class Idea:
    """One idea for an article. The score is of 10."""

    title: str
    angle: str
    audience: str
    search_intent: str
    keywords: tuple[str, ...]
    outline: tuple[str, ...]
    score: float


def ideas_for(subject: Subject, random: Random) -> list[Idea]:
    """Different ideas in random order. If the search phrase has a prepared answer, that idea has the best score."""
    angles = list(subject.kind.angles.values())
    chosen = random.sample(angles, min(MOST_IDEAS, len(angles)))
    if subject.answer is not None:
        own = subject.kind.angles[subject.answer.angle]
        chosen = [own, *(angle for angle in chosen if angle is not own)][:MOST_IDEAS]
    scores = sorted((round(random.uniform(WORST_SCORE, BEST_SCORE), 1) for _ in chosen), reverse=True)
    ideas = [_idea(subject, angle, score, random) for angle, score in zip(chosen, scores, strict=True)]
    return random.sample(ideas, len(ideas))


def best_idea(subject: Subject, random: Random) -> Idea:
    """The idea with the best score, for a post without a given idea."""
    return max(ideas_for(subject, random), key=lambda idea: idea.score)


def _idea(subject: Subject, angle: Angle, score: float, random: Random) -> Idea:
    article = Article(subject, random)
    return Idea(
        title=title_for(subject, angle, random),
        angle=angle.about,
        audience=upper_first(random.choice(angle.audiences)),
        search_intent=angle.intent,
        keywords=tuple(keywords_of(subject, angle)),
        outline=tuple(article.heading(name) for name in article.plan(angle)),
        score=score,
    )


def title_for(subject: Subject, angle: Angle, random: Random) -> str:
    """A title with the name of the subject."""
    if subject.answer is not None and subject.answer.angle == angle.name:
        asked = subject.name.lower().rstrip("?.! ") == subject.answer.phrase
        return subject.answer.title if asked else cut(title_case(subject.name), LONGEST_TITLE)
    if subject.question and not subject.is_product:
        return f"{cut(upper_first(subject.question), LONGEST_TITLE - 30)}? {random.choice(angle.topic_titles)}"
    templates = [f"{{short}}: {tail}" for tail in angle.topic_titles] if not subject.is_product else list(angle.titles)
    fitting = [template for template in templates if _reads_well(template, subject)] or templates
    template = random.choice(fitting)
    slots = slots_of(subject) | {"short": _short_name_in(template, subject)}
    is_english = subject.language == ENGLISH
    written = PhraseFiller(random, slots, is_english=is_english).fill(template)
    return cut(title_case(written) if is_english else written, LONGEST_TITLE)


def _short_name_in(template: str, subject: Subject) -> str:
    """The name for a title template: with an article, unless the title begins with it."""
    if subject.language != ENGLISH:
        return short_name(subject)
    name = title_case(short_name(subject))
    first = template.startswith("{short}")
    return name if first or not subject.is_product or name.lower().startswith("the ") else f"the {name}"


def _reads_well(template: str, subject: Subject) -> bool:
    """Whether the verb of a title agrees with the subject: these templates are for a singular."""
    return not (subject.plural and any(verb in template for verb in ("Is {short}", "Does {short}", "{short} Is")))


def short_name(subject: Subject) -> str:
    """The name for a title: the phrase of a topic, or the main part of a product's name."""
    if not subject.is_product:
        return cut(subject.phrase.removeprefix("a "), LONGEST_SHORT_NAME)
    return cut(main_part(subject.name), LONGEST_SHORT_NAME)


def keywords_of(subject: Subject, angle: Angle) -> list[str]:
    """Search phrases, the most relevant first."""
    name = without_markup(subject.keyword or short_name(subject)).lower()
    tags = [tag.lower() for tag in (*subject.tags, *subject.kind.tags)]
    return list(dict.fromkeys([name, *angle.searches, *tags]))[:MOST_KEYWORDS]
