"""Worker processes, and a supervisor that restarts them when they exit, as systemd does."""

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals

from anyio import CancelScope, create_task_group, current_time, move_on_after, open_process, sleep
from anyio.abc import Process

USAGE = 2  # exit code: a setting is wrong, or the database is incompatible
START_TIMEOUT_S = 15.0
RESTART_S = 0.2  # delay before the restart of a worker that was not killed
STOP_TIMEOUT_S = 15.0

Command = Callable[[str], Sequence[str]]  # from a worker's name to the command that runs it


def worker(name: str) -> Sequence[str]:
    return [sys.executable, "-m", "blogworker", "run", "--name", name]


class Fleet:
    """Workers by name, each with its current process. They are stopped at the end of `async with`."""

    def __init__(self, environment: Mapping[str, str], logs: Path, *, command: Command = worker) -> None:
        self._environment = environment
        self._logs = logs
        self._command = command
        self._processes: dict[str, Process] = {}
        self._incompatible_until = 0.0
        self._stopping: set[int] = set()  # pids that received SIGTERM from this class
        self.exits: Counter[int] = Counter()  # of supervised workers that were not stopped, by exit code
        self.killed = 0  # workers that received SIGKILL from this class

    async def __aenter__(self) -> "Fleet":
        return self

    async def __aexit__(self, *exc: object) -> None:
        with CancelScope(shield=True):
            await self.stop()

    @property
    def running(self) -> list[str]:
        return sorted(name for name, process in self._processes.items() if process.returncode is None)

    def log(self, name: str) -> Path:
        return self._logs / f"{name.replace('/', '-')}.log"

    def pid(self, name: str) -> int | None:
        return self._processes[name].pid if name in self._processes else None

    def send_signal(self, name: str, signal: Signals) -> int | None:
        """Send a signal to a worker. Return its pid, or None if it is not running."""
        process = self._processes.get(name)
        if process is None or process.returncode is not None:
            return None
        process.send_signal(signal)
        self.killed += signal == SIGKILL
        if signal == SIGTERM:
            self._stopping.add(process.pid)
        return process.pid

    def handles(self, name: str, signal: Signals) -> bool:
        """Return whether a worker has a handler for the signal by now. Before that, the signal ends the process."""
        try:
            status = Path(f"/proc/{self.pid(name)}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (signal - 1) & 1)

    def kill_pid(self, pid: int) -> bool:
        """Kill a process if it is a worker or a descendant of a worker. Return whether it was."""
        workers = {process.pid for process in self._processes.values() if process.returncode is None}
        ancestor: int | None = pid
        while ancestor and ancestor not in workers:
            ancestor = _parent(ancestor)
        if not ancestor:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)
            self.killed += pid in workers
        return True

    def expect_incompatible(self, seconds: float) -> None:
        """Do not count exits with code 2 for so long: workers that start meanwhile find an incompatible database."""
        self._incompatible_until = current_time() + seconds + START_TIMEOUT_S

    async def start(self, name: str) -> Process:
        with self.log(name).open("ab") as output:
            self._processes[name] = await open_process(
                self._command(name),
                stdin=None,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        return self._processes[name]

    @asynccontextmanager
    async def supervised(self, names: Sequence[str]) -> AsyncIterator[None]:
        """Run workers of these names during the block, and restart each one that exits."""
        async with self, create_task_group() as supervisors:
            for name in names:
                supervisors.start_soon(self._supervise, name)
            yield
            supervisors.cancel_scope.cancel()

    async def _supervise(self, name: str) -> None:
        while True:
            process = await self.start(name)
            code = await process.wait()
            _kill_group(process.pid)
            was_stopped = code == 0 and process.pid in self._stopping
            self._stopping.discard(process.pid)
            if not was_stopped and (code != USAGE or current_time() > self._incompatible_until):
                self.exits[code] += 1
            if code != -SIGKILL:
                await sleep(RESTART_S)

    async def stop(self) -> None:
        """Stop all workers with SIGTERM, and kill those that do not exit in time."""
        for signal in (SIGCONT, SIGTERM):  # a frozen worker does not handle SIGTERM
            for name in self.running:
                self.send_signal(name, signal)
        with move_on_after(STOP_TIMEOUT_S):
            for process in self._processes.values():
                await process.wait()
        for name in self.running:
            self.send_signal(name, SIGKILL)
            await self._processes[name].wait()
        for process in self._processes.values():
            _kill_group(process.pid)
        self._processes.clear()


def _kill_group(leader: int) -> None:
    """Kill the processes that a worker has started, as systemd does with KillMode=mixed."""
    with suppress(ProcessLookupError):
        os.killpg(leader, SIGKILL)


def _parent(pid: int) -> int | None:
    """Return None if there is no such process, or no /proc."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
