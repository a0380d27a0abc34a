"""Write one post without a row in the queue: with the real stages, but not published and not stored.

    source -> ideas -> content -> image

Its calls count in the ledger like those of any job. After a transient error the stage runs again from its checkpoints,
like a job of the queue, but in this process.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from time import monotonic

from anyio import fail_after, sleep

from blogworker.backoff import backoff_s
from blogworker.errors import ProviderError, RateLimited, Unavailable
from blogworker.queue.job import Claim, Stage
from blogworker.queue.restores import Origin
from blogworker.spend.ledger import Spend
from blogworker.stages.cache import StoredCache
from blogworker.stages.pipeline import STAGES
from blogworker.stages.records import Output, Record
from blogworker.stages.work import STAGE_DEADLINE_S, ClaimedNames, ClaimedTitle, Flight, LibraryEntry, Related, Work

ATTEMPTS = 4
LONGEST_PAUSE_S = 60.0  # a person waits for the preview

RecordSpend = Callable[[Spend], Awaitable[None]]
Say = Callable[[str], None]
Library = Callable[[Mapping[str, int], str | None], Awaitable[list[Related]]]  # called with terms and a language


async def no_posts(terms: Mapping[str, int], language: str | None) -> list[Related]:
    return []


@dataclass(frozen=True, slots=True)
class Call:
    """One paid call of a preview."""

    name: str  # of its checkpoint
    seconds: float
    spend: Spend


@dataclass(frozen=True, slots=True)
class Preview:
    """A post as it would be published, and the calls that it needed."""

    source: Output
    ideas: Output
    post: Output
    image: Output | None  # None: not requested, or not available
    picture: bytes | None
    calls: tuple[Call, ...]
    trouble: str | None = None  # why a requested picture is missing
    simulated: bool = False  # the providers were simulated

    @property
    def cost_usd(self) -> float | None:
        """Return the cost of all calls; None if the price of one is unknown."""
        costs = [call.spend.cost_usd for call in self.calls]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


class UnqueuedCheckpoints:
    """Implements `work.Checkpoints` for a post without a job, in memory. Only the spend is recorded."""

    def __init__(self, record: RecordSpend, *, tags: Sequence[str] = (), library: Library = no_posts) -> None:
        self._record = record
        self._library = library
        self._tags = list(tags)
        self._saved: dict[str, Output] = {}
        self._since = monotonic()
        self.post: Output = {}
        self.calls: list[Call] = []

    def get(self, name: str) -> Output | None:
        return self._saved.get(name)

    async def save(
        self, name: str, output: Output, spend: Spend | None = None, *, replaces: Collection[str] = ()
    ) -> None:
        now = monotonic()
        self._saved[name] = output
        if spend is not None:
            self.calls.append(Call(name, now - self._since, spend))
            await self._record(spend)
        elif self.calls and self.calls[-1].name.startswith(f"{name}."):  # it belongs to the last call
            last = self.calls[-1]
            self.calls[-1] = replace(last, seconds=last.seconds + now - self._since)
        self._since = now

    async def save_intent(self, name: str, output: Output, *, stamp: str | None = None) -> datetime:
        raise RuntimeError("a preview is not published")

    async def confirm(self) -> datetime:
        raise RuntimeError("a preview is not published")

    async def origin(self) -> Origin:
        return Origin("preview")

    async def hold_budget(self, usd: float) -> None:
        """Hold nothing: a person has requested the preview. Its spend is counted, but no budget refuses it."""

    async def claim_title(self, wanted: Sequence[LibraryEntry], *, source: str, last_chance: bool) -> ClaimedTitle:
        return ClaimedTitle(place=0, taken=())  # only posts that will be published claim titles

    async def claim_names(self, names: Mapping[str, Sequence[str]], *, source: str, stem: str) -> ClaimedNames:
        title, slugs = next(iter(names.items()))
        return ClaimedNames(title, slugs[0], self._tags)

    async def draw_review(self, every: int) -> bool:
        raise RuntimeError("a preview is not published")

    async def related_posts(self, terms: Mapping[str, int], *, language: str | None) -> list[Related]:
        return await self._library(terms, language)

    async def store_post(self, post: Output) -> None:
        self.post |= {key: value for key, value in post.items() if value is not None}

    async def store_at_end(
        self, changes: Output, whole: Output | None = None, *, entry: LibraryEntry | None = None
    ) -> None:
        await self.store_post({**(whole or {}), **changes})

    async def image_bytes(self) -> bytes | None:
        return self.post.get("image")


class Recalled(StoredCache):
    """The cache of the fleet, read only: a preview does not use up ideas."""

    async def remember(self, key: str, value: object, *, ttl_s: float | None) -> None:
        pass

    async def forget(self, key: str) -> None:
        pass

    async def begin_single_flight(self, key: str, claim: Claim, *, ttl_s: float, always: bool = False) -> Flight:
        return Flight(await self.recall(key), ours=True)  # its ideas are not shared, so no job waits for them

    async def end_single_flight(self, key: str, claim: Claim, *, found: Sequence[object], most: int) -> None:
        pass


class Unguarded:
    """Circuit breakers that are always closed. A preview reports nothing to the fleet: it may use another API key."""

    def require_closed(self, provider: str) -> None:
        pass

    async def release_probe(self, provider: str) -> None:
        pass

    @asynccontextmanager
    async def guarding(
        self,
        provider: str,
        *,
        exempt: Iterable[type[ProviderError]] = (),
        site: str | None = None,
        secondary: bool = False,
    ) -> AsyncIterator[None]:
        yield


async def preview(
    work: Work, kept: UnqueuedCheckpoints, *, illustrated: bool, retry_base_s: float, retry_cap_s: float, say: Say
) -> Preview:
    """Write the post. Raises the ProviderError that prevents it. A missing picture does not raise."""
    trouble: str | None = None
    for stage in (Stage.SOURCE, Stage.IDEAS, Stage.CONTENT, *([Stage.IMAGE] if illustrated else [])):
        say(stage)
        try:
            record = await _attempted(work, stage, retry_base_s=retry_base_s, retry_cap_s=retry_cap_s)
        except ProviderError as error:
            if stage is not Stage.IMAGE:
                raise
            trouble = str(error)
        else:
            await kept.save(stage, record.dump())
    image = kept.get(Stage.IMAGE)
    return Preview(
        source=kept.get(Stage.SOURCE) or {},
        ideas=kept.get(Stage.IDEAS) or {},
        post=kept.get(Stage.CONTENT) or {},
        image=image,
        picture=await kept.image_bytes(),
        calls=tuple(kept.calls),
        trouble=trouble or (image or {}).get("reason"),
    )


async def _attempted(work: Work, stage: Stage, *, retry_base_s: float, retry_cap_s: float) -> Record:
    for failures in count(1):
        try:
            with fail_after(STAGE_DEADLINE_S):
                return await STAGES[stage](work)
        except TimeoutError as error:
            raise Unavailable(f"{stage} took longer than {STAGE_DEADLINE_S:.0f} s", provider="preview") from error
        except (RateLimited, Unavailable) as error:
            pause_s = backoff_s(failures, base_s=retry_base_s, cap_s=retry_cap_s)
            if isinstance(error, RateLimited):
                pause_s = error.retry_after_s
            if failures == ATTEMPTS or pause_s > LONGEST_PAUSE_S:
                raise
        await sleep(pause_s)
    raise AssertionError("count() does not end")
