"""What a stage receives, and how it reports that it has to wait.

A stage is a module of this room with one function, `async def run(work: Work) -> Record`. It raises a ProviderError
when a provider stops it, and Later when it has to wait; the pipeline turns both into an outcome. A paid call or a
change on the site is saved at once as a checkpoint of its own, named `<stage>.<effect>` (see `effects`), so that no
later attempt repeats it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from blogworker.errors import BlogworkerError, ProviderError
from blogworker.providers.wix.client import WixClient
from blogworker.queue.job import Claim
from blogworker.queue.restores import Origin
from blogworker.quota.limiter import Limiter, Permit
from blogworker.settings import ImageTrouble, OpenAISettings
from blogworker.spend.budget import Refusal
from blogworker.spend.ledger import Spend
from blogworker.stages.records import Checkpoint, Output, Record

if TYPE_CHECKING:  # a worker imports the SDKs after it has registered its lease
    from blogworker.providers.openai import OpenAIClient
    from blogworker.providers.replicate import ReplicateClient

R = TypeVar("R", bound=Record)
STAGE_DEADLINE_S = 600.0  # ends a stage whose call hangs; the lease only shows that the worker is alive


class Later(BlogworkerError):
    """Nothing failed, but the job has to wait for `seconds`. The message says why."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds = seconds


class MadeAhead(Later):
    """The post is ready and is scheduled to be published later."""


class Checkpoints(Protocol):
    """The checkpoints of one job, as JSON, for one attempt. Every write is fenced.

    Stages use the typed methods of `Work`: `load`, `require` and `save`.
    """

    def get(self, name: str) -> Output | None:
        """Return what this attempt or an earlier one has saved under `name`."""

    async def save(
        self, name: str, output: Output, spend: Spend | None = None, *, replaces: Collection[str] = ()
    ) -> None:
        """Store `output` under `name`. `replaces`: checkpoints whose paid calls count as wasted from now on, because
        the post does not use them. Raises LeaseLost if the attempt has lost its claim."""

    async def save_intent(self, name: str, output: Output, *, stamp: str | None = None) -> datetime:
        """Store `output` before the effect that it announces, and confirm the claim in the same statement. Return the
        time of the database, which is also stored in `output` under the key `stamp`. Raises LeaseLost if the attempt
        has lost its claim."""

    async def confirm(self) -> datetime:
        """Return the time of the database. Called before each visible effect. Raises LeaseLost if the attempt has lost
        its claim."""

    async def origin(self) -> Origin:
        """Return how the work of the job is recognised at the providers, and whether history was lost in which it may
        have done more than its checkpoints say. Called right before something is made. Raises LeaseLost if the job does
        not exist any more."""

    async def hold_budget(self, usd: float) -> Refusal | None:
        """Hold the most that this attempt may still cost, in USD. Return None, or the budget that refuses it. Raises
        LeaseLost if the attempt has lost its claim."""

    async def store_post(self, post: Output) -> None:
        """Insert or update the row of the job in `blog_posts`. Keys are column names."""

    async def store_at_end(
        self, changes: Output, whole: Output | None = None, *, entry: "LibraryEntry | None" = None
    ) -> None:
        """Change columns of the row of the job in `blog_posts` in the statement that stores the end of the stage. If
        there is no row, insert `whole` with these changes. `entry`: of the post in the library of the site."""

    async def claim_title(self, wanted: Sequence["LibraryEntry"], *, source: str, last_chance: bool) -> "ClaimedTitle":
        """Claim the first of these titles that is not similar to another title of the site, and add its entry to the
        library of the site. `source`: the digest of the source. `last_chance`: if all are similar, claim the least
        similar one, unless the similar post has the same source."""

    async def claim_names(self, names: Mapping[str, Sequence[str]], *, source: str, stem: str) -> "ClaimedNames":
        """Claim a title and a slug for the post. `names`: the wanted titles, the best first, each with its slugs.

        The title is the first that is not similar to another title of the site, else the least similar one, as with
        the last chance of `claim_title`. The slug is the first that no other post of the site has, else `stem` with a
        number added. Every attempt with the same `names` gets the same ones."""

    async def draw_review(self, every: int) -> bool:
        """Return whether this post is the one of `every` consecutive posts of its site that is held for review. Every
        attempt gets the same answer."""

    async def related_posts(self, terms: Mapping[str, int], *, language: str | None) -> list["Related"]:
        """Return other posts of the site that match these terms (see `library`), the most similar first."""

    async def image_bytes(self) -> bytes | None:
        """Return the picture that is stored with the post, if there is one."""


@dataclass(frozen=True, slots=True)
class ClaimedTitle:
    """The answer of `claim_title`."""

    place: int | None  # index in `wanted`; None: no title could be claimed
    taken: tuple[str, ...]  # titles of the site that are similar to the wanted ones


@dataclass(frozen=True, slots=True)
class ClaimedNames:
    """The answer of `claim_names`."""

    title: str
    slug: str
    tags: list[str]  # of the latest posts of the site, the most used first


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A post of the site, as its library has it."""

    title: str
    angle: str  # empty: unknown
    language: str | None  # None: unknown
    terms: tuple[str, ...]  # by which it is found


@dataclass(frozen=True, slots=True)
class Related:
    """A post of the site about a similar subject."""

    title: str
    angle: str
    url: str | None  # None: it is not published, or must not be linked
    share: float  # of the terms that both posts have, from 0 to 1


@dataclass(frozen=True, slots=True)
class Flight:
    """The answer of `begin_single_flight`."""

    value: Any  # None: nothing is cached
    ours: bool  # whether this attempt has the lock


class Guard(Protocol):
    """The circuit breakers of the providers. `quota.breaker` implements it for the fleet."""

    def require_closed(self, provider: str) -> None:
        """Raise ProviderDown if the circuit breaker of the provider is open."""

    async def release_probe(self, provider: str) -> None:
        """Tell that the attempt makes no further call to the provider: another one may probe it."""

    def guarding(
        self,
        provider: str,
        *,
        exempt: Iterable[type[ProviderError]] = (),
        site: str | None = None,
        secondary: bool = False,
    ) -> AbstractAsyncContextManager[None]:
        """Report the result of the enclosed call to the circuit breaker. `exempt`: errors that do not count as failures
        of the provider; `site`: the site of the call, for calls that may fail for one site alone; `secondary`: its
        success does not prove that the main call of the provider works. Raises ProviderDown like `require_closed`, and
        when the failure opens the breaker."""


class Cache(Protocol):
    """A cache that all workers share. Lifetimes are in seconds."""

    product_s: float
    ideas_s: float

    async def recall(self, key: str) -> Any:
        """Return the value, or None."""

    async def remember(self, key: str, value: object, *, ttl_s: float | None) -> None:
        """Store the value. `ttl_s` None: without expiry."""

    async def forget(self, key: str) -> None:
        """Remove the value."""

    async def begin_single_flight(self, key: str, claim: Claim, *, ttl_s: float, always: bool = False) -> Flight:
        """Read the value, or acquire the single-flight lock of `key`, so that only one attempt of the fleet requests
        what is missing. `always`: acquire the lock also if there is a value. The lock ends with `end_single_flight`,
        with the attempt, or after `ttl_s`."""

    async def end_single_flight(self, key: str, claim: Claim, *, found: Sequence[object], most: int) -> None:
        """Add `found` to the list of `key`, of which the newest `most` are kept. Release the lock, if this attempt
        still has it."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of the providers. `wix` is None when there are no Wix credentials."""

    openai: "OpenAIClient"
    replicate: "ReplicateClient"
    wix: WixClient | None


@dataclass(frozen=True, slots=True)
class Work:
    """One attempt at one job."""

    claim: Claim
    checkpoints: Checkpoints
    clients: Clients
    limiter: Limiter
    openai: OpenAISettings  # models, and the tokens to reserve per call
    breakers: Guard
    cache: Cache
    image_trouble: ImageTrouble = "wait"  # unless the site has its own setting
    review_every: int | None = None  # likewise; one of so many posts stays a draft

    def load(self, checkpoint: Checkpoint[R]) -> R | None:
        """Return what this attempt or an earlier one has saved."""
        output = self.checkpoints.get(checkpoint.name)
        return None if output is None else checkpoint.record.load(output)

    def require(self, checkpoint: Checkpoint[R]) -> R:
        """Return the record of an earlier stage."""
        if (record := self.load(checkpoint)) is None:
            raise LookupError(f"the stage {checkpoint.name} has to run first")
        return record

    async def save(
        self,
        checkpoint: Checkpoint[R],
        record: R,
        spend: Spend | None = None,
        *,
        replaces: Collection[Checkpoint[Any]] = (),
    ) -> None:
        """Store a record. See `Checkpoints.save`."""
        names = [replaced.name for replaced in replaces]
        await self.checkpoints.save(checkpoint.name, record.dump(), spend, replaces=names)

    async def save_intent(self, checkpoint: Checkpoint[R], record: R) -> datetime:
        """Store the record of an effect that is about to begin. See `Checkpoints.save_intent`."""
        return await self.checkpoints.save_intent(checkpoint.name, record.dump())

    def permit(self, bucket: str, *, tokens: int = 0) -> AbstractAsyncContextManager[Permit]:
        """Wait for the quota of one call. Calls of all sites are served in the order of their turns."""
        return self.limiter.permit(bucket, tokens=tokens, turn=self.claim.turn)
