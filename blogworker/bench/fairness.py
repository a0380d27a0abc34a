"""How soon new sites are served beside old backlogs."""

from collections import Counter
from dataclasses import dataclass

from blogworker.bench.claim import WINDOW
from blogworker.bench.scratch import database, register, server
from blogworker.demo.fairness import jain
from blogworker.queue.claim import claim


@dataclass(frozen=True, slots=True)
class Figure:
    jobs: int
    last_new_at: int  # jobs claimed when the last new site was served
    jain: float  # index of the jobs that were claimed of each busy site by then


async def measure(*, busy: int, backlog: int, new: int, slots: int) -> Figure:
    """Enqueue the backlogs, then a job for each new site. Claim until every new site was served."""
    async with server() as dsn, database(dsn) as opened:
        for n in range(busy):
            await opened.execute("bench/insert_jobs", instance_id=f"busy-{n}", jobs=backlog)
        for n in range(new):
            await opened.execute("bench/insert_jobs", instance_id=f"new-{n}", jobs=1)
        worker_id = await register(opened)
        served: Counter[str] = Counter()
        while sum(1 for site in served if site.startswith("new-")) < new:
            found = await claim(opened, worker_id, slots=slots, site_window=WINDOW)
            served.update(c.instance_id for c in found.claims)
    return Figure(busy * backlog + new, served.total(), jain([served[f"busy-{n}"] for n in range(busy)]))
