"""Stage 2: several ideas for a post, and the choice of one."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from blogworker.stages.plain import cut_clean, plain
from blogworker.stages.prompts import IDEAS, fenced
from blogworker.stages.source import material
from blogworker.stages.work import Output, Work
from blogworker.stages.writing import Task, Unfit, written

TITLE_LIMIT, GOOD_TITLE = 200, 70
LEAST_SECTIONS, MOST_SECTIONS = 3, 8
MOST_KEYWORDS = 8
WORN = ("ultimate guide", "complete guide", "everything you need to know", "in today's", "game-changer", "unlock")
LONG_TITLE_COSTS, WORN_TITLE_COSTS, THIN_OUTLINE_COSTS, OFF_TOPIC_COSTS = 5, 15, 10, 10
WELL_OUTLINED = 5


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
    source = work.checkpoints.get("source") or {}
    task = Task(
        stage="ideas",
        prompt=IDEAS,
        input=fenced("source", material(source)),
        model=work.openai.ideas_model,
        tokens=work.openai.ideas_tokens,
    )
    ideas = await written(work, task, fit=read_ideas)
    ranked = sorted(ideas, key=lambda idea: merit(idea, source), reverse=True)
    return {
        "chosen": ranked[0].model_dump(),
        "others": [idea.model_dump() for idea in ranked[1:]],
        "model": task.model,
        "prompt_version": IDEAS.version,
    }


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
