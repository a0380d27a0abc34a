"""Which jobs this worker may claim now.

While the circuit breaker of a provider is open, jobs whose next stage needs that provider stay in line, except one job
as a probe. While the total budget is used up, only jobs that are paid for and wait to be published are claimed. Jobs
whose next stage a person has paused stay in line too. The quotas limit claims in addition: the claim statement works
that out from `Pacing`.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from blogworker.queue.claim import ClaimFilter, Pacing
from blogworker.queue.job import Stage
from blogworker.quota.breaker import Breakers
from blogworker.quota.call import Probe
from blogworker.slots import ALL_STAGES
from blogworker.spend.budget import ALLOWED, Budget
from blogworker.stages.catalog import CATALOG, CATALOG_PROVIDER


@dataclass(frozen=True, slots=True)
class ProbeClaim:
    """Permission to probe a provider with one job, and the filters to claim that job with, in order."""

    probe: Probe
    filters: tuple[ClaimFilter, ...]


class Gate:
    """One per process. `stages`: those that this worker runs.

    `image_trouble`: what happens to a job without a picture, if its site's settings do not say. `pacing`: returns the
    current needs of quota; None: there are no quotas to keep.
    """

    def __init__(
        self,
        breakers: Breakers,
        image_trouble: str,
        *,
        pacing: Callable[[], Pacing] | None = None,
        stages: Collection[str] = ALL_STAGES,
    ) -> None:
        self.breakers = breakers
        self.stages = tuple(stage for stage in Stage if stage in stages)
        self.image_trouble = image_trouble
        self._pacing = pacing
        self.budget = ALLOWED

    async def sync(self) -> bool:
        """Synchronise the breakers with the database. Return whether more jobs may be claimable than before."""
        return await self.breakers.sync()

    def needs(self) -> dict[str, object]:
        """Return the quota that this worker's jobs need. The fleet's claims and estimates use it."""
        if self._pacing is None:
            return {}
        pacing = self._pacing()
        return {
            "buckets": [bucket for bucket in pacing.buckets if bucket is not None],
            "tokens": [tokens for bucket, tokens in zip(pacing.buckets, pacing.tokens, strict=True) if bucket],
            "blog_s": round(pacing.leads[-1], 3),
            "leads": [round(seconds, 3) for seconds in pacing.leads],
            "site_rpm": pacing.site_rpm,
            "site_calls": pacing.site_calls,
            "stages": list(self.stages),
        }

    def apply(self, budget: Budget) -> bool:
        """Use this state of the budget from now on. Return whether more jobs may be claimable than before."""
        has_room_again = self.budget.stop_reason is not None and budget.stop_reason is None
        continues = not self.budget.paused <= budget.paused
        self.budget = budget
        return has_room_again or continues or budget.resumed > 0

    def stop_spending(self, reason: str) -> None:
        """Claim no paid stage until the next state of the budget says that it has room again."""
        self.budget = replace(self.budget, stop_reason=reason)

    async def take_probe_claim(self, of: Collection[str] = ALL_STAGES) -> ProbeClaim | None:
        """Return permission to probe a provider with a job at one of these stages, if a probe is due.

        Return it with `return_probe_claim` if no job is claimed with it.
        """
        await self.breakers.refresh()
        stages = tuple(stage for stage in self.open_stages if stage in of)
        # A new job calls the provider of the ideas only if they follow at once.
        calling = [stage for stage in stages if stage != Stage.SOURCE or Stage.IDEAS in self.open_stages]
        reads_shops = {CATALOG_PROVIDER} if Stage.SOURCE in stages else set()
        probe = await self.breakers.take_probe({CATALOG[stage].provider for stage in calling} | reads_shops)
        if probe is None:
            return None
        provider = probe.provider
        pacing = self._pacing() if self._pacing is not None else None  # a job that must wait for quota is no probe
        served = [stage for stage in calling if CATALOG[stage].provider == provider]
        quick = ClaimFilter(tuple(s for s in served if CATALOG[s].quick), shop=self._shop(), pacing=pacing)
        slow = ClaimFilter(tuple(s for s in served if not CATALOG[s].quick), pacing=pacing)
        shops = (Stage.SOURCE,) if provider in reads_shops else ()
        reads = ClaimFilter(shops, shop=True, pacing=pacing)
        # An input refused for a post may be accepted for ideas, so a quick call could close the breaker too early.
        filters = (slow, quick, reads) if self.breakers.needs_main_call(provider) else (quick, slow, reads)
        return ProbeClaim(probe, tuple(each for each in filters if each.stages))

    @asynccontextmanager
    async def probing(self, probe_claim: ProbeClaim) -> AsyncIterator[None]:
        """Return the probe, if the attempt in the block ended without a call to the provider.

        That happens if the response was stored already, or if a quota stopped the call.
        """
        try:
            yield
        finally:
            await self.return_probe_claim(probe_claim)

    async def return_probe_claim(self, probe_claim: ProbeClaim) -> None:
        """Let another job take the probe, unless the call was made."""
        await self.breakers.return_probe(probe_claim.probe)

    def claim_filter(self, of: Collection[str] = ALL_STAGES) -> ClaimFilter | None:
        """Return which jobs at these stages may be claimed now, or None if none may be."""
        open_breakers = self.breakers.open_breakers
        open_stages = tuple(stage for stage in self.open_stages if stage in of)
        stages = tuple(stage for stage in open_stages if CATALOG[stage].provider not in open_breakers)
        pacing = self._pacing() if self._pacing is not None else None
        if stages == tuple(Stage):
            return ClaimFilter(pacing=pacing)
        if CATALOG[Stage.IMAGE].provider in open_breakers and Stage.IMAGE in open_stages:
            return ClaimFilter(stages, self.image_trouble, self._shop(), pacing)
        return ClaimFilter(stages, shop=self._shop(), pacing=pacing) if stages else None

    @property
    def open_stages(self) -> tuple[Stage, ...]:
        """Return the stages of this worker that the total budget has room for and that are not paused."""
        return tuple(
            stage
            for stage in self.stages
            if stage not in self.budget.paused and (self.budget.stop_reason is None or not CATALOG[stage].paid)
        )

    def _shop(self) -> bool | None:
        return False if CATALOG_PROVIDER in self.breakers.open_breakers else None
