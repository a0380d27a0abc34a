"""Five ideas for one subject: different angles, each with title, audience, outline and score."""

from dataclasses import dataclass
from random import Random

from blogworker.simulator.writer.article import Article
from blogworker.simulator.writer.bank import Angle, angles
from blogworker.simulator.writer.cleaning import without_markup
from blogworker.simulator.writer.grammar import Pen, cut, title_case, upper_first, with_article
from blogworker.simulator.writer.slots import slots_of
from blogworker.simulator.writer.subject import Subject, main_part

LONGEST_TITLE = 100
LONGEST_SHORT_NAME = 60
IDEAS = 5


@dataclass(frozen=True, slots=True)
class Idea:
    """One proposal for an article."""

    title: str
    angle: str
    audience: str
    search_intent: str
    keywords: tuple[str, ...]
    outline: tuple[str, ...]
    score: float


def ideas_for(subject: Subject, random: Random) -> list[Idea]:
    """Differing ideas, in no order of merit."""
    chosen = random.sample(_fitting(subject), IDEAS)
    scores = sorted((round(random.uniform(5.8, 9.6), 1) for _ in chosen), reverse=True)
    random.shuffle(scores)
    return [_idea(subject, angles()[name], score, random) for name, score in zip(chosen, scores, strict=True)]


def one_idea(subject: Subject, random: Random) -> Idea:
    """An idea for a post that was asked for without one."""
    return _idea(subject, angles()[random.choice(_fitting(subject))], 8.0, random)


def _fitting(subject: Subject) -> list[str]:
    """The angles from which this subject can be seen."""
    excluded = {"things", "nouns"} if subject.is_act else set() if subject.is_thing else {"things"}
    return [name for name, angle in sorted(angles().items()) if angle.suits not in excluded]


def _idea(subject: Subject, angle: Angle, score: float, random: Random) -> Idea:
    article = Article(subject, random)
    pen = article.pen
    kinds = list(angle.sections)
    first, rest = kinds[0], kinds[1:]
    random.shuffle(rest)
    return Idea(
        title=title_for(subject, angle, random),
        angle=f"{angle.about}.",
        audience=upper_first(pen.fragment(random.choice(angle.audiences))),
        search_intent=angle.intent,
        keywords=tuple(keywords_of(subject, random)),
        outline=tuple(article.heading(kind) for kind in (first, *rest)),
        score=score,
    )


def title_for(subject: Subject, angle: Angle, random: Random) -> str:
    """A title that carries the subject's name."""
    if subject.question and random.random() < 0.6:
        return _asked_title(subject, angle, random)
    fitting = [phrase for phrase in angle.titles if _reads_well(phrase, subject)]
    phrase = random.choice(fitting)
    name = title_case(short_name(subject))
    inside = not phrase.startswith(("{short}", "The {short}"))
    article = _article_of(subject) if inside and not name.lower().startswith("the ") else ""
    slots = slots_of(subject) | {"short": article + name}
    title = Pen(random, slots).write(phrase)
    return cut(title_case(title), LONGEST_TITLE)


def _asked_title(subject: Subject, angle: Angle, random: Random) -> str:
    """The question itself, and how this article answers it."""
    question = cut(upper_first(subject.question), LONGEST_TITLE - 30)
    return f"{question}? {random.choice(angle.answers)}"


def _article_of(subject: Subject) -> str:
    """What stands before the name within a title."""
    if subject.is_thing:
        return "the "
    return "a " if subject.phrase.startswith("a ") else ""


def _reads_well(phrase: str, subject: Subject) -> bool:
    """A long name is left alone in its title; a verb in a title agrees with one thing only."""
    for_one_only = ("Is {short}", "Does {short}", "Costs", "Goes", "Makes", "Fits", "Looks", "Pay")
    return not (subject.plural and any(part in phrase for part in for_one_only))


def short_name(subject: Subject) -> str:
    """The name as a title bears it: of a topic the phrase, of a product the part before any dash."""
    if not subject.is_thing:
        return cut(subject.phrase.removeprefix("a "), LONGEST_SHORT_NAME)
    return cut(main_part(subject.name), LONGEST_SHORT_NAME)


def keywords_of(subject: Subject, random: Random) -> list[str]:
    """Search terms, most telling first."""
    name = without_markup(subject.keyword or short_name(subject)).lower()
    pool = [f"best {subject.nouns}", f"how to choose {with_article(subject.noun)}", f"{subject.nouns} guide"]
    pool += [f"{subject.noun} care"] if subject.is_thing else [f"{subject.nouns} for beginners"]
    pool += [tag.lower() for tag in subject.tags]
    chosen = random.sample(pool, min(len(pool), random.randint(3, 4)))
    return list(dict.fromkeys([name, *chosen]))
