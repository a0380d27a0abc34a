"""Suspects of killing workers run in a process of their own, one at a time.

Each worker looks for suspects, and starts such a process while there are any. It is `blogworker run --suspects`, a
worker like any other with a lease of its own: what kills it kills nothing else. It ends when no suspect is left, and
when its parent has exited.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from anyio import CancelScope, current_time, move_on_after, open_process, sleep
from anyio.abc import Process

from blogworker.db.pool import Database
from blogworker.telemetry import get_logger

LOOK_S = 1.0
WITHIN_S = 15.0  # a suspect that rests no longer than this is waited for
FAILED_START_S = 10.0  # a process that ended with an error sooner than this did not get to work
REST_S = 30.0
STOP_S = 5.0  # beyond the drain of the job that it holds
OF_THE_PARENT = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
FIRST_TO_GO = "1000"  # where memory runs out, the kernel ends it before its parent

log = get_logger()


def name_of(worker: str) -> str:
    """The name of the process that runs suspects for a worker."""
    return f"{worker[:190]}/suspects"


class Isolation:
    """Starts the process when it is needed, and sees to its end."""

    def __init__(self, database: Database, worker: str, *, drain_timeout_s: float) -> None:
        self._database = database
        self._worker = worker
        self._drain_timeout_s = drain_timeout_s
        self._process: Process | None = None

    async def tick(self) -> None:
        """If suspects wait that nobody runs for this worker: run them, until none is left."""
        found = await self._database.one("queue/suspects", name=name_of(self._worker), within_s=0.0)
        if not found["waiting"] or found["served"]:
            return
        started = current_time()
        log.info("suspects_started", worker=name_of(self._worker))
        code = await self._run()
        log.info("suspects_ended", worker=name_of(self._worker), exit_code=code)
        if code:  # what it held need not wait for the end of its lease
            await self._database.execute("queue/end_lease_of", name=name_of(self._worker))
        if code and current_time() - started < FAILED_START_S:
            await sleep(REST_S)

    def drain(self) -> None:
        """Finish the job that it holds, and end."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def _run(self) -> int:
        environment = {key: value for key, value in os.environ.items() if key not in OF_THE_PARENT}
        command = [sys.executable, "-m", "blogworker", "run", "--suspects", "--name", name_of(self._worker)]
        command += ["--parent", str(os.getpid()), "--drain-timeout", str(self._drain_timeout_s)]
        self._process = await open_process(command, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env=environment)
        try:
            return await self._process.wait()
        finally:
            with CancelScope(shield=True):
                await self._stop(self._process)

    async def _stop(self, process: Process) -> None:
        if process.returncode is None:
            process.terminate()
            with move_on_after(self._drain_timeout_s + STOP_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


def volunteer() -> None:
    """Be the first to go when memory runs out."""
    if (path := Path("/proc/self/oom_score_adj")).exists():
        path.write_text(FIRST_TO_GO, encoding="ascii")


@dataclass(frozen=True, slots=True)
class Role:
    """What a worker is there for."""

    suspects: bool = False  # and nothing else, one at a time
    parent: int | None = None  # the process that it ends with

    @property
    def orphaned(self) -> bool:
        return self.parent is not None and os.getppid() != self.parent


WORKER = Role()
