"""What may be claimed now.

While a provider is left alone: nothing that needs it, but one job to probe it with. While the total budget has no room:
only what is paid for and waits to be published.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from blogworker.queue.budget import OPEN, Budget
from blogworker.queue.claim import ALL, Passing
from blogworker.queue.job import Stage
from blogworker.quota.breaker import Breakers, Probe

NEEDS = {
    Stage.SOURCE: "openai",  # for the stage that follows at once
    Stage.IDEAS: "openai",
    Stage.CONTENT: "openai",
    Stage.IMAGE: "replicate",
    Stage.PUBLISH: "wix",
}
SHOP = "wix"  # a source needs it too, where its product has to be read from there
QUICK = (Stage.SOURCE, Stage.IDEAS)  # their calls take seconds, where a post takes half a minute


@dataclass(frozen=True, slots=True)
class Trial:
    """The right to have one job probe a provider; the claims to try for it, in order."""

    probe: Probe
    passings: tuple[Passing, ...]


class Gate:
    """One a process. `image_trouble`: what becomes of a blog without a picture, where its site does not say."""

    def __init__(self, breakers: Breakers, image_trouble: str) -> None:
        self.breakers = breakers
        self._image_trouble = image_trouble
        self.budget = OPEN

    def heed(self, budget: Budget) -> bool:
        """Keep to what the budget says. Whether there may be more to claim than before."""
        opened = self.budget.shut_reason is not None and budget.shut_reason is None
        self.budget = budget
        return opened or budget.resumed > 0

    async def trial(self) -> Trial | None:
        """Leave to probe a provider, if it is time. To be ended by `unused` where no job took it into `trying`."""
        await self.breakers.refresh()
        probe = await self.breakers.take_probe({NEEDS[stage] for stage in self.affordable})
        if probe is None:
            return None
        provider = probe.provider
        shop = self._shop()
        quick = Passing(tuple(stage for stage in QUICK if NEEDS[stage] == provider), shop=shop)
        slow = Passing(tuple(stage for stage in Stage if NEEDS[stage] == provider and stage not in QUICK))
        reads = Passing((Stage.SOURCE,) if provider == SHOP and Stage.SOURCE in self.affordable else (), shop=True)
        return Trial(probe, tuple(passing for passing in (quick, slow, reads) if passing.stages))

    @asynccontextmanager
    async def trying(self, trial: Trial | None) -> AsyncIterator[None]:
        """The attempt at a job claimed for the trial, if for one. It may end without a call: paid for, or parked."""
        try:
            yield
        finally:
            if trial is not None:
                await self.unused(trial)

    async def unused(self, trial: Trial) -> None:
        """The next job may have it, unless the call was made."""
        await self.breakers.give_back(trial.probe)

    def passing(self) -> Passing | None:
        """What may be claimed now; None: nothing."""
        shut, affordable = self.breakers.shut, self.affordable
        stages = tuple(stage for stage in affordable if NEEDS[stage] not in shut)
        if stages == tuple(Stage):
            return ALL
        if NEEDS[Stage.IMAGE] in shut and Stage.IMAGE in affordable:
            return Passing(stages, self._image_trouble, self._shop())
        return Passing(stages, shop=self._shop()) if stages else None

    @property
    def affordable(self) -> tuple[Stage, ...]:
        """The stages that the total budget has room for."""
        return tuple(Stage) if self.budget.shut_reason is None else (Stage.PUBLISH,)

    def _shop(self) -> bool | None:
        return False if SHOP in self.breakers.shut else None
