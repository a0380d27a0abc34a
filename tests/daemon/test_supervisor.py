"""The process around the leases: it notifies systemd's watchdog, and drains on signals."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from anyio import Event, create_task_group, fail_after, sleep, wait_readable
from anyio.lowlevel import checkpoint

from blogworker.daemon import supervisor as supervisor_module
from blogworker.daemon.reload import Reloader
from blogworker.daemon.report import Reporter
from blogworker.daemon.supervisor import Supervisor
from blogworker.db.retrying import DatabaseHealth
from blogworker.errors import SettingsError
from blogworker.settings import Settings, load
from blogworker.telemetry import systemd
from blogworker.telemetry.progress import STALL_S, Progress

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("default_hangup")]

WITHIN_S = 45.0


class Leaseless:
    """An incarnation that waits for its lease: its database is away."""

    def __init__(self) -> None:
        self.drains: list[float] = []
        self.ended = Event()
        self.lost = Event()
        self.former = None
        self.registered = False
        self.used: list[Any] = []
        self.worker = SimpleNamespace(in_flight=0, ended=SimpleNamespace(outcomes={}, settled=0, released=0))

    async def run(self, *, until_empty: bool) -> bool:
        async with create_task_group() as tasks:
            tasks.start_soon(self._until, self.ended, tasks)
            tasks.start_soon(self._until, self.lost, tasks)
        return self.ended.is_set()

    async def _until(self, event: Event, tasks: Any) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    def drain(self, timeout_s: float) -> None:
        self.drains.append(timeout_s)

    async def use(self, settings: Any) -> None:
        self.used.append(settings)


class Lives:
    """A supervisor whose leases are all of that kind."""

    def __init__(self) -> None:
        settings = load({"database": {"url": "postgresql://unused/d"}, "worker": {"name": "w", "drain_timeout": 60}})
        self.leases: list[Leaseless] = []
        nothing = cast("Any", None)  # no look at the database is due while statements fit
        self.reporter = Reporter(Progress(), DatabaseHealth())
        self.supervisor = Supervisor(self._begin, settings.worker, nothing, self.reporter)
        self.supervisor.reloader = Reloader(self._load, lambda: settings, self.supervisor.use)
        self.loads = 0
        self.next: Settings | SettingsError = settings

    def _load(self, delivered: object) -> Settings:
        self.loads += 1
        if isinstance(self.next, SettingsError):
            raise self.next
        return self.next

    def _begin(self, *, former: object) -> Any:
        self.leases.append(Leaseless())
        return self.leases[-1]


@asynccontextmanager
async def running() -> AsyncIterator[Lives]:
    lives = Lives()
    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            tasks.start_soon(lives.reporter.run)
            tasks.start_soon(lives.supervisor.run)
            while not lives.leases:
                await checkpoint()
            yield lives
            lives.leases[-1].ended.set()
            tasks.cancel_scope.cancel()


async def drained(lives: Lives, times: int) -> list[float]:
    while len(lives.leases[-1].drains) < times:
        await sleep(0.001)
    return lives.leases[-1].drains


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as bound:
        bound.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        yield bound


async def received(manager: socket.socket, fact: str) -> list[str]:
    """The first message with a fact."""
    while True:
        await wait_readable(manager)
        if fact in (lines := manager.recv(4096).decode().splitlines()):
            return lines


async def test_the_watchdog_is_fed_without_a_lease(manager: socket.socket) -> None:
    """The database may be away for hours; killed by its watchdog, a worker would lose what it has paid for."""
    async with running() as lives:
        for _ in range(3):
            await received(manager, "WATCHDOG=1")

        lives.leases[0].lost.set()
        await received(manager, "STATUS=waiting for a lease")
        for _ in range(3):
            await received(manager, "WATCHDOG=1")
        assert len(lives.leases) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_a_signal_starts_a_drain(number: signal.Signals) -> None:
    async with running() as lives:
        os.kill(os.getpid(), number)

        assert await drained(lives, 1) == [60]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    return lambda present: monkeypatch.setattr(supervisor_module, "has_terminal", lambda: present)


async def test_a_closed_terminal_drains_and_a_second_term_ends_the_drain(terminal: Callable[[bool], None]) -> None:
    """A terminal that closes may send SIGHUP twice."""
    terminal(True)
    async with running() as lives:
        os.kill(os.getpid(), signal.SIGHUP)
        await drained(lives, 1)
        os.kill(os.getpid(), signal.SIGHUP)
        await sleep(0.01)  # a cut would come with the next turn of the loop
        os.kill(os.getpid(), signal.SIGTERM)

        assert await drained(lives, 2) == [60, 0]
        assert lives.loads == 0


async def test_without_a_terminal_a_hangup_reloads(terminal: Callable[[bool], None]) -> None:
    terminal(False)
    async with running() as lives:
        lives.next = load({"database": {"url": "postgresql://unused/d"}, "worker": {"name": "w", "concurrency": 7}})
        os.kill(os.getpid(), signal.SIGHUP)
        while not lives.leases[-1].used:
            await sleep(0.001)

        assert lives.leases[-1].used[0].worker.concurrency == 7
        assert lives.leases[-1].drains == []


async def test_a_reload_is_announced_to_systemd_and_a_wrong_setting_changes_nothing(
    manager: socket.socket, terminal: Callable[[bool], None]
) -> None:
    terminal(False)
    async with running() as lives:
        lives.reporter.ready()
        await received(manager, "READY=1")
        lives.next = SettingsError("OPENAI_RPM: input should be greater than or equal to 1")
        os.kill(os.getpid(), signal.SIGHUP)

        message = await received(manager, "RELOADING=1")
        assert any(line.startswith("MONOTONIC_USEC=") for line in message)
        await received(manager, "READY=1")
        assert lives.leases[-1].used == []


async def test_a_stalled_part_withholds_the_watchdog_and_one_that_moves_again_feeds_it(manager: socket.socket) -> None:
    """The event loop may run while the claim loop hangs: then a restart is what helps."""
    clock = [0.0]
    progress = Progress(clock=lambda: clock[0])
    progress.expect("claim", 10)
    reporter = Reporter(progress, DatabaseHealth())
    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            tasks.start_soon(reporter.run)
            await received(manager, "WATCHDOG=1")
            clock[0] = 10 + STALL_S + 0.1
            message = await received(manager, "STATUS=starting; stalled: claim")
            assert "WATCHDOG=1" not in message
            progress.expect("claim")
            await received(manager, "WATCHDOG=1")
            tasks.cancel_scope.cancel()


async def test_more_time_is_asked_for_until_the_worker_is_ready_and_while_it_drains(manager: socket.socket) -> None:
    """TimeoutStartSec and TimeoutStopSec need not know how long the database is away or how long jobs run."""
    async with running() as lives:
        await received(manager, "EXTEND_TIMEOUT_USEC=30000000")
        lives.reporter.ready()
        await received(manager, "READY=1")
        assert "EXTEND_TIMEOUT_USEC=30000000" not in await received(manager, "WATCHDOG=1")

        os.kill(os.getpid(), signal.SIGTERM)
        await received(manager, "STOPPING=1")
        await received(manager, "EXTEND_TIMEOUT_USEC=30000000")


async def test_nohup_is_respected() -> None:
    """With nohup a worker is meant to survive its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with running() as lives:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)

            assert await drained(lives, 1) == [60]
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_the_name_of_a_worker_cannot_inject_a_systemd_notification(manager: socket.socket) -> None:
    """A line break would begin another, and half of a surrogate pair was an error that ended the worker."""
    systemd.notify("READY=1", "STATUS=claiming as a\nMAINPID=1\udcff")

    assert manager.recv(1_000) == b"READY=1\nSTATUS=claiming as a\\nMAINPID=1\\udcff"
