"""Find what was inserted without firing the triggers: by a restore, by logical replication, by a COPY without them.

Such rows are valid, but no worker was notified: a site that has blogs and is not in line would never be served. Two
cursors go round, one over the sites with PENDING jobs and one over all jobs. The first look of a worker goes all the
way round, since workers are started after a restore; later ones take a step each, and go on to the end of the round
once something is found. What else is wrong after a restore is put right by its own keeper: jobs of workers that are
not alive by `rescue`, jobs whose time has come by `promote`, sites at their cap by `reopen_sites`.
"""

from dataclasses import dataclass

from blogworker.db.pool import Database

BATCH = {"queue/sweep_sites": 100, "queue/sweep_jobs": 1_000}
STEPS = 1  # of each kind in a look that finds nothing


@dataclass(frozen=True, slots=True)
class Swept:
    """What was put right."""

    sites: int
    jobs: int


class Round:
    """One cursor."""

    def __init__(self, statement: str, start: str | int) -> None:
        self._statement = statement
        self._start = self._after = start
        self._whole = True  # go on until the round ends

    async def look(self, database: Database) -> int:
        """Some steps, each a transaction of its own; gives how many rows were put right."""
        repaired: int = 0
        steps = 0
        while self._whole or steps < STEPS:
            batch = BATCH[self._statement] * (10 if self._whole else 1)
            rows = await database.briefly((self._statement, {"after": self._after, "batch": batch}))
            if not rows:
                return repaired  # it met a lock; the next look takes this step again
            steps += 1
            repaired += rows[0]["repaired"]
            self._whole = self._whole or repaired > 0
            if rows[0]["looked_at"] < batch:
                self._after, self._whole = self._start, False
                return repaired
            self._after = rows[0]["last"]
        return repaired


class Sweep:
    """The rounds of one worker. Any worker may, at any time."""

    def __init__(self) -> None:
        self._jobs = Round("queue/sweep_jobs", 0)
        self._sites = Round("queue/sweep_sites", "")

    async def look(self, database: Database) -> Swept:
        """Jobs first: sites are announced for those that are in line."""
        jobs = await self._jobs.look(database)
        return Swept(sites=await self._sites.look(database), jobs=jobs)
