"""What may be claimed now.

While the circuit breaker of a provider is open: nothing that needs it, but one job to probe it with. While the total
budget has no room: only what is paid for and waits to be published. In addition the quotas limit what may be claimed;
the claim itself works that out from their state (`Pacing`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from blogworker.queue.claim import ClaimFilter, Pacing
from blogworker.queue.job import Stage
from blogworker.quota.breaker import Breakers
from blogworker.quota.call import Probe
from blogworker.spend.budget import ALLOWED, Budget
from blogworker.stages.catalog import CATALOG, CATALOG_PROVIDER


@dataclass(frozen=True, slots=True)
class ProbeClaim:
    """The right to have one job probe a provider; the claims to try for it, in order."""

    probe: Probe
    filters: tuple[ClaimFilter, ...]


class Gate:
    """One per process. `image_trouble`: what becomes of a blog without a picture, where its site does not say;
    `pacing`: what the quotas are, as of now; None where there are no limits to keep."""

    def __init__(self, breakers: Breakers, image_trouble: str, *, pacing: Callable[[], Pacing] | None = None) -> None:
        self.breakers = breakers
        self._image_trouble = image_trouble
        self._pacing = pacing
        self.budget = ALLOWED

    async def sync(self) -> bool:
        """Look at the breakers. Whether there may be more to claim than before."""
        return await self.breakers.sync()

    def needs(self) -> dict[str, object]:
        """What this worker's blogs need of the quotas, for the claims and estimates of the fleet."""
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
        }

    def apply(self, budget: Budget) -> bool:
        """Keep to what the budget says. Whether there may be more to claim than before."""
        opened = self.budget.stop_reason is not None and budget.stop_reason is None
        self.budget = budget
        return opened or budget.resumed > 0

    async def trial(self) -> ProbeClaim | None:
        """Permission to probe a provider, if it is time. End it with `unused` where no job took it into `trying`."""
        await self.breakers.refresh()
        probe = await self.breakers.take_probe({CATALOG[stage].provider for stage in self.affordable})
        if probe is None:
            return None
        provider = probe.provider
        stages = self.affordable
        pacing = self._pacing() if self._pacing is not None else None  # a job that may not call proves nothing
        served = [stage for stage in stages if CATALOG[stage].provider == provider]
        quick = ClaimFilter(tuple(s for s in served if CATALOG[s].quick), shop=self._shop(), pacing=pacing)
        slow = ClaimFilter(tuple(s for s in served if not CATALOG[s].quick), pacing=pacing)
        shops = (Stage.SOURCE,) if provider == CATALOG_PROVIDER and Stage.SOURCE in stages else ()
        reads = ClaimFilter(shops, shop=True, pacing=pacing)
        # An input refused for a post may be accepted for ideas, so a quick call could close the breaker too early.
        likely = (slow, quick, reads) if self.breakers.misconfigured(provider) else (quick, slow, reads)
        return ProbeClaim(probe, tuple(each for each in likely if each.stages))

    @asynccontextmanager
    async def trying(self, trial: ProbeClaim | None) -> AsyncIterator[None]:
        """The attempt at a job, claimed for the trial if there is one. It may end without a call: the answer was stored
        already, or a quota held the call back."""
        try:
            yield
        finally:
            if trial is not None:
                await self.unused(trial)

    async def unused(self, trial: ProbeClaim) -> None:
        """The next job may have it, unless the call was made."""
        await self.breakers.give_back(trial.probe)

    def claim_filter(self) -> ClaimFilter | None:
        """What may be claimed now; None: nothing."""
        shut = self.breakers.open_breakers
        stages = tuple(stage for stage in self.affordable if CATALOG[stage].provider not in shut)
        pacing = self._pacing() if self._pacing is not None else None
        if stages == tuple(Stage):
            return ClaimFilter(pacing=pacing)
        if CATALOG[Stage.IMAGE].provider in shut and Stage.IMAGE in self.affordable:
            return ClaimFilter(stages, self._image_trouble, self._shop(), pacing)
        return ClaimFilter(stages, shop=self._shop(), pacing=pacing) if stages else None

    @property
    def affordable(self) -> tuple[Stage, ...]:
        """The stages that the total budget has room for."""
        return tuple(stage for stage in Stage if self.budget.stop_reason is None or not CATALOG[stage].paid)

    def _shop(self) -> bool | None:
        return False if CATALOG_PROVIDER in self.breakers.open_breakers else None
