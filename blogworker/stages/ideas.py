"""Stage 2: several ideas for a post, and the choice of one that the site has not had.

    left over from an earlier call for the same source -> a call -> another call, told what the site has

A title is reserved in the database as it is chosen, so that no two jobs of a site choose the same, or much the same.
"""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from blogworker.errors import Rejected
from blogworker.stages.plain import cut_clean, plain
from blogworker.stages.prompts import IDEAS, fenced
from blogworker.stages.source import material
from blogworker.stages.work import Output, Work
from blogworker.stages.writing import Task, Unfit, writer_of, written

TITLE_LIMIT, GOOD_TITLE = 200, 70
LEAST_SECTIONS, MOST_SECTIONS = 3, 8
MOST_KEYWORDS = 8
WORN = ("ultimate guide", "complete guide", "everything you need to know", "in today's", "game-changer", "unlock")
LONG_TITLE_COSTS, WORN_TITLE_COSTS, THIN_OUTLINE_COSTS, OFF_TOPIC_COSTS = 5, 15, 10, 10
WELL_OUTLINED = 5
ROUNDS = (("draft", "repair"), ("more", "more_repair"))  # the checkpoints of each
TITLES_SHOWN, MOST_TAKEN = 3, 40
MOST_KEPT = 60  # ideas of one source that are remembered
DIGEST_SIGNS = 24


def _line(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: plain(value, limit=limit))


def _lines(limit: int, *, most: int) -> BeforeValidator:
    def clean(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        cleaned = (plain(entry, limit=limit) for entry in value)
        return list(dict.fromkeys(entry for entry in cleaned if entry))[:most]

    return BeforeValidator(clean)


class Idea(BaseModel):
    """One post that could be written."""

    title: Annotated[str, BeforeValidator(lambda value: cut_clean(plain(value, limit=400), TITLE_LIMIT))] = Field(
        min_length=5
    )
    angle: Annotated[str, _line(600)] = Field(min_length=1)
    audience: Annotated[str, _line(300)]
    search_intent: Literal["informational", "commercial", "transactional", "navigational"]
    keywords: Annotated[list[str], _lines(80, most=MOST_KEYWORDS)] = Field(min_length=1)
    outline: Annotated[list[str], _lines(160, most=MOST_SECTIONS)] = Field(min_length=LEAST_SECTIONS)
    score: Annotated[int, BeforeValidator(lambda value: min(100, max(0, int(value))))]


async def run(work: Work) -> Output:
    """An idea that the site has left over; else one of those bought; else of others, told what the site has already."""
    source = work.checkpoints.get("source") or {}
    shelf = f"ideas/{work.claim.instance_id}/{digest(source)}"
    ideas = _known(await work.cache.recall(shelf))
    task = _task(work, source)
    taken: list[str] = []
    output: Output | None = None
    if ideas:
        output, taken = await _chosen(work, source, ideas, task=None)
    for draft, repair in ROUNDS:
        if output is not None:
            break
        task = replace(task, draft=draft, repair=repair, input=_asked(source, taken))
        offered = await written(work, task, fit=read_ideas)
        ideas = _merged(ideas, offered)
        await work.cache.remember(shelf, [idea.model_dump() for idea in ideas], ttl_s=work.cache.ideas_s)
        last_chance = (draft, repair) == ROUNDS[-1]
        output, in_the_way = await _chosen(work, source, offered, task=task, last_chance=last_chance)
        taken = list(dict.fromkeys([*taken, *in_the_way]))
    if output is None:
        shown = "; ".join(repr(title) for title in taken[:TITLES_SHOWN])
        raise Rejected(
            f"the site has posts like every idea for this {source.get('kind', 'source')}: {shown}. "
            "Ask for something else, or for another side of it",
            provider="ideas",
            code="nothing_new",
        )
    return output


def digest(source: Output) -> str:
    """Of all that ideas are made of: what the model reads of the source, and the words that ask for them."""
    text = json.dumps([material(source), IDEAS.version], sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:DIGEST_SIGNS]


def _task(work: Work, source: Output) -> Task:
    return Task(
        stage="ideas",
        prompt=IDEAS,
        input=_asked(source, []),
        model=work.openai.ideas_model,
        tokens=work.openai.ideas_tokens,
    )


def _asked(source: Output, taken: list[str]) -> str:
    block = fenced("source", material(source))
    return f"{block}\n\n{fenced('taken', taken[:MOST_TAKEN])}" if taken else block


async def _chosen(
    work: Work, source: Output, ideas: list[Idea], *, task: Task | None, last_chance: bool = False
) -> tuple[Output | None, list[str]]:
    """The best idea whose title the site can have, now reserved for this job; and the titles in the way of others."""
    ranked = sorted(ideas, key=lambda idea: merit(idea, source), reverse=True)
    titles = [idea.title for idea in ranked]
    reserved = await work.checkpoints.reserve_title(titles, source=digest(source), last_chance=last_chance)
    if reserved.place is None:
        return None, list(reserved.taken)
    chosen = ranked.pop(reserved.place)
    return {
        "chosen": chosen.model_dump(),
        "others": [idea.model_dump() for idea in ranked],
        "model": writer_of(work, task) if task is not None else None,  # None: left over from an earlier blog
        "prompt_version": IDEAS.version,
    }, []


def _known(value: Any) -> list[Idea]:
    try:
        return [Idea.model_validate(idea) for idea in value or []]
    except ValidationError:
        return []


def _merged(known: list[Idea], offered: list[Idea]) -> list[Idea]:
    return list({idea.title: idea for idea in [*known, *offered]}.values())[-MOST_KEPT:]


def read_ideas(text: str) -> list[Idea]:
    """The usable ideas in an answer. Raises Unfit when there is none."""
    try:
        offered = json.loads(text)["ideas"]
    except (ValueError, TypeError, KeyError):
        raise Unfit(["the answer is not a JSON object with a list of ideas"]) from None
    ideas: list[Idea] = []
    faults: list[str] = []
    for number, offer in enumerate(offered if isinstance(offered, list) else [], 1):
        try:
            ideas.append(Idea.model_validate(offer))
        except ValidationError as error:
            faults += [f"idea {number}, {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    if not ideas:
        raise Unfit(faults or ["there are no ideas in the answer"])
    return ideas


def merit(idea: Idea, source: Output) -> int:
    """The model's own score, less what we know makes a post worse."""
    title = idea.title.lower()
    topic = {word for word in _words(source.get("keyword") or source.get("name") or "") if len(word) > 3}
    said = set(_words(" ".join([idea.title, *idea.keywords])))
    return (
        idea.score
        - LONG_TITLE_COSTS * (len(idea.title) > GOOD_TITLE)
        - WORN_TITLE_COSTS * any(phrase in title for phrase in WORN)
        - THIN_OUTLINE_COSTS * (len(idea.outline) < WELL_OUTLINED)
        - OFF_TOPIC_COSTS * (bool(topic) and not topic & said)
    )


def _words(text: str) -> list[str]:
    return [word.strip(".,:;!?()\"'") for word in text.lower().split()]
