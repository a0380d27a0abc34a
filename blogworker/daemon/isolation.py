"""Run suspects, one at a time, in a separate process.

A *suspect* is a job that may have killed its worker (`queue/rescue.py`). Each worker looks for suspects, and runs
`blogworker run --suspects` in a fork while there are any (`forkserver.py`). This process is a worker with its own
lease, so a job that kills it affects no other job. It ends when no suspect is left, or when its parent has exited.
"""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from anyio import CancelScope, current_time, move_on_after, sleep

from blogworker.daemon.forkserver import ForkServer
from blogworker.db.pool import Database
from blogworker.reloading import known_variables
from blogworker.telemetry import get_logger

FAILED_START_S = 10.0  # a process that fails sooner than this did not start properly
REST_S = 30.0
STOP_S = 5.0  # after the drain timeout, before the process is killed
OOM_SCORE_ADJ = "1000"  # when memory runs out, the kernel kills this process before its parent

log = get_logger()


def name_of(worker: str) -> str:
    """Return the worker name of the process that runs suspects for a worker."""
    return f"{worker[:190]}/suspects"


class Isolation:
    """Starts the process when suspects wait, and stops it with the worker."""

    def __init__(self, database: Database, forks: ForkServer, worker: str, *, drain_timeout_s: float) -> None:
        self.drain_timeout_s = drain_timeout_s
        self._database = database
        self._forks = forks
        self._name = name_of(worker)
        self._runs = False
        self._stop_by: float | None = None  # set when it drains

    async def tick(self) -> None:
        """If suspects wait and no process of this name runs, start one and wait until it ends."""
        if self._stop_by is not None:
            return
        found = await self._database.one("queue/suspects", name=self._name, within_s=0.0)
        if not found["waiting"] or found["served"]:
            return
        if not self._forks.alive:  # systemd starts a new worker, which has a new one
            log.error("fork_server_died", worker=self._name)
            signal.raise_signal(signal.SIGTERM)
            return
        started = current_time()
        log.info("suspect_process_started", worker=self._name)
        code = await self._run()
        log.info("suspect_process_ended", worker=self._name, exit_code=code)
        if code:  # its jobs can be rescued before its lease ends
            await self._database.execute("queue/end_lease_of", name=self._name)
        if code > 0 and current_time() - started < FAILED_START_S:
            await sleep(REST_S)

    def drain(self) -> None:
        """Let the process finish its job and exit. A second call makes it release the job at once."""
        if self._stop_by is None:
            self._stop_by = current_time() + self.drain_timeout_s + STOP_S
        if self._runs:
            self._forks.signal(signal.SIGTERM)

    async def _run(self) -> int:
        command = ["run", "--suspects", "--name", self._name, "--parent", str(self._forks.pid)]
        # The fork server has the environment from before a reload.
        environment = {name: os.environ.get(name) for name in known_variables()}
        self._forks.start([*command, "--drain-timeout", str(self.drain_timeout_s)], environment)
        self._runs = True
        try:
            return await self._wait()
        finally:
            if self._runs:
                with CancelScope(shield=True):
                    await self._stop()

    async def _wait(self) -> int:
        code = await self._forks.wait()
        self._runs = False
        return code

    async def _stop(self) -> None:
        """Stop the process. It has as much time to drain as the worker's own jobs."""
        if self._stop_by is None:
            self.drain()
        with move_on_after(max(0.0, (self._stop_by or 0.0) - current_time())):
            await self._wait()
        if self._runs:
            self._forks.signal(signal.SIGKILL)
            await self._wait()


def raise_oom_score() -> None:
    """Ask the kernel to kill this process first when memory runs out, if that is permitted."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE_ADJ, encoding="ascii")


@dataclass(frozen=True, slots=True)
class Role:
    """The kind of a worker."""

    suspects: bool = False  # it runs suspects only
    parent: int | None = None  # the process id of the parent, with which it ends

    @property
    def orphaned(self) -> bool:
        return self.parent is not None and os.getppid() != self.parent


WORKER = Role()
