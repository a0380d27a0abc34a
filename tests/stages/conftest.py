"""Work for a stage, with checkpoints that are only remembered and a limiter that grants at once."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from blogworker.errors import LeaseLost
from blogworker.providers.openai_answers import Generation
from blogworker.providers.wix.client import WixClient
from blogworker.queue.job import Claim, Stage
from blogworker.queue.restores import Origin
from blogworker.quota import ProviderLimits, breaker
from blogworker.settings import OpenAISettings
from blogworker.spend.budget import Refusal
from blogworker.spend.ledger import Spend
from blogworker.stages import publish
from blogworker.stages.records import Output
from blogworker.stages.work import ClaimedNames, ClaimedTitle, Clients, Flight, LibraryEntry, Related, Work

from .pipeline_harness import Harness, opened_harness

SITE = "11111111-2222-3333-4444-555555555555"
PRODUCT = {
    "name": "Low Water Mug",
    "description": "<p>A straight-sided mug in <b>speckled stoneware</b>.</p>",
    "price": "26.00",
    "vendor": "Tidewrack Pottery",
    "url": "https://tidewrack.example/low-water-mug",
    "tags": "mug, stoneware",
}
ORIGIN = Origin("mark of job 1")
PARAGRAPH = "A mug that stands by the kettle every morning earns its place by weight, balance and a handle that fits. "


@dataclass
class RecordedCheckpoints:
    """What one attempt saved; `events` keeps the order of everything asked of it."""

    saved: dict[str, Output] = field(default_factory=dict)
    spends: dict[str, Spend] = field(default_factory=dict)
    post: Output = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)  # that other blogs of the site have
    slugs: list[str] = field(default_factory=list)  # that other blogs of the site have
    tags: list[str] = field(default_factory=list)  # that the site has
    library: list[Related] = field(default_factory=list)  # posts of the site that are related to any
    recorded: dict[str, Any] = field(default_factory=dict)
    drawn: bool = False  # for review, if it is asked for
    lost: bool = False
    refusal: Refusal | None = None
    known_origin: Origin = ORIGIN

    def get(self, name: str) -> Output | None:
        return self.saved.get(name)

    async def save(self, name: str, output: Output, spend: Spend | None = None, *, replaces: Any = ()) -> None:
        self._held()
        self.events.append(f"save {name}")
        self.saved[name] = json.loads(json.dumps(output))  # as it comes back from the database
        if spend is not None:
            self.spends[name] = spend

    async def save_intent(self, name: str, output: Output, *, stamp: str | None = None) -> datetime:
        now = datetime.now(UTC)
        await self.save(name, {**output, stamp: now.isoformat()} if stamp else output)
        return await self.confirm()

    async def confirm(self) -> datetime:
        self._held()
        self.events.append("confirm")
        return datetime.now(UTC)

    async def origin(self) -> Origin:
        self._held()
        return self.known_origin

    async def hold_budget(self, usd: float) -> Refusal | None:
        self._held()
        self.events.append(f"reserve {usd:.5f}")
        return self.refusal

    async def store_post(self, post: Output) -> None:
        self._held()
        self.events.append("store_post")
        json.dumps({key: value for key, value in post.items() if key != "image"})
        self.post |= {key: value for key, value in post.items() if value is not None}

    async def store_at_end(
        self, changes: Output, whole: Output | None = None, *, entry: LibraryEntry | None = None
    ) -> None:
        await self.store_post({**(whole or {}), **changes})
        if entry is not None:
            self._record(entry)

    async def claim_title(self, wanted: Sequence[LibraryEntry], *, source: str, last_chance: bool) -> ClaimedTitle:
        self._held()
        titles = [entry.title for entry in wanted]
        if (place := self._free(titles)) is not None:
            self._record(wanted[place])
        return ClaimedTitle(place, tuple(title for title in titles if title in self.titles))

    def _free(self, titles: Sequence[str]) -> int | None:
        return next((place for place, title in enumerate(titles) if title not in self.titles), None)

    async def claim_names(self, names: Mapping[str, Sequence[str]], *, source: str, stem: str) -> ClaimedNames:
        self._held()
        title = list(names)[self._free(list(names)) or 0]
        return ClaimedNames(title, next(slug for slug in names[title] if slug not in self.slugs), self.tags)

    async def draw_review(self, every: int) -> bool:
        self._held()
        self.events.append(f"draw review of {every}")
        drawn = self.saved.setdefault("publish.review", {"held": self.drawn, "every": every})
        return bool(drawn["held"])

    async def related_posts(self, terms: Mapping[str, int], *, language: str | None) -> list[Related]:
        return self.library if terms else []

    def _record(self, entry: LibraryEntry) -> None:
        self.recorded = {**asdict(entry), "terms": list(entry.terms)}

    async def image_bytes(self) -> bytes | None:
        return self.post.get("image")

    def _held(self) -> None:
        if self.lost:
            raise LeaseLost(1, 1)


@dataclass
class Remembered:
    """A cache that forgets nothing by itself."""

    values: dict[str, Any] = field(default_factory=dict)
    lifetimes: dict[str, float | None] = field(default_factory=dict)
    product_s: float = 60
    ideas_s: float = 60

    async def recall(self, key: str) -> Any:
        return self.values.get(key)

    async def remember(self, key: str, value: object, *, ttl_s: float | None) -> None:
        self.values[key] = json.loads(json.dumps(value))
        self.lifetimes[key] = ttl_s

    async def forget(self, key: str) -> None:
        self.values.pop(key, None)

    async def begin_single_flight(self, key: str, claim: Claim, *, ttl_s: float, always: bool = False) -> Flight:
        value = self.values.get(key)
        return Flight(value, ours=always or value is None)

    async def end_single_flight(self, key: str, claim: Claim, *, found: Sequence[object], most: int) -> None:
        if found:
            self.values[key] = [*self.values.get(key, []), *json.loads(json.dumps(list(found)))][-most:]
            self.lifetimes[key] = self.ideas_s


@dataclass
class Granted:
    bucket: str
    tokens: int

    def used(self, tokens: int) -> None:
        self.tokens = tokens


@dataclass
class OpenLimiter:
    """Grants at once, and remembers to whom and for how much in the end."""

    granted: list[Granted] = field(default_factory=list)
    learned: list[tuple[str, ProviderLimits]] = field(default_factory=list)

    async def learn(self, bucket: str, limits: ProviderLimits) -> None:
        self.learned.append((bucket, limits))

    @asynccontextmanager
    async def permit(self, bucket: str, *, tokens: int = 0, turn: float = 0.0) -> AsyncIterator[Granted]:
        permit = Granted(bucket, tokens)
        self.granted.append(permit)
        yield permit


class ClosedBreakers:
    """Let every call through."""

    def require_closed(self, provider: str) -> None:
        pass

    async def release_probe(self, provider: str) -> None:
        pass

    @asynccontextmanager
    async def guarding(
        self, provider: str, *, exempt: object = (), site: str | None = None, secondary: bool = False
    ) -> AsyncIterator[None]:
        yield


@dataclass
class Writer:
    """Stands in for OpenAI: gives its generations in order and keeps what it was asked."""

    generations: list[Generation] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def generate(self, **asked: Any) -> Generation:
        self.asked.append(asked)
        return self.generations.pop(0)

    def will_write(self, *answers: object) -> None:
        self.generations = [generation(answer) for answer in answers]


def generation(answer: object, **fields: Any) -> Generation:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    usage = {"tokens_in": 100, "tokens_cached": 20, "tokens_out": 50, "cost_usd": 0.001}
    return Generation(text=text, model="gpt-6-luna", **{**usage, **fields})


@pytest.fixture
def checkpoints() -> RecordedCheckpoints:
    return RecordedCheckpoints()


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def limiter() -> OpenLimiter:
    return OpenLimiter()


@pytest.fixture
def claim() -> Claim:
    return Claim(
        job_id=1,
        instance_id=SITE,
        attempt=1,
        failures=0,
        max_attempts=5,
        stage=Stage.SOURCE,
        source_type="product",
        source_id="p1",
        source_data=PRODUCT,
        site={"language": "en", "tone": "warm"},
        created_at=datetime(2026, 11, 23, tzinfo=UTC),
        publish_in_s=None,
    )


@pytest.fixture
def cache() -> Remembered:
    return Remembered()


@pytest.fixture
def work(
    claim: Claim, checkpoints: RecordedCheckpoints, writer: Writer, limiter: OpenLimiter, cache: Remembered
) -> Work:
    clients = Clients(openai=writer, replicate=None, wix=None)
    return Work(claim, checkpoints, clients, limiter, OpenAISettings(_env_file=None), ClosedBreakers(), cache)


@pytest.fixture
async def harness(database, worker_id, monkeypatch) -> AsyncIterator[Harness]:
    """A queue with one blog in it. What is waited for by the second is waited for by the tenth of it."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://unused")
    monkeypatch.setattr(breaker, "VERDICT_S", 0.1)
    monkeypatch.setattr(publish, "QUERY_LAG_S", 0.1)
    monkeypatch.setattr(WixClient, "slowest_draft_s", 0.1)
    async with opened_harness(database, worker_id) as made:
        await made.add(SITE)
        yield made


def claimed(work: Work, **fields: Any) -> Work:
    """The same work under another claim."""
    return replace(work, claim=replace(work.claim, **fields))


def idea(**fields: Any) -> dict[str, Any]:
    return {
        "title": "How a heavy mug keeps coffee warm",
        "angle": "Weight and wall thickness beat any lid.",
        "audience": "people whose coffee goes cold at the desk",
        "search_intent": "informational",
        "keywords": ["heavy coffee mug", "stoneware mug"],
        "outline": ["Why walls matter", "What weight does", "How to warm it", "When glass is better", "What to try"],
        "score": 70,
        **fields,
    }


def body(*, sections: int = 5, paragraphs: int = 5) -> str:
    parts = [PARAGRAPH * 2]
    for number in range(sections):
        parts += [f"## Section {number} says something", f"Part {number}. {PARAGRAPH * paragraphs}"]
    return "\n\n".join(parts)


def post(**fields: Any) -> dict[str, Any]:
    return {
        "title": "How a heavy mug keeps coffee warm",
        "slug": "heavy-mug-warm-coffee",
        "excerpt": "Weight, walls and a warm start: what keeps the second half of a cup worth drinking.",
        "seo_title": "Heavy mugs: why coffee stays warm longer",
        "seo_description": "Thick stoneware keeps coffee warm for longer than glass. What to look for in a mug.",
        "tags": ["Coffee", "Mugs", "Stoneware"],
        "body_markdown": body(),
        "image_prompt": "A speckled stoneware mug on a windowsill in low morning light, steam rising.",
        "image_alt": "A speckled mug steaming on a windowsill",
        **fields,
    }
