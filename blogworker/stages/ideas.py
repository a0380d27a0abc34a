"""Stage 2: get several ideas for a post, and choose one that the site does not have yet.

    cached ideas of the same source -> a call -> a second call, which names the titles that were taken

Each call names the posts of the site about the same subject. A title is claimed in the database when it is chosen, so
that no two jobs of a site choose the same title or a similar one.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from random import uniform
from typing import Annotated, Any, Literal

from anyio import move_on_after
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from blogworker.errors import Rejected
from blogworker.post.plain import cut_clean, plain
from blogworker.post.prompts import IDEAS as PROMPT
from blogworker.post.prompts import fenced
from blogworker.post.site import usable
from blogworker.providers.answer import object_of
from blogworker.stages import library
from blogworker.stages.effects import IDEAS_FORGOTTEN, Answer
from blogworker.stages.material import digest, material
from blogworker.stages.records import SOURCE, Checkpoint, ChosenIdea, Ideas, Source
from blogworker.stages.work import STAGE_DEADLINE_S, Flight, Later, LibraryEntry, Related, Work
from blogworker.stages.writing import InvalidOutput, Task, writer_of, written

TITLE_LIMIT, GOOD_TITLE = 200, 70
LEAST_SECTIONS, MOST_SECTIONS = 3, 8
MOST_KEYWORDS = 8
WORN = ("ultimate guide", "complete guide", "everything you need to know", "in today's", "game-changer", "unlock")
LONG_TITLE_COSTS, WORN_TITLE_COSTS, THIN_OUTLINE_COSTS, OFF_TOPIC_COSTS = 5, 15, 10, 10
WELL_OUTLINED = 5
NEUTRAL_SCORE = 50  # of 100
ROUNDS = (("draft", "repair"), ("more", "more_repair"))  # the names of the checkpoints of each call
TITLES_SHOWN, MOST_TAKEN = 3, 40
MOST_CACHED = 60  # ideas of one source
SOONEST_S, LATEST_S = 4.0, 10.0  # until a waiting job checks again; a call for ideas takes 3 to 15 s
RELEASE_S = 2.0


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
    """Return a neutral score for what is not a number, so that neither this idea nor the others are lost."""
    try:
        return min(100, max(0, int(value)))
    except (TypeError, ValueError, OverflowError):
        return NEUTRAL_SCORE


class Idea(BaseModel):
    """A post that could be written, as a model has answered it."""

    title: Annotated[str, BeforeValidator(lambda value: cut_clean(plain(value, limit=400), TITLE_LIMIT))] = Field(
        min_length=5
    )
    angle: Annotated[str, _line(600)] = Field(min_length=1)
    audience: Annotated[str, _line(300)]
    search_intent: Literal["informational", "commercial", "transactional", "navigational"]
    keywords: Annotated[list[str], _lines(80, most=MOST_KEYWORDS)] = Field(min_length=1)
    outline: Annotated[list[str], _lines(160, most=MOST_SECTIONS)] = Field(min_length=LEAST_SECTIONS)
    score: Annotated[int, BeforeValidator(_score)]


async def run(work: Work) -> Ideas:
    """Choose a cached idea, else one of a first call, else one of a second call. The second call names the titles that
    were taken in the first."""
    search = _Search(work)
    for draft, repair in ROUNDS:
        if (ideas := await search.round(draft, repair)) is not None:
            return ideas
    shown = "; ".join(repr(title) for title in search.taken[:TITLES_SHOWN])
    raise Rejected(
        f"the site has a similar post for every idea about this {search.source.get('kind', 'source')}: {shown}. "
        "Ask for something else, or for another side of it",
        provider="ideas",
        code="nothing_new",
    )


class _Search:
    """The search of one attempt for an idea. `taken`: titles of the site that are similar to the ideas seen so far, and
    titles that a person has rejected."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.source = (work.load(SOURCE) or Source()).dump()
        self._key = f"ideas/{work.claim.instance_id}/{digest(self.source)}"
        forgotten = work.load(IDEAS_FORGOTTEN)
        self.taken: list[str] = list(forgotten.titles) if forgotten is not None else []
        self._rejected = frozenset(self.taken)
        self._seen: set[str] = set(self.taken)
        self._found: list[Idea] = []
        self._language = usable(self.source.get("site") or {}).language

    async def round(self, draft: str, repair: str) -> Ideas | None:
        """Choose a cached idea, else one of the call with these checkpoints. Return None if the site has a similar post
        for each of them. Raises Later while another job requests ideas for this source."""
        if self._work.load(Checkpoint(f"ideas.{draft}", Answer)) is not None:
            async with self._single_flight(always=True, paid=True):
                return await self._requested(draft, repair)
        for always in (False, True):  # the second time, the site has a similar post for each cached idea
            async with self._single_flight(always=always) as flight:
                if (ideas := await self._from_cache(flight.value)) is not None:
                    return ideas
                if flight.ours:
                    return await self._requested(draft, repair)
        return None

    async def _from_cache(self, cached: object) -> Ideas | None:
        ideas = [idea for idea in _valid(cached) if idea.title not in self._seen]
        return await self._chosen(ideas) if ideas else None

    async def _requested(self, draft: str, repair: str) -> Ideas | None:
        existing = library.lines(await self._related(library.about_source(self.source)))
        task = replace(
            _task(self._work, self.source, [*existing, *self.taken]),
            draft=draft,
            repair=repair,
            replaces=() if (draft, repair) == ROUNDS[0] else tuple(f"ideas.{name}" for name in ROUNDS[0]),
        )
        offered = await written(self._work, task, accept=read_ideas)
        ideas = await self._chosen(offered, task=task, last_chance=(draft, repair) == ROUNDS[-1])
        self._found = offered  # cached only now, so that other jobs do not claim all the ideas before this one
        return ideas

    async def _related(self, about: list[object]) -> list[Related]:
        return await self._work.checkpoints.related_posts(library.terms_of(about), language=self._language)

    @asynccontextmanager
    async def _single_flight(self, *, always: bool, paid: bool = False) -> AsyncIterator[Flight]:
        """Read the cached ideas, or hold the single-flight lock of the cache key. Afterwards add what was found to the
        cache. A job that has already `paid` does not wait for the lock.

        The lock need not outlive the stage, because the call ends with the stage.
        """
        cache, claim = self._work.cache, self._work.claim
        self._found = []
        ours = True  # until it is denied: a cancellation may lose the answer
        try:
            flight = await cache.begin_single_flight(self._key, claim, ttl_s=STAGE_DEADLINE_S, always=always)
            ours = flight.ours
            if not ours and not paid and (always or flight.value is None):
                raise Later(uniform(SOONEST_S, LATEST_S), "waits for ideas that another job of this source requests")
            yield flight
        finally:
            if ours or self._found:  # after any outcome: otherwise other jobs would wait for a call that has ended
                found = [idea.model_dump() for idea in self._found]
                with move_on_after(RELEASE_S, shield=True):
                    await cache.end_single_flight(self._key, claim, found=found, most=MOST_CACHED)

    async def _chosen(self, ideas: list[Idea], *, task: Task | None = None, last_chance: bool = False) -> Ideas | None:
        """Choose the best idea whose title this job can claim. `task`: None for cached ideas."""
        ideas = [idea for idea in ideas if idea.title not in self._rejected] or ideas
        ranked = sorted(ideas, key=lambda idea: merit(idea, self.source), reverse=True)
        claimed = await self._work.checkpoints.claim_title(
            [self._entry(idea) for idea in ranked], source=digest(self.source), last_chance=last_chance
        )
        if claimed.place is None:
            self._seen.update(idea.title for idea in ranked)
            self.taken = list(dict.fromkeys([*self.taken, *claimed.taken]))
            return None
        chosen = ranked.pop(claimed.place)
        return Ideas(
            chosen=ChosenIdea.load(chosen.model_dump()),
            related=library.stored(await self._offered(chosen)),
            others=[idea.model_dump() for idea in ranked],
            model=writer_of(self._work, task) if task is not None else None,
            prompt_version=PROMPT.version,
        )

    def _entry(self, idea: Idea) -> LibraryEntry:
        return LibraryEntry(idea.title, idea.angle, self._language, tuple(library.terms_of(self._about(idea))))

    async def _offered(self, chosen: Idea) -> list[Related]:
        """Return the posts of the site that the prompt for the post names."""
        return library.offered(await self._related(self._about(chosen)), own_url=str(self.source.get("url") or ""))

    def _about(self, idea: Idea) -> list[object]:
        return library.about_post(self.source, idea.model_dump(), title=idea.title)


def _task(work: Work, source: Mapping[str, Any], taken: list[str]) -> Task:
    block = fenced("source", material(source))
    return Task(
        stage="ideas",
        prompt=PROMPT,
        input=f"{block}\n\n{fenced('taken', taken[:MOST_TAKEN])}" if taken else block,
        model=work.openai.ideas_model,
        tokens=work.openai.ideas_tokens,
    )


def _valid(value: Any) -> list[Idea]:
    """Return the cached ideas, each title once."""
    try:
        ideas = [Idea.model_validate(idea) for idea in value or []]
    except ValidationError:
        return []
    return list({idea.title: idea for idea in ideas}.values())


def read_ideas(text: str) -> list[Idea]:
    """Return the valid ideas in an answer. Raises InvalidOutput if there are none."""
    if (answer := object_of(text)) is None or "ideas" not in answer:
        raise InvalidOutput(["the answer is not a JSON object with a list of ideas"])
    offered = answer["ideas"]
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


def merit(idea: Idea, source: Mapping[str, Any]) -> int:
    """Return the score that the model gave, minus a penalty for each weakness that we can see."""
    title = idea.title.lower()
    topic = {word for word in _words(source.get("keyword") or source.get("name") or "") if len(word) > 3}
    words = set(_words(" ".join([idea.title, *idea.keywords])))
    return (
        idea.score
        - LONG_TITLE_COSTS * (len(idea.title) > GOOD_TITLE)
        - WORN_TITLE_COSTS * any(phrase in title for phrase in WORN)
        - THIN_OUTLINE_COSTS * (len(idea.outline) < WELL_OUTLINED)
        - OFF_TOPIC_COSTS * (bool(topic) and not topic & words)
    )


def _words(text: str) -> list[str]:
    return [word.strip(".,:;!?()\"'") for word in text.lower().split()]
