"""Stage 2: several ideas for a post, and the choice of one that the site has not had.

    left over from an earlier call for the same source -> a call -> another call, with the titles that were in the way

Each call names the posts that the site has about the same thing. A title is reserved in the database as it is chosen,
so that no two jobs of a site choose the same, or much the same.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from random import uniform
from typing import Annotated, Any, Literal

from anyio import move_on_after
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from blogworker.errors import Rejected
from blogworker.post.plain import cut_clean, plain
from blogworker.post.prompts import IDEAS, fenced
from blogworker.post.site import usable
from blogworker.stages import library
from blogworker.stages.source import material
from blogworker.stages.work import STAGE_DEADLINE_S, Later, Output, Related, Work
from blogworker.stages.writing import InvalidOutput, Task, writer_of, written

TITLE_LIMIT, GOOD_TITLE = 200, 70
LEAST_SECTIONS, MOST_SECTIONS = 3, 8
MOST_KEYWORDS = 8
WORN = ("ultimate guide", "complete guide", "everything you need to know", "in today's", "game-changer", "unlock")
LONG_TITLE_COSTS, WORN_TITLE_COSTS, THIN_OUTLINE_COSTS, OFF_TOPIC_COSTS = 5, 15, 10, 10
WELL_OUTLINED = 5
NEUTRAL_SCORE = 50  # of 100
ROUNDS = (("draft", "repair"), ("more", "more_repair"))  # the checkpoints of each
FORGOTTEN = "ideas.forgotten"
TITLES_SHOWN, MOST_TAKEN = 3, 40
MOST_KEPT = 60  # ideas of one source that are remembered
DIGEST_SIGNS = 24
SOONEST_S, LATEST_S = 4.0, 10.0  # until a blog looks again whether another's call, of 3 to 15 s, has brought ideas
END_BUYER_S = 2.0


def _line(limit: int) -> BeforeValidator:
    return BeforeValidator(lambda value: plain(value, limit=limit))


def _lines(limit: int, *, most: int) -> BeforeValidator:
    def clean(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        cleaned = (plain(entry, limit=limit) for entry in value)
        return list(dict.fromkeys(entry for entry in cleaned if entry))[:most]

    return BeforeValidator(clean)


def _score(value: Any) -> int:
    """What is no number says nothing of the idea: it costs neither the idea nor those beside it."""
    try:
        return min(100, max(0, int(value)))
    except (TypeError, ValueError, OverflowError):
        return NEUTRAL_SCORE


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
    score: Annotated[int, BeforeValidator(_score)]


async def run(work: Work) -> Output:
    """An idea that the site has left over; else one of those bought; else one of a second call, told of those."""
    search = _Search(work)
    for draft, repair in ROUNDS:
        if (output := await search.round(draft, repair)) is not None:
            return output
    shown = "; ".join(repr(title) for title in search.taken[:TITLES_SHOWN])
    raise Rejected(
        f"the site has posts like every idea for this {search.source.get('kind', 'source')}: {shown}. "
        "Ask for something else, or for another side of it",
        provider="ideas",
        code="nothing_new",
    )


class _Search:
    """One attempt's way to an idea. `taken`: titles that were in the way of what it has looked at, and those of the
    ideas that a person had made anew."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.source = work.checkpoints.get("source") or {}
        self._shelf = f"ideas/{work.claim.instance_id}/{digest(self.source)}"
        self.taken: list[str] = list((work.checkpoints.get(FORGOTTEN) or {}).get("titles") or [])
        self._unwanted = frozenset(self.taken)
        self._seen: set[str] = set(self.taken)
        self._language = usable(self.source.get("site") or {}).language

    async def round(self, draft: str, repair: str) -> Output | None:
        """One of the ideas left over, else of those under these checkpoints, bought if they are not there. None: the
        site has them all. Raises Later while another blog buys ideas of this source."""
        paid = self._work.checkpoints.get(f"ideas.{draft}") is not None
        if not paid and (output := await self._left_over()) is not None:
            return output
        async with self._buying(paid=paid):
            output = None if paid else await self._left_over()  # from who has just been the buyer
            return output or await self._bought(draft, repair)

    async def _left_over(self) -> Output | None:
        shelved = _known(await self._work.cache.recall(self._shelf))
        ideas = [idea for idea in shelved if idea.title not in self._seen]
        return await self._chosen(ideas) if ideas else None

    async def _bought(self, draft: str, repair: str) -> Output | None:
        known = library.told(await self._related(library.about_source(self.source)))
        task = replace(
            _task(self._work, self.source, [*known, *self.taken]),
            draft=draft,
            repair=repair,
            replaces=() if (draft, repair) == ROUNDS[0] else tuple(f"ideas.{name}" for name in ROUNDS[0]),
        )
        offered = await written(self._work, task, fit=read_ideas)
        output = await self._chosen(offered, task=task, last_chance=(draft, repair) == ROUNDS[-1])
        cache = self._work.cache  # only now, that others may not leave the buyer without one
        ideas = _merged(_known(await cache.recall(self._shelf)), offered)
        await cache.remember(self._shelf, [idea.model_dump() for idea in ideas], ttl_s=cache.ideas_s)
        return output

    async def _related(self, about: list[object]) -> list[Related]:
        return await self._work.checkpoints.related_posts(library.terms_of(about), language=self._language)

    @asynccontextmanager
    async def _buying(self, *, paid: bool) -> AsyncIterator[None]:
        """The right to buy for the shelf, which one blog of the fleet has at a time. Who has `paid` waits for nobody.

        A buyer that lives is done by the end of its stage, so the right need not be good for longer.
        """
        cache, claim = self._work.cache, self._work.claim
        ours = True  # until it is denied: the answer may be lost to a cancellation
        try:
            ours = await cache.acquire_single_flight(self._shelf, claim, ttl_s=STAGE_DEADLINE_S)
            if not ours and not paid:
                raise Later(uniform(SOONEST_S, LATEST_S), "waits for ideas: another blog of the same source buys them")
            yield
        finally:
            if ours:  # whatever happened: who waits would wait for nothing
                with move_on_after(END_BUYER_S, shield=True):
                    await cache.release_single_flight(self._shelf, claim)

    async def _chosen(self, ideas: list[Idea], *, task: Task | None = None, last_chance: bool = False) -> Output | None:
        """The best idea whose title the site can have, now reserved for this job. Without a task it was left over."""
        ideas = [idea for idea in ideas if idea.title not in self._unwanted] or ideas
        ranked = sorted(ideas, key=lambda idea: merit(idea, self.source), reverse=True)
        titles = [idea.title for idea in ranked]
        reserved = await self._work.checkpoints.claim_title(titles, source=digest(self.source), last_chance=last_chance)
        if reserved.place is None:
            self._seen.update(titles)
            self.taken = list(dict.fromkeys([*self.taken, *reserved.taken]))
            return None
        chosen = ranked.pop(reserved.place)
        return {
            "chosen": chosen.model_dump(),
            "related": library.stored(await self._recorded(chosen)),
            "others": [idea.model_dump() for idea in ranked],
            "model": writer_of(self._work, task) if task is not None else None,
            "prompt_version": IDEAS.version,
        }

    async def _recorded(self, chosen: Idea) -> list[Related]:
        """Put the post to be written into the site's library; the posts there that are related to it."""
        about = library.about_post(self.source, chosen.model_dump(), title=chosen.title)
        await self._work.checkpoints.record_post(
            title=chosen.title, angle=chosen.angle, language=self._language, terms=list(library.terms_of(about))
        )
        return library.offered(await self._related(about), own_url=str(self.source.get("url") or ""))


def digest(source: Output) -> str:
    """Of all that ideas are made of: what the model reads of the source, and the words that ask for them."""
    text = json.dumps([material(source), IDEAS.version], sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()[:DIGEST_SIGNS]


def _task(work: Work, source: Output, taken: list[str]) -> Task:
    block = fenced("source", material(source))
    return Task(
        stage="ideas",
        prompt=IDEAS,
        input=f"{block}\n\n{fenced('taken', taken[:MOST_TAKEN])}" if taken else block,
        model=work.openai.ideas_model,
        tokens=work.openai.ideas_tokens,
    )


def _known(value: Any) -> list[Idea]:
    try:
        return [Idea.model_validate(idea) for idea in value or []]
    except ValidationError:
        return []


def _merged(known: list[Idea], offered: list[Idea]) -> list[Idea]:
    return list({idea.title: idea for idea in [*known, *offered]}.values())[-MOST_KEPT:]


def read_ideas(text: str) -> list[Idea]:
    """The usable ideas in an answer. Raises InvalidOutput when there is none."""
    try:
        offered = json.loads(text)["ideas"]
    except (ValueError, TypeError, KeyError):
        raise InvalidOutput(["the answer is not a JSON object with a list of ideas"]) from None
    ideas: list[Idea] = []
    faults: list[str] = []
    for number, offer in enumerate(offered if isinstance(offered, list) else [], 1):
        try:
            ideas.append(Idea.model_validate(offer))
        except ValidationError as error:
            faults += [f"idea {number}, {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    if not ideas:
        raise InvalidOutput(faults or ["there are no ideas in the answer"])
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
