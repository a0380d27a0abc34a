"""Find rows that were inserted without firing the triggers: by a restore, logical replication, or a COPY without them.

Such rows are valid, but no worker was notified, and their site is not in line, so it would never be served. Two cursors
scan in rounds, one over the sites with PENDING jobs and one over all jobs. The first run of a worker scans a whole
round, because workers are started after a restore. Each later run takes one step, and continues to the end of the round
if it finds something. Other effects of a restore are repaired by their own keepers: jobs of dead workers by `rescue`,
due jobs by `promote`, sites at their cap by `reopen_sites`.
"""

from dataclasses import dataclass

from blogworker.db.pool import Database

BATCH = {"queue/sweep_sites": 100, "queue/sweep_jobs": 1_000}
STEPS = 1  # of each cursor in a run that finds nothing


@dataclass(frozen=True, slots=True)
class Swept:
    """The number of rows repaired."""

    sites: int
    jobs: int


class Round:
    """One cursor and its current round."""

    def __init__(self, statement: str, start: str | int) -> None:
        self._statement = statement
        self._start = self._after = start
        self._whole = True  # continue until the round ends

    async def run_once(self, database: Database) -> int:
        """Run some steps, each in its own transaction. Return how many rows were repaired."""
        repaired: int = 0
        steps = 0
        while self._whole or steps < STEPS:
            batch = BATCH[self._statement] * (10 if self._whole else 1)
            rows = await database.briefly((self._statement, {"after": self._after, "batch": batch}))
            if not rows:
                return repaired  # a lock was in the way; the next run repeats this step
            steps += 1
            repaired += rows[0]["repaired"]
            self._whole = self._whole or repaired > 0
            if rows[0]["looked_at"] < batch:
                self._after, self._whole = self._start, False
                return repaired
            self._after = rows[0]["last"]
        return repaired


class Sweep:
    """The rounds of one worker. Any worker may run them at any time."""

    def __init__(self) -> None:
        self._jobs = Round("queue/sweep_jobs", 0)
        self._sites = Round("queue/sweep_sites", "")

    async def run_once(self, database: Database) -> Swept:
        """Run both cursors. Jobs first, because sites are announced for jobs that are in line.

        Also let sites follow their plans and their shares of the quotas.
        """
        await database.one("queue/follow_plans")
        jobs = await self._jobs.run_once(database)
        return Swept(sites=await self._sites.run_once(database), jobs=jobs)
