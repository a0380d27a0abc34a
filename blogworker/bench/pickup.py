"""How soon an idle worker starts a job: from the return of `enqueue` to the first line of the pipeline."""

from dataclasses import dataclass
from statistics import median
from time import monotonic

from anyio import create_task_group, current_time, fail_after, sleep, sleep_until
from pydantic import TypeAdapter

from blogworker.bench.idle_worker import REPORT, Start
from blogworker.bench.program import Program, program
from blogworker.bench.scratch import database, server
from blogworker.db.pool import Database
from blogworker.queue.enqueue import enqueue
from blogworker.queue.validation import NewJob

EVERY_S = 0.02
SITES, SLOTS = 20, "50"
IDLE_S = 1.0  # from the worker's lease to the first job
POLL_S = 0.05
TIMEOUT_S = 60.0
START = TypeAdapter(Start)


@dataclass(frozen=True, slots=True)
class Figure:
    """Milliseconds from the return of `enqueue`, which may come after the start: the job is visible at its commit. The
    field names are the keys of the JSON output."""

    jobs: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    call_p50_ms: float  # from the call of `enqueue`, with its insert and commit
    started: int
    claimed_twice: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class Enqueueing:
    called_s: float
    returned_s: float


async def measure(*, jobs: int) -> Figure:
    """Enqueue one job every 20 ms, for several sites in turn. Raises TimeoutError if the worker starts none."""
    starts: dict[int, float] = {}
    async with server() as dsn, database(dsn) as opened:
        async with program("blogworker.bench.idle_worker", opened.url, "idle/0", SLOTS, REPORT) as worker:
            await worker.line()
            await worker.begin()
            with fail_after(TIMEOUT_S):
                await _until(opened, "bench/live_workers", "workers", 1)
            await sleep(IDLE_S)
            with fail_after(TIMEOUT_S + 2 * EVERY_S * jobs):
                async with create_task_group() as tasks:
                    tasks.start_soon(_read_starts, worker, jobs, starts)
                    enqueued = await _enqueue(opened, jobs)
                await _until(opened, "bench/attempts", "unfinished", 0)
        attempts = await opened.one("bench/attempts")
    waits = sorted(1_000 * (starts[job_id] - each.returned_s) for job_id, each in enqueued.items())
    return Figure(
        jobs=jobs,
        p50_ms=median(waits),
        p95_ms=waits[int(0.95 * len(waits))],
        max_ms=waits[-1],
        call_p50_ms=median(1_000 * (starts[job_id] - each.called_s) for job_id, each in enqueued.items()),
        started=len(starts),
        claimed_twice=attempts["twice"],
        unfinished=attempts["unfinished"],
    )


async def _enqueue(opened: Database, jobs: int) -> dict[int, Enqueueing]:
    enqueued: dict[int, Enqueueing] = {}
    due = current_time()
    for n in range(jobs):
        called_s = monotonic()
        answer = await enqueue(opened, NewJob(f"site-{n % SITES}", "keyword", None, {"keyword": f"subject {n}"}))
        enqueued[answer.job_id] = Enqueueing(called_s, monotonic())
        due += EVERY_S
        await sleep_until(due)
    return enqueued


async def _read_starts(worker: Program, jobs: int, starts: dict[int, float]) -> None:
    """Read until each job has started once."""
    while len(starts) < jobs:
        start = START.validate_json(await worker.line())
        starts.setdefault(start.job_id, start.at_s)


async def _until(opened: Database, statement: str, key: str, value: int) -> None:
    while (await opened.one(statement))[key] != value:
        await sleep(POLL_S)
