"""What became of each blog, who held the slots, and what the workers' logs say."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from anyio import sleep

from blogworker.db.pool import Database

LOOK_S = 0.5  # real seconds
WAITED = "limiter_waited"


@dataclass(frozen=True, slots=True)
class Blog:
    """Times in real seconds of the database's clock; None: it never happened."""

    job_id: int
    instance_id: str
    came_s: float
    claimed_s: float | None  # for the first time
    done_s: float | None
    attempts: int
    status: str


@dataclass(frozen=True, slots=True)
class Look:
    """The sites at one moment: slots held, and blogs that wait for one."""

    at_s: float
    held: Mapping[str, int]
    waiting: Mapping[str, int]
    weights: Mapping[str, float]
    stages: Mapping[str, int]  # slots held, by what their blogs are at


class SlotWatch:
    """Looks at the slots until cancelled."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.looks: list[Look] = []

    async def run(self) -> None:
        while True:
            if rows := await self._database.rows("bench/slots_by_site"):
                held, waiting, weights = (
                    {row["instance_id"]: row[key] for row in rows} for key in ("held", "waiting", "weight")
                )
                stages = Counter(stage for row in rows for stage in row["stages"])
                self.looks.append(Look(rows[0]["now_s"], held, waiting, weights, stages))
            await sleep(LOOK_S)

    @property
    def most_held(self) -> int:
        return max((sum(look.held.values()) for look in self.looks), default=0)


async def blogs(database: Database) -> list[Blog]:
    return [Blog(**row) for row in await database.rows("bench/history_blogs")]


def longest_wait_s(logs: Iterable[Path]) -> float | None:
    """The longest wait for a quota that a worker logged, in real seconds. None: none was logged."""
    waits = (_wait_s(line) for log in logs for line in log.read_text("utf-8", "replace").splitlines() if WAITED in line)
    return max((wait for wait in waits if wait is not None), default=None)


def _wait_s(line: str) -> float | None:
    try:
        entry = json.loads(line)
        return float(entry["wait_s"]) if entry["event"] == WAITED else None
    except (ValueError, KeyError, TypeError):
        return None
