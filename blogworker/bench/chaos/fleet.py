"""Worker processes that are started again the moment they end, as systemd does."""

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals

from anyio import CancelScope, create_task_group, current_time, move_on_after, open_process, sleep
from anyio.abc import Process

USAGE = 2  # exit code: the database cannot work as it is
STARTING_S = 15.0  # the most that a start takes
RESTART_S = 0.2  # until a worker that ended by itself is started again
STOP_GRACE_S = 15.0

Command = Callable[[str], Sequence[str]]  # what to run for the worker of a name


def worker(name: str) -> Sequence[str]:
    return [sys.executable, "-m", "blogworker", "run", "--name", name]


class Fleet:
    """The workers by their stable names, each with its present process."""

    def __init__(self, environment: Mapping[str, str], logs: Path, *, command: Command = worker) -> None:
        self._environment = environment
        self._logs = logs
        self._command = command
        self._running: dict[str, Process] = {}
        self.exits: Counter[int] = Counter()  # by code
        self.killed = 0  # workers killed by us
        self._unfit_until = 0.0

    @property
    def running(self) -> list[str]:
        return sorted(name for name, process in self._running.items() if process.returncode is None)

    def log(self, name: str) -> Path:
        return self._logs / f"{name.replace('/', '-')}.log"

    def tell(self, name: str, signal: Signals) -> int | None:
        """Send a signal; the pid that was hit, None when the worker is just not there."""
        process = self._running.get(name)
        if process is None or process.returncode is not None:
            return None
        process.send_signal(signal)
        self.killed += signal == SIGKILL
        return process.pid

    def kill_pid(self, pid: int) -> bool:
        """Kill this process, if it is a worker or one that a worker started."""
        ours = {process.pid for process in self._running.values() if process.returncode is None}
        ancestor: int | None = pid
        while ancestor and ancestor not in ours:
            ancestor = _parent(ancestor)
        if not ancestor:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, SIGKILL)
            self.killed += pid in ours
        return True

    def pid(self, name: str) -> int | None:
        return self._running[name].pid if name in self._running else None

    async def start(self, name: str) -> Process:
        """Start the worker of this name."""
        with self.log(name).open("ab") as output:
            self._running[name] = await open_process(
                self._command(name),
                stdin=None,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        return self._running[name]

    def expect_refusals(self, seconds: float) -> None:
        """The database will not fit for so long: workers that are started meanwhile may say so and end."""
        self._unfit_until = current_time() + seconds + STARTING_S

    async def keep(self, name: str) -> None:
        """Have the worker run for ever, whoever kills it."""
        while True:
            process = await self.start(name)
            code = await process.wait()
            _end_group(process.pid)
            if (
                code != USAGE or current_time() > self._unfit_until
            ):  # a start that is refused for a missing grant is what is promised
                self.exits[code] += 1
            if code != -SIGKILL:
                await sleep(RESTART_S)

    async def stop(self) -> None:
        """End all of them in good order; kill who does not go."""
        for signal in (SIGCONT, SIGTERM):  # a frozen one hears nothing
            for name in self.running:
                self.tell(name, signal)
        with move_on_after(STOP_GRACE_S):
            for process in self._running.values():
                await process.wait()
        for name in self.running:
            self.tell(name, SIGKILL)
            await self._running[name].wait()
        for process in self._running.values():
            _end_group(process.pid)


@asynccontextmanager
async def kept(fleet: Fleet, names: list[str]) -> AsyncIterator[Fleet]:
    """The fleet, with workers of these names while the block lasts."""
    try:
        async with create_task_group() as keepers:
            for name in names:
                keepers.start_soon(fleet.keep, name)
            yield fleet
            keepers.cancel_scope.cancel()
    finally:
        with CancelScope(shield=True):
            await fleet.stop()


def _end_group(leader: int) -> None:
    """What a worker started goes with it, as under systemd with KillMode=mixed."""
    with suppress(ProcessLookupError):
        os.killpg(leader, SIGKILL)


def _parent(pid: int) -> int | None:
    """None when there is no such process, or no /proc to ask."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
