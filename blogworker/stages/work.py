"""What a stage is handed, and what it hands back.

A stage is a module of this room with one function, `async def run(work: Work) -> Output`. It raises a ProviderError
when a vendor stops it, and Later when it has to wait; the pipeline turns that into an outcome. Whatever it pays for or
shows to the world before its end it saves as a checkpoint of its own, named `<stage>.<effect>`, so that no later
attempt does it again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from blogworker.errors import BlogworkerError, ProviderError
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.wix.client import WixClient
from blogworker.queue.job import Claim
from blogworker.quota.limiter import Limiter, Permit
from blogworker.settings import ImageTrouble, OpenAISettings
from blogworker.spend.budget import Refusal
from blogworker.spend.ledger import Spend

Output = dict[str, Any]
STAGE_DEADLINE_S = 600.0  # a lease says that the worker lives, this says that a call hangs


class Later(BlogworkerError):
    """Nothing went wrong, but it is not yet time: the job rests for `seconds`; the message says why."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds = seconds


class MadeAhead(Later):
    """All is ready, and its owner wants it published later."""


class Checkpoints(Protocol):
    """One attempt's view of its job's checkpoints. Every write is fenced."""

    def get(self, name: str) -> Output | None:
        """What was saved under `name` by this attempt or an earlier one."""

    async def save(
        self, name: str, output: Output, spend: Spend | None = None, *, replaces: Collection[str] = ()
    ) -> None:
        """Store. `replaces`: checkpoints whose paid calls are wasted from now on, because the post does not use them.
        Raises LeaseLost if the claim is no longer ours."""

    async def confirm(self) -> datetime:
        """The database's time. Asked before each visible effect: raises LeaseLost unless the claim is still ours."""

    async def hold_budget(self, usd: float) -> Refusal | None:
        """Hold the most that this attempt may still cost, in USD. Raises LeaseLost if the claim is no longer ours."""

    async def store_post(self, post: Output) -> None:
        """Insert or update the job's row in `blog_posts`; keys are column names."""

    async def claim_title(self, wanted: Sequence[str], *, source: str, last_chance: bool) -> "ClaimedTitle":
        """Have the first of these titles that is not like another of the site. `source`: a digest of what they were
        made of; `last_chance`: the least alike rather than none, if it was made of something else."""

    async def claim_slug(self, wanted: Sequence[str], *, stem: str) -> str:
        """Have the first of these slugs that no other post of the site has, else `stem` with a number behind it. The
        same for every attempt that wants the same."""

    async def draw_review(self, every: int) -> bool:
        """Whether this post is the one of `every` consecutive posts of its site that is held for review. The same
        answer for every attempt."""

    async def site_tags(self) -> list[str]:
        """The tags of the site's latest posts, the most used first."""

    async def related_posts(self, terms: Mapping[str, int], *, language: str | None) -> list["Related"]:
        """Other posts of the site that are found by these terms (see `library`), the most alike first."""

    async def record_post(self, *, title: str, angle: str, language: str | None, terms: Sequence[str]) -> None:
        """Put the post into the site's library, to be found by these terms. Raises LeaseLost if the claim is no longer
        ours."""

    async def image_bytes(self) -> bytes | None:
        """The picture stored with the post, if there is one."""


@dataclass(frozen=True, slots=True)
class ClaimedTitle:
    """The answer of `claim_title`."""

    place: int | None  # in what was wanted, from 0; None where none is free
    taken: tuple[str, ...]  # titles of the site that were in the way


@dataclass(frozen=True, slots=True)
class Related:
    """A post of the site that is about much the same as another."""

    title: str
    angle: str
    url: str | None  # None: not published, or not to be linked
    share: float  # of what the other is about, from 0 to 1


class Guard(Protocol):
    """What is known of the providers' health; `quota.breaker` implements it for the fleet."""

    def require_closed(self, provider: str) -> None:
        """Raise ProviderDown if the circuit breaker of the provider is open."""

    def guarding(
        self,
        provider: str,
        *,
        exempt: Iterable[type[ProviderError]] = (),
        site: str | None = None,
        secondary: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        """Guard one call to the provider, made in the block; see `quota.breaker`. `exempt`: errors that do not count as
        failures of the provider. Raises ProviderDown if the breaker is open or the failure belongs to an outage."""


class Cache(Protocol):
    """What is remembered between jobs, for all workers. Lifetimes in seconds."""

    product_s: float
    ideas_s: float

    async def recall(self, key: str) -> Any:
        """The value, or None."""

    async def remember(self, key: str, value: object, *, ttl_s: float | None) -> None:
        """Store; None: for good."""

    async def forget(self, key: str) -> None:
        """Remove."""

    async def acquire_single_flight(self, key: str, claim: Claim, *, ttl_s: float) -> bool:
        """Have the right to buy what belongs under `key`, unless another attempt has it: one at a time in the fleet. It
        ends with `release_single_flight`, with the attempt, and after `ttl_s` in any case."""

    async def release_single_flight(self, key: str, claim: Claim) -> None:
        """Give it back, if it still is this attempt's."""


@dataclass(frozen=True, slots=True)
class Vendors:
    """The remote side. `wix` is None when there are no Wix credentials."""

    openai: OpenAIClient
    replicate: ReplicateClient
    wix: WixClient | None


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt at one job."""

    claim: Claim
    checkpoints: Checkpoints
    vendors: Vendors
    limiter: Limiter
    openai: OpenAISettings  # models, and the tokens to reserve for a call
    breakers: Guard
    cache: Cache
    image_trouble: ImageTrouble = "wait"  # where the site does not say
    review_every: int | None = None  # likewise: of how many posts one stays a draft

    def permit(self, bucket: str, *, tokens: int = 0) -> AbstractAsyncContextManager[Permit]:
        """Wait for the quota of one call; calls of all sites go in the order of their turns."""
        return self.limiter.permit(bucket, tokens=tokens, turn=self.claim.turn)
