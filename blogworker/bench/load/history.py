"""The times of each job, samples of the slots, and waits from the workers' logs."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from anyio import sleep

from blogworker.db.pool import Database

SAMPLE_S = 0.5
WAITED = "limiter_waited"  # log event


@dataclass(frozen=True, slots=True)
class JobTimes:
    """Real seconds by the database's clock. None: it did not happen."""

    job_id: int
    instance_id: str
    enqueued_s: float
    claimed_s: float | None  # for the first time
    done_s: float | None
    attempts: int
    status: str


@dataclass(frozen=True, slots=True)
class Sample:
    """The slots at one moment, by site."""

    at_s: float
    running: Mapping[str, int]  # jobs that have a slot
    waiting: Mapping[str, int]  # jobs that wait for one
    weights: Mapping[str, float]
    stages: Mapping[str, int]  # running jobs by their stage


class SlotSampler:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Take samples, forever."""
        while True:
            if rows := await self._database.rows("bench/slots_by_site"):
                running, waiting, weights = (
                    {row["instance_id"]: row[key] for row in rows} for key in ("running", "waiting", "weight")
                )
                stages = Counter(stage for row in rows for stage in row["stages"])
                self.samples.append(Sample(rows[0]["now_s"], running, waiting, weights, stages))
            await sleep(SAMPLE_S)

    @property
    def most_running(self) -> int:
        return max((sum(sample.running.values()) for sample in self.samples), default=0)


async def job_times(database: Database) -> list[JobTimes]:
    return [JobTimes(**row) for row in await database.rows("bench/history_jobs")]


def longest_wait_s(logs: Iterable[Path]) -> float | None:
    """Return the longest wait for a quota that a worker logged, in real seconds. None: no wait was logged."""
    waits = (_wait_s(line) for log in logs for line in log.read_text("utf-8", "replace").splitlines() if WAITED in line)
    return max((wait for wait in waits if wait is not None), default=None)


def _wait_s(line: str) -> float | None:
    try:
        entry = json.loads(line)
        return float(entry["wait_s"]) if entry["event"] == WAITED else None
    except (ValueError, KeyError, TypeError):
        return None
