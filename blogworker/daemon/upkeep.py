"""What each worker does for the whole fleet, in ticks: rescue, admit, promote, sweep."""

from collections.abc import Callable, Set
from uuid import UUID

from blogworker.db.pool import Database
from blogworker.queue.admit import Reopening, admit, arrivals
from blogworker.queue.promote import due, promote
from blogworker.queue.rescue import release_lost_claims, rescue
from blogworker.queue.skipped_sites import SkippedSites
from blogworker.queue.sweep import Sweep
from blogworker.telemetry import get_logger

log = get_logger()


class Upkeep:
    """Each method is one tick. `wake`: called when there may be work for this worker."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake
        self._rescue_skips, self._release_skips = SkippedSites(), SkippedSites()
        self._arrivals, self._due, self._reopening, self._sweep_rounds = arrivals(), due(), Reopening(), Sweep()

    async def rescue(self, worker_id: UUID, running: Set[int]) -> None:
        """Take back the jobs of dead workers, and those of this worker that it does not run: `running` are its jobs."""
        found = await rescue(self._database, self._rescue_skips)
        if found.jobs:
            log.warning("jobs_rescued", workers=list(found.workers), count=found.jobs, failed=found.failed)
        lost_claims = await release_lost_claims(self._database, worker_id, known=running, skipped=self._release_skips)
        if lost_claims:
            log.warning("lost_claims_released", count=lost_claims)
        if await self._reopening.run_once(self._database):
            self._wake()

    async def admit(self) -> None:
        if await admit(self._database, self._arrivals):
            self._wake()

    async def promote(self) -> None:
        if promoted := await promote(self._database, self._due):
            log.debug("jobs_promoted", count=promoted)

    async def sweep(self) -> None:
        found = await self._sweep_rounds.run_once(self._database)
        if found.sites or found.jobs:
            log.warning("rows_recovered", sites=found.sites, jobs=found.jobs)
