"""The HTTP interface of a real server process: answers to steady and to simultaneous POSTs, and what viewers cost."""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import urlsplit

from anyio import (
    EndOfStream,
    connect_tcp,
    create_task_group,
    current_time,
    fail_after,
    move_on_after,
    sleep,
    sleep_until,
)
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from blogworker.bench.claim import Backlog, load
from blogworker.bench.load import cpu
from blogworker.bench.scratch import ScratchDatabase, database, server
from blogworker.demo.processes import read_when_written, running_process
from blogworker.ops.tokens import Scope, create_token

CONNECTIONS = 16  # of the steady load
SCRAPE_S = 15.0
TIMEOUT_S = 120.0
HEAD_BYTES, CHUNK_BYTES = 65_536, 65_536
VIEWERS = 50


@dataclass(frozen=True, slots=True)
class Plan:
    backlog: int  # PENDING jobs at the beginning
    sites: int
    rate: int  # POSTs per second of the steady load
    seconds: float  # of the steady load, and of each measurement of viewers
    burst: int  # simultaneous POSTs
    burst_sites: int


@dataclass(frozen=True, slots=True)
class Figure:
    """The field names are the keys of the JSON output. CPU in percent of one core."""

    backlog: str  # jobs / sites
    posts_per_s: float
    post_p50_ms: float
    post_p95_ms: float
    post_max_ms: float
    steady_other: int  # answers of the steady load that are not 202
    burst: int
    burst_accepted: int  # 202
    burst_refused: int  # 503
    burst_dropped: int  # no answer, or another one
    burst_s: float
    burst_stored: int  # jobs in the database: as many as were accepted
    scrape_server_percent: float  # /metrics every 15 s
    scrape_postgres_percent: float
    viewer_server_percent: float  # one viewer of the live overview
    viewer_postgres_percent: float
    viewers_server_percent: float  # fifty
    viewers_postgres_percent: float


@dataclass(frozen=True, slots=True)
class Burst:
    """Simultaneous POSTs of one job each."""

    accepted: int  # 202
    refused: int  # 503
    dropped: int  # no answer, or another one
    seconds: float
    stored: int  # jobs in the database: as many as were accepted


async def post_jobs(opened: ScratchDatabase, jobs: int, sites: int) -> Burst:
    """Start `blogworker serve`, send so many POSTs at once, and stop it. Raises TimeoutError."""
    token, _ = await create_token(opened, "burst", scopes=[Scope.INTAKE], instance_ids=None, expires_s=None)
    async with _serving(opened.url) as (address, _):
        return await _measured_burst(opened, _Target(address, token), jobs, sites)


async def measure(plan: Plan, *, progress: Callable[[str], None]) -> Figure:
    """Run all parts against one server. Raises TimeoutError if it does not answer."""
    async with server() as dsn, database(dsn) as opened:
        progress(f"loading {plan.backlog:,} jobs of {plan.sites:,} sites")
        await load(opened, Backlog(plan.backlog, plan.sites))
        token, _ = await create_token(opened, "bench", scopes=list(Scope), instance_ids=None, expires_s=None)
        async with _serving(opened.url) as (address, pid):
            target = _Target(address, token)
            await _steady(target, plan.rate, 2.0)  # plans are made, and modules imported
            progress(f"{plan.rate} POSTs per second")
            took, steady = await _steady(target, plan.rate, plan.seconds)
            progress(f"{plan.burst:,} POSTs at once")
            burst = await _measured_burst(opened, target, plan.burst, plan.burst_sites)
            progress("viewers and scrapes")
            shares = [
                await _costs(opened, pid, target, plan.seconds, viewers=viewers, scrape=scrape)
                for viewers, scrape in ((0, False), (0, True), (1, False), (VIEWERS, False))
            ]
    idle, scrape, one, many = shares
    return Figure(
        backlog=f"{plan.backlog:,} / {plan.sites:,}",
        posts_per_s=len(took) / plan.seconds,
        post_p50_ms=took[len(took) // 2],
        post_p95_ms=took[int(0.95 * len(took))],
        post_max_ms=took[-1],
        steady_other=sum(number for status, number in steady.items() if status != 202),
        burst=plan.burst,
        burst_accepted=burst.accepted,
        burst_refused=burst.refused,
        burst_dropped=burst.dropped,
        burst_s=burst.seconds,
        burst_stored=burst.stored,
        scrape_server_percent=scrape[0] - idle[0],
        scrape_postgres_percent=scrape[1] - idle[1],
        viewer_server_percent=one[0] - idle[0],
        viewer_postgres_percent=one[1] - idle[1],
        viewers_server_percent=many[0] - idle[0],
        viewers_postgres_percent=many[1] - idle[1],
    )


@asynccontextmanager
async def _serving(url: str) -> AsyncIterator[tuple[str, int]]:
    """Run `blogworker serve`. Yield its address and its process id."""
    with TemporaryDirectory(prefix="blogworker-bench-") as folder:
        url_file, log = Path(folder) / "url", Path(folder) / "log"
        settings = {"DATABASE_URL": url, "BLOGWORKER_HTTP_RPM": "10000000", "LOG_LEVEL": "warning"}
        arguments = ("serve", "--port", "0", "--url-file", str(url_file))
        async with running_process(*arguments, environment={**os.environ, **settings}, log=log) as process:
            yield await read_when_written(url_file, process, log), process.pid


class _Target:
    """What the requests of a bench have in common."""

    def __init__(self, address: str, token: str) -> None:
        parts = urlsplit(address)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self.cookie = f"Cookie: blogworker_session={token}\r\n"

    def post(self, site: str, subject: str) -> bytes:
        body = json.dumps({"instanceId": site, "sourceType": "keyword", "sourceData": {"keyword": subject}})
        return (
            f"POST /api/blog-generation HTTP/1.1\r\n{self.head}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def get(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\n{self.head}{self.cookie}\r\n".encode()

    async def connect(self) -> ByteStream:
        return await connect_tcp(self.host, self.port)


async def _steady(target: _Target, rate: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """Send POSTs at a rate. Return the milliseconds of each since it was due, sorted, and the statuses."""
    took: list[float] = []
    statuses: Counter[int] = Counter()
    start = current_time() + 0.1
    number = int(rate * seconds)

    async def send(first: int) -> None:
        async with await target.connect() as stream:
            answers = BufferedByteReceiveStream(stream)
            for n in range(first, number, CONNECTIONS):
                due = start + n / rate
                await sleep_until(due)
                await stream.send(target.post(f"site-{n % 100}", f"steady {n}"))
                statuses[await _answer(answers)] += 1
                took.append(1_000 * (current_time() - due))

    with fail_after(TIMEOUT_S + seconds):
        async with create_task_group() as tasks:
            for first in range(CONNECTIONS):
                tasks.start_soon(send, first)
    return sorted(took), statuses


async def _measured_burst(opened: ScratchDatabase, target: _Target, number: int, sites: int) -> Burst:
    before = (await opened.one("bench/count_jobs"))["jobs"]
    statuses, seconds = await _burst(target, number, sites)
    stored = (await opened.one("bench/count_jobs"))["jobs"] - before
    accepted, refused = statuses[202], statuses[503]
    return Burst(accepted, refused, number - accepted - refused, seconds, stored)


async def _burst(target: _Target, number: int, sites: int) -> tuple[Counter[int], float]:
    """Send all POSTs at once, each on a connection of its own. Return the statuses (0: no answer) and the seconds."""
    statuses: Counter[int] = Counter()

    async def send(n: int) -> None:
        status = 0
        try:
            async with await target.connect() as stream:
                await stream.send(target.post(f"site-{n % sites}", f"burst {n}"))
                status = await _answer(BufferedByteReceiveStream(stream))
        except (OSError, EndOfStream):
            pass
        statuses[status] += 1

    began = perf_counter()
    with fail_after(TIMEOUT_S):
        async with create_task_group() as tasks:
            for n in range(number):
                tasks.start_soon(send, n)
    return statuses, perf_counter() - began


async def _answer(answers: BufferedByteReceiveStream) -> int:
    """Read one answer with a declared length. Return its status."""
    head = (await answers.receive_until(b"\r\n\r\n", HEAD_BYTES)).lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in head if line.startswith(b"content-length:")), 0)
    if length:
        await answers.receive_exactly(length)
    return int(head[0].split()[1])


async def _costs(
    opened: ScratchDatabase, pid: int, target: _Target, seconds: float, *, viewers: int, scrape: bool
) -> tuple[float, float]:
    """Return what the server and Postgres use meanwhile, in percent of one core."""
    backend = (await opened.one("bench/backend"))["pid"]
    async with create_task_group() as tasks:
        for _ in range(viewers):
            tasks.start_soon(_view, target)
        if scrape:
            tasks.start_soon(_scrape, target)
        await sleep(2.0 if viewers else 0.5)  # the first answers
        before = cpu.used_s([pid]), cpu.server_s(backend)
        began = perf_counter()
        await sleep(seconds)
        took = perf_counter() - began
        after = cpu.used_s([pid]), cpu.server_s(backend)
        tasks.cancel_scope.cancel()
    return 100 * (after[0] - before[0]) / took, 100 * (after[1] - before[1]) / took


async def _view(target: _Target) -> None:
    async with await target.connect() as stream:
        await stream.send(target.get("/events"))
        while True:
            await stream.receive(CHUNK_BYTES)


async def _scrape(target: _Target) -> None:
    while True:
        async with await target.connect() as stream:
            await stream.send(target.get("/metrics"))
            await _answer(BufferedByteReceiveStream(stream))
        with move_on_after(SCRAPE_S):
            await sleep(SCRAPE_S)
