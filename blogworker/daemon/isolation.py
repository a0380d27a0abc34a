"""Suspects of killing workers run in a process of their own, one at a time.

Each worker looks for suspects, and starts such a process while there are any. It is `blogworker run --suspects`, a
worker like any other with a lease of its own: what kills it kills nothing else. It ends when no suspect is left, and
when its parent has exited.
"""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anyio import CancelScope, current_time, move_on_after, open_process, sleep
from anyio.abc import Process

from blogworker.db.pool import Database
from blogworker.telemetry import get_logger

FAILED_START_S = 10.0  # a process that ended with an error sooner than this did not get to work
REST_S = 30.0
STOP_S = 5.0  # beyond the drain of the job that it holds
PARENT_ONLY = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
OOM_SCORE_ADJ = "1000"  # where memory runs out, the kernel ends it before its parent

log = get_logger()


def name_of(worker: str) -> str:
    """The name of the process that runs suspects for a worker."""
    return f"{worker[:190]}/suspects"


class Isolation:
    """Starts the process when it is needed, and stops it with the worker."""

    def __init__(self, database: Database, worker: str, *, drain_timeout_s: float) -> None:
        self._database = database
        self._name = name_of(worker)
        self._drain_timeout_s = drain_timeout_s
        self._process: Process | None = None
        self._stop_by: float | None = None  # set once it drains

    async def tick(self) -> None:
        """If suspects wait that no process of this name runs: run them, until none is left."""
        if self._stop_by is not None:
            return
        found = await self._database.one("queue/suspects", name=self._name, within_s=0.0)
        if not found["waiting"] or found["served"]:
            return
        started = current_time()
        log.info("suspects_started", worker=self._name)
        code = await self._run()
        log.info("suspects_ended", worker=self._name, exit_code=code)
        if code:  # what it held need not wait for the end of its lease
            await self._database.execute("queue/end_lease_of", name=self._name)
        if code > 0 and current_time() - started < FAILED_START_S:
            await sleep(REST_S)

    def drain(self) -> None:
        """Finish the job that it holds, and end; told twice: release the job at once."""
        if self._stop_by is None:
            self._stop_by = current_time() + self._drain_timeout_s + STOP_S
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def _run(self) -> int:
        environment = {key: value for key, value in os.environ.items() if key not in PARENT_ONLY}
        command = [sys.executable, "-m", "blogworker", "run", "--suspects", "--name", self._name]
        command += ["--parent", str(os.getpid()), "--drain-timeout", str(self._drain_timeout_s)]
        # A session of its own, so that Ctrl-C reaches it once: by its parent, which drains.
        self._process = await open_process(
            command, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env=environment, start_new_session=True
        )
        try:
            return await self._process.wait()
        finally:
            if self._process.returncode is None:
                with CancelScope(shield=True):
                    await self._stop(self._process)

    async def _stop(self, process: Process) -> None:
        """It has as much time from the signal as the worker's own jobs have."""
        if self._stop_by is None:
            self.drain()
        with move_on_after(max(0.0, (self._stop_by or 0.0) - current_time())):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


def raise_oom_score() -> None:
    """Have the kernel end this process first when memory runs out, where it lets us say so."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ, encoding="ascii")


@dataclass(frozen=True, slots=True)
class Role:
    """What a worker is there for."""

    suspects: bool = False  # and nothing else, one at a time
    parent: int | None = None  # the process that it ends with

    @property
    def orphaned(self) -> bool:
        return self.parent is not None and os.getppid() != self.parent


WORKER = Role()
