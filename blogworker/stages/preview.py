"""One blog that has no row in the queue: made by the real stages, published nowhere, kept by nobody but its asker.

    source -> ideas -> content -> image

What it pays for is counted like that of any blog. An attempt that fails in passing is made again from what it has
bought so far, as the queue would; there is no other worker to leave it to.
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
from blogworker.spend.ledger import Spend
from blogworker.stages.cache import StoredCache
from blogworker.stages.pipeline import STAGES
from blogworker.stages.work import STAGE_DEADLINE_S, ClaimedTitle, Output, Related, Work

ATTEMPTS = 4
LONGEST_PAUSE_S = 60.0  # a person waits for it

Record = Callable[[Spend], Awaitable[None]]
Say = Callable[[str], None]
Library = Callable[[Mapping[str, int], str | None], Awaitable[list[Related]]]  # of terms and a language


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
    """A blog as it would be published, and what it took."""

    source: Output
    ideas: Output
    post: Output
    image: Output | None  # None: not asked for, or not to be had
    picture: bytes | None
    calls: tuple[Call, ...]
    trouble: str | None = None  # why there is no picture, where one was asked for
    simulated: bool = False  # stand-ins of ours took the vendors' place

    @property
    def cost_usd(self) -> float | None:
        """Of all calls; None when the price of one is not known."""
        costs = [call.spend.cost_usd for call in self.calls]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


class UnqueuedCheckpoints:
    """Implements `work.Checkpoints` for one blog without a job: nothing of it outlives this object but what it cost."""

    def __init__(self, record: Record, *, tags: Sequence[str] = (), library: Library = no_posts) -> None:
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
        elif self.calls and self.calls[-1].name.startswith(f"{name}."):  # waiting for its picture, reading its answer
            last = self.calls[-1]
            self.calls[-1] = replace(last, seconds=last.seconds + now - self._since)
        self._since = now

    async def confirm(self) -> datetime:
        raise RuntimeError("a preview has nothing to show to the world")

    async def hold_budget(self, usd: float) -> None:
        """A person asked for it: it is counted like any other spend, and not refused."""

    async def claim_title(self, wanted: Sequence[str], *, source: str, last_chance: bool) -> ClaimedTitle:
        return ClaimedTitle(place=0, taken=())  # titles belong to blogs that are to be published

    async def claim_slug(self, wanted: Sequence[str], *, stem: str) -> str:
        return wanted[0]

    async def draw_review(self, every: int) -> bool:
        raise RuntimeError("a preview has nothing to show to the world")

    async def site_tags(self) -> list[str]:
        return self._tags

    async def related_posts(self, terms: Mapping[str, int], *, language: str | None) -> list[Related]:
        return await self._library(terms, language)

    async def record_post(self, *, title: str, angle: str, language: str | None, terms: Sequence[str]) -> None:
        """A preview is not a post of the site."""

    async def store_post(self, post: Output) -> None:
        self.post |= {key: value for key, value in post.items() if value is not None}

    async def image_bytes(self) -> bytes | None:
        return self.post.get("image")


class Recalled(StoredCache):
    """What the fleet remembers, left as it is: a preview uses no idea up."""

    async def remember(self, key: str, value: object, *, ttl_s: float | None) -> None:
        pass

    async def forget(self, key: str) -> None:
        pass

    async def acquire_single_flight(self, key: str, claim: Claim, *, ttl_s: float) -> bool:
        return True  # what it buys is its own: nobody waits for it, and it waits for nobody

    async def release_single_flight(self, key: str, claim: Claim) -> None:
        pass


class Unguarded:
    """A guest's calls say nothing to the fleet of a provider's health: their key may be another."""

    def require_closed(self, provider: str) -> None:
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
    """Make the blog. Raises the ProviderError that stands in its way; without its picture it is still one to read."""
    trouble: str | None = None
    for stage in (Stage.SOURCE, Stage.IDEAS, Stage.CONTENT, *([Stage.IMAGE] if illustrated else [])):
        say(stage)
        try:
            output = await _made(work, stage, retry_base_s=retry_base_s, retry_cap_s=retry_cap_s)
        except ProviderError as error:
            if stage is not Stage.IMAGE:
                raise
            trouble = str(error)
        else:
            await kept.save(stage, output)
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


async def _made(work: Work, stage: Stage, *, retry_base_s: float, retry_cap_s: float) -> Output:
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
