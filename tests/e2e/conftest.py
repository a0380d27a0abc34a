"""The vendors' simulator and workers as processes of their own, and a database to watch them in."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from blogworker.cli.simulation import settings_for
from blogworker.telemetry import keys_of
from tests.forks import Child, Forks

SPEED = 50
WITHIN_S = 90.0  # only a starved machine takes so long
LOOK_S = 0.05
EVERYWHERE = {"event", "level", "timestamp", "job_id", "instance_id", "attempt"}


def until(fact: Callable[[], Any], *, within_s: float = WITHIN_S, of: Callable[[], object] = str) -> Any:
    """The first true answer of `fact`; fails with `of()` when none comes in time."""
    deadline = time.monotonic() + within_s
    while True:
        if answer := fact():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s; {of()}")
        time.sleep(LOOK_S)


def bare_environment(folder: Path) -> dict[str, str]:
    """What a process of ours needs and no more; PYTHONPATH, where the code under test is not the one installed."""
    given = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return {"PATH": os.defpath, "HOME": str(folder), "BLOGWORKER_ENV_FILE": ""} | given


class Program:
    """A running `blogworker` command: a fork, which spares each its imports, or an interpreter of its own."""

    def __init__(
        self, arguments: tuple[str, ...], *, folder: Path, environment: dict[str, str], forks: Forks | None = None
    ) -> None:
        self.log = folder / f"{uuid4().hex}.log"
        self.errors = self.log.with_suffix(".err")
        whole = bare_environment(folder) | environment
        self.process: subprocess.Popen[bytes] | Child
        if forks is not None and "LD_PRELOAD" not in whole:
            self.process = forks.start(arguments, folder=folder, environment=whole, out=self.log, err=self.errors)
            return
        with self.log.open("wb") as out, self.errors.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "blogworker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=whole,
            )

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines, those written whole."""
        lines = self.log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of one event."""
        return [event for event in self.lines() if event["event"] == name]

    def undocumented(self) -> list[dict[str, Any]]:
        """Its log lines whose keys are not those that the table of events promises."""
        wrong = []
        for line in self.lines():
            always, perhaps = keys_of(line["event"])
            if not always <= line.keys() <= always | perhaps | EVERYWHERE:
                wrong.append(line)
        return wrong

    def logged(self, name: str) -> dict[str, Any]:
        """The first event of a name, once it is there."""
        found: list[dict[str, Any]] = until(lambda: self.events(name), of=self.said)
        return found[0]

    def said(self) -> str:
        return f"code {self.process.poll()}:\n{self.log.read_text()[-4000:]}\n{self.errors.read_text()[-2000:]}"

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, *, within_s: float = WITHIN_S) -> int:
        """Its exit code, once it has ended."""
        until(lambda: self.process.poll() is not None, within_s=within_s, of=self.said)
        return int(self.process.returncode or 0)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Vendors:
    """A running simulator: its dials, its counters and the settings of a worker that talks to it."""

    url: str
    client: httpx2.Client
    speed: float

    @property
    def environment(self) -> dict[str, str]:
        return settings_for(self.url) | {
            "OPENAI_RPM": str(round(450 * self.speed)),
            "OPENAI_TPM": str(round(450_000 * self.speed)),
            "REPLICATE_RPM": str(round(600 * self.speed)),
            "REPLICATE_READS_RPM": str(round(3_000 * self.speed)),
            "WIX_RPM": str(round(200 * self.speed)),
            "REPLICATE_POLL_INTERVAL": str(0.5 / self.speed),
            "WIX_MEDIA_POLL_INTERVAL": str(1 / self.speed),
        }

    def get(self, path: str, **query: str) -> Any:
        answer = self.client.get(f"{self.url}/__sim/{path}", params=query)
        answer.raise_for_status()
        return answer.json()

    def set(self, path: str, **values: object) -> None:
        self.client.post(f"{self.url}/__sim/{path}", json=values).raise_for_status()

    def forgive(self) -> None:
        """No more faults."""
        self.client.delete(f"{self.url}/__sim/faults").raise_for_status()

    def posts(self, *sites: str) -> list[dict[str, Any]]:
        """What stands on these sites."""
        return [post for site in sites for post in self.get("wix/posts", site=site, content="false")["posts"]]

    def duplicates(self, *sites: str) -> list[dict[str, Any]]:
        return [twice for twice in self.get("stats")["wix"]["duplicates"] if twice["site"] in sites]


@contextmanager
def simulator(folder: Path, forks: Forks, *, speed: float) -> Iterator[Vendors]:
    url_file = folder / "url"
    arguments = ("simulate", "--port", "0", "--speed", str(speed), "--url-file", str(url_file))
    program = Program(arguments, folder=folder, environment={}, forks=forks)
    try:
        until(lambda: url_file.exists() and url_file.read_text(), of=program.said)
        with httpx2.Client(timeout=10) as client:
            vendors = Vendors(url_file.read_text(), client, speed)
            vendors.set("options", openai_tail=0.0, replicate_cold=0.0)  # answers that take minutes test nothing here
            yield vendors
    finally:
        program.kill()


@pytest.fixture(scope="session")
def quick_vendors(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Vendors]:
    with simulator(tmp_path_factory.mktemp("quick"), forks, speed=SPEED) as running:
        yield running


@pytest.fixture
def vendors(quick_vendors: Vendors) -> Iterator[Vendors]:
    """Vendors so quick that a blog takes about a second. Faults end with the test."""
    yield quick_vendors
    quick_vendors.forgive()


@pytest.fixture(scope="session")
def slow_vendors(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Vendors]:
    """Vendors as slow as life: a blog takes half a minute."""
    with simulator(tmp_path_factory.mktemp("slow"), forks, speed=1) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Queue:
    """The database of a test, as psql would show it."""

    connection: psycopg.Connection[dict[str, Any]]

    def run(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        cursor = self.connection.execute(text.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, text: str, *parameters: object) -> Any:
        return next(iter(self.run(text, *parameters)[0].values()))

    def add(self, site: str, *keywords: str, **columns: object) -> list[int]:
        """Keyword blogs of one site."""
        return [self.add_blog(site, "keyword", {"keyword": word}, **columns) for word in keywords]

    def add_blog(self, site: str, source_type: str, data: dict[str, Any], *, publish_in_s: float | None = None) -> int:
        return int(
            self.value(
                "select id from enqueue_blog(%s, %s, null, %s, "
                "publish_at => clock_timestamp() + make_interval(secs => %s))",
                site,
                source_type,
                Jsonb(data),
                publish_in_s,
            )
        )

    def jobs(self, *columns: str) -> list[tuple[Any, ...]]:
        """Columns of all jobs, by id."""
        rows = self.run(f"select {', '.join(columns)} from blog_generations order by id")
        return [tuple(row.values()) for row in rows]

    def count(self, condition: str) -> int:
        return int(self.value(f"select count(*) from blog_generations where {condition}"))

    def queue_is_empty(self) -> bool:
        return self.count("status <> 'DONE'") == 0

    def told(self) -> str:
        return "\n".join(str(job) for job in self.jobs("id", "instance_id", "status", "stage", "failures", "error"))


@pytest.fixture
def queue(database_url: str) -> Iterator[Queue]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        yield Queue(connection)


@pytest.fixture
def site() -> str:
    """An instance id that no other test uses: the vendors outlive a test."""
    return str(uuid4())


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path, database_url: str, forks: Forks) -> Iterator[Start]:
    """Starts `blogworker run` against some vendors; whatever still runs at the end is killed."""
    started: list[Program] = []

    def begin(vendors: Vendors, *arguments: str, **environment: str) -> Program:
        program = Program(
            ("run", *arguments),
            folder=tmp_path,
            environment={
                **vendors.environment,
                "DATABASE_URL": database_url,
                "LOG_LEVEL": "debug",
                "BLOGWORKER_LOG_FORMAT": "json",
                "BLOGWORKER_RETRY_BASE": "0.2",
                "BLOGWORKER_RETRY_CAP": "1",
                **environment,
            },
            forks=forks,
        )
        started.append(program)
        return program

    yield begin
    for program in started:
        program.kill()
    assert [fault for program in started for fault in program.undocumented()] == []
