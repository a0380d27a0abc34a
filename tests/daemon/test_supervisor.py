"""The process around the leases: it notifies systemd's watchdog, and drains on signals."""

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from anyio import Event, create_task_group, fail_after, sleep, wait_readable
from anyio.lowlevel import checkpoint

from blogworker.daemon.supervisor import Supervisor
from blogworker.db.retrying import DatabaseHealth
from blogworker.settings import load
from blogworker.telemetry import systemd

pytestmark = pytest.mark.anyio

WITHIN_S = 45.0


class Leaseless:
    """An incarnation that waits for its lease: its database is away."""

    def __init__(self) -> None:
        self.drains: list[float] = []
        self.ended = Event()
        self.lost = Event()
        self.former = None
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


class Lives:
    """A supervisor whose leases are all of that kind."""

    def __init__(self) -> None:
        settings = load({"database": {"url": "postgresql://unused/d"}, "worker": {"name": "w", "drain_timeout": 60}})
        self.leases: list[Leaseless] = []
        nothing = cast("Any", None)  # no look at the database is due while statements fit
        self.supervisor = Supervisor(self._begin, settings.worker, nothing, DatabaseHealth())

    def _begin(self, *, former: object) -> Any:
        self.leases.append(Leaseless())
        return self.leases[-1]


@asynccontextmanager
async def running() -> AsyncIterator[Lives]:
    lives = Lives()
    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            tasks.start_soon(lives.supervisor.run)
            while not lives.leases:
                await checkpoint()
            yield lives
            lives.leases[-1].ended.set()


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


async def received(manager: socket.socket, fact: str) -> None:
    while True:
        await wait_readable(manager)
        if fact in manager.recv(4096).decode().splitlines():
            return


async def test_the_watchdog_is_fed_without_a_lease(manager: socket.socket) -> None:
    """The database may be away for hours; killed by its watchdog, a worker would lose what it has paid for."""
    async with running() as lives:
        for _ in range(3):
            await received(manager, "WATCHDOG=1")

        lives.leases[0].lost.set()
        await received(manager, "STATUS=waiting for a new lease")
        for _ in range(3):
            await received(manager, "WATCHDOG=1")
        assert len(lives.leases) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
async def test_a_signal_starts_a_drain(number: signal.Signals) -> None:
    """SIGHUP too: a closed terminal, or an operator who expected a reload, silently killed fifty jobs in progress."""
    async with running() as lives:
        os.kill(os.getpid(), number)

        assert await drained(lives, 1) == [60]


async def test_a_second_hangup_does_not_affect_the_drain_and_a_second_term_ends_it() -> None:
    """A terminal that closes may send SIGHUP twice."""
    async with running() as lives:
        os.kill(os.getpid(), signal.SIGHUP)
        await drained(lives, 1)
        os.kill(os.getpid(), signal.SIGHUP)
        await sleep(0.01)  # a cut would come with the next turn of the loop
        os.kill(os.getpid(), signal.SIGTERM)

        assert await drained(lives, 2) == [60, 0]


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
