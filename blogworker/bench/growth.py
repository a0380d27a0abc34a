"""How the time of each frequent statement grows with the number of jobs and of sites.

Half of the jobs are PENDING and half are DONE. Jobs that are claimed are released again, so a database keeps its size.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from blogworker.bench.claim import PACED, WINDOW, Backlog, load
from blogworker.bench.scratch import ScratchDatabase, database, register, server, settle
from blogworker.ops.forecast import forecast
from blogworker.ops.jobs import JobFilter, list_jobs, show_job
from blogworker.ops.metrics import read_metrics
from blogworker.ops.sites import list_sites
from blogworker.ops.status import fleet_status
from blogworker.queue.claim import claim
from blogworker.queue.enqueue import enqueue, enqueue_many
from blogworker.queue.job import Claim, Release
from blogworker.queue.validation import NewJob
from blogworker.spend.estimate import Prices

SITE = "site-1"
BULK, SLOTS, LISTED, TOP_SITES = 1_000, 50, 50, 20
UNLIMITED = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians in milliseconds."""

    size: str  # jobs / sites
    claim_50_ms: float
    settle_50_ms: float
    enqueue_ms: float
    enqueue_1000_ms: float
    heartbeat_ms: float
    status_ms: float
    metrics_ms: float
    list_ms: float
    list_of_site_ms: float
    show_ms: float
    sites_ms: float
    forecast_ms: float


async def measure(
    sizes: Sequence[Backlog], *, rounds: int, prices: Prices, progress: Callable[[str], None]
) -> list[Figure]:
    """Measure each size in a database of its own. `jobs` of a size: PENDING and DONE together."""
    figures = []
    async with server() as dsn:
        for size in sizes:
            progress(f"loading {size.jobs:,} jobs of {size.sites:,} sites")
            async with database(dsn) as opened:
                await load(opened, Backlog(size.jobs // 2, size.sites))
                await opened.execute("bench/disable_triggers")
                await opened.execute("bench/load_finished", jobs=size.jobs - size.jobs // 2, sites=size.sites)
                await opened.execute("bench/enable_triggers")
                await opened.execute("bench/vacuum")
                figures.append(await _Measured(opened, prices).figure(size, rounds))
    return figures


class _Measured:
    def __init__(self, opened: ScratchDatabase, prices: Prices) -> None:
        self._database = opened
        self._prices = prices
        self._number = 0

    async def figure(self, size: Backlog, rounds: int) -> Figure:
        """Measure all statements in turn, so that the load of the machine affects all of them."""
        took: dict[str, list[float]] = {}
        worker_id = await register(self._database)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "enqueue_ms": self._enqueue,
            "heartbeat_ms": lambda: self._database.one("ops/heartbeat"),
            "status_ms": lambda: fleet_status(self._database),
            "metrics_ms": lambda: read_metrics(self._database, top_sites=TOP_SITES),
            "list_ms": lambda: list_jobs(self._database, JobFilter(), most=LISTED),
            "list_of_site_ms": lambda: list_jobs(self._database, JobFilter(instance_id=SITE), most=LISTED),
            "show_ms": lambda: show_job(self._database, 1),
            "sites_ms": lambda: list_sites(self._database, most=LISTED),
            "forecast_ms": self._forecast,
        }
        for n in range(rounds):
            started = perf_counter()
            found = await claim(self._database, worker_id, slots=SLOTS, site_window=WINDOW, only=PACED)
            claimed = perf_counter()
            await settle(self._database, worker_id, [(each, Release()) for each in found.claims])
            took.setdefault("claim_50_ms", []).append((claimed - started) * 1000)
            took.setdefault("settle_50_ms", []).append((perf_counter() - claimed) * 1000)
            _require_full(found.claims)
            if n % 5 == 0:
                took.setdefault("enqueue_1000_ms", []).append(await _ms(self._enqueue_bulk))
            for name, call in calls.items():
                took.setdefault(name, []).append(await _ms(call))
        return Figure(f"{size.jobs:,} / {size.sites:,}", **{name: median(each) for name, each in took.items()})

    async def _enqueue(self) -> None:
        await enqueue(self._database, self._job(), queue_size_limit=UNLIMITED)

    async def _enqueue_bulk(self) -> None:
        jobs = [self._job() for _ in range(BULK)]
        counts = Counter(job.instance_id for job in jobs)
        await enqueue_many(self._database, jobs, counts=counts, queue_size_limit=UNLIMITED)

    async def _forecast(self) -> None:
        jobs = [self._job()]
        await forecast(self._database, jobs, counts=Counter({SITE: 1}), limit=None, prices=self._prices)

    def _job(self) -> NewJob:
        self._number += 1
        keyword = f"linen {self._number}"
        return NewJob(
            instance_id=SITE,
            source_type="keyword",
            source_id=None,
            source_data={"keyword": keyword},
            idempotency_key=keyword,
        )


def _require_full(claims: Sequence[Claim]) -> None:
    if len(claims) != SLOTS:
        raise RuntimeError(f"a claim of {SLOTS} jobs got {len(claims)}")


async def _ms(call: Callable[[], Awaitable[object]]) -> float:
    started = perf_counter()
    await call()
    return (perf_counter() - started) * 1000
