"""What may be claimed now.

While a provider is left alone: nothing that needs it, but one job to probe it with. While the total budget has no room:
only what is paid for and waits to be published. While the quota of a stage's model is blocked for long: not that stage.

The quotas of Replicate do not count here: they are by the minute, and a picture that is paid for can be fetched for an
hour only. A blog that wants one is claimed, and parked, whatever its site does without a picture.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from blogworker.queue.budget import OPEN, Budget
from blogworker.queue.claim import ALL, Passing
from blogworker.queue.job import Stage
from blogworker.quota.blocks import Blocks
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
    """One a process. `image_trouble`: what becomes of a blog without a picture, where its site does not say; `blocks`:
    of the quotas that stages need, none where there are no limits to keep."""

    def __init__(self, breakers: Breakers, image_trouble: str, *, blocks: Blocks | None = None) -> None:
        self.breakers = breakers
        self._image_trouble = image_trouble
        self._blocks = blocks
        self.budget = OPEN

    async def sync(self) -> bool:
        """Look at the breakers and the blocks. Whether there may be more to claim than before."""
        opened = await self.breakers.sync()
        freed = self._blocks is not None and await self._blocks.sync()
        return opened or freed

    def heed(self, budget: Budget) -> bool:
        """Keep to what the budget says. Whether there may be more to claim than before."""
        opened = self.budget.shut_reason is not None and budget.shut_reason is None
        self.budget = budget
        return opened or budget.resumed > 0

    async def trial(self) -> Trial | None:
        """Leave to probe a provider, if it is time. To be ended by `unused` where no job took it into `trying`."""
        await self.breakers.refresh()
        probe = await self.breakers.take_probe({NEEDS[stage] for stage in self._worth_claiming})
        if probe is None:
            return None
        provider = probe.provider
        stages = self._worth_claiming
        quick = Passing(tuple(s for s in stages if NEEDS[s] == provider and s in QUICK), shop=self._shop())
        slow = Passing(tuple(s for s in stages if NEEDS[s] == provider and s not in QUICK))
        reads = Passing((Stage.SOURCE,) if provider == SHOP and Stage.SOURCE in stages else (), shop=True)
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
        shut = self.breakers.shut
        stages = tuple(stage for stage in self._worth_claiming if NEEDS[stage] not in shut)
        if stages == tuple(Stage):
            return ALL
        if NEEDS[Stage.IMAGE] in shut and Stage.IMAGE in self.affordable:
            return Passing(stages, self._image_trouble, self._shop())
        return Passing(stages, shop=self._shop()) if stages else None

    @property
    def affordable(self) -> tuple[Stage, ...]:
        """The stages that the total budget has room for."""
        return tuple(Stage) if self.budget.shut_reason is None else (Stage.PUBLISH,)

    @property
    def _worth_claiming(self) -> tuple[Stage, ...]:
        stopped = self._blocks.stopped if self._blocks is not None else ()
        return tuple(stage for stage in self.affordable if stage not in stopped)

    def _shop(self) -> bool | None:
        return False if SHOP in self.breakers.shut else None
