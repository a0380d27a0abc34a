"""How soon new sites are served beside old backlogs."""

from collections import Counter
from dataclasses import dataclass
from uuid import uuid4

from blogworker.bench.claim import WINDOW
from blogworker.bench.scratch import database, server
from blogworker.queue.claim import claim


@dataclass(frozen=True, slots=True)
class Figure:
    blogs: int
    last_new_at: int  # blogs claimed when the last new site was served
    jain: float  # of the service of the busy sites by then


async def measure(*, busy: int, backlog: int, new: int, slots: int) -> Figure:
    """Enqueue the old backlogs first, then the new sites; claim until each new site was served."""
    async with server() as dsn, database(dsn) as opened:
        for n in range(busy):
            await opened.execute("bench/insert_by_hand", instance_id=f"busy-{n}", jobs=backlog)
        for n in range(new):
            await opened.execute("bench/insert_by_hand", instance_id=f"new-{n}", jobs=1)
        worker_id = uuid4()
        served: Counter[str] = Counter()
        while sum(1 for site in served if site.startswith("new-")) < new:
            found = await claim(opened, worker_id, slots=slots, site_window=WINDOW)
            served.update(c.instance_id for c in found.claims)
    shares = [served[f"busy-{n}"] for n in range(busy)]
    squares = sum(share * share for share in shares)
    jain = sum(shares) ** 2 / (busy * squares) if squares else 1.0
    return Figure(busy * backlog + new, served.total(), jain)
