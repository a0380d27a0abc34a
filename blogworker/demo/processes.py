"""The processes of the demo. Each has its own session, so that Ctrl-C reaches only the demo, and is always stopped."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM

from anyio import CancelScope, move_on_after, open_process, sleep
from anyio import Path as AsyncPath
from anyio.abc import Process

from blogworker.errors import BlogworkerError

STOP_GRACE_S = 10.0
POLL_S = 0.05
TAIL_LINES = 5


@asynccontextmanager
async def running_process(*arguments: str, environment: Mapping[str, str], log: Path) -> AsyncIterator[Process]:
    """Run `blogworker ARGUMENTS` for the duration of the block, with its output in `log`."""
    with log.open("wb") as output:
        process = await open_process(
            [sys.executable, "-m", "blogworker", *arguments],
            stdin=None,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with CancelScope(shield=True):
            await _stop(process)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(SIGTERM)
    with move_on_after(STOP_GRACE_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()


async def read_when_written(path: Path, process: Process, log: Path) -> str:
    """Wait for a file that a process writes when it is ready; returns its text.

    Raises BlogworkerError if the process fails.
    """
    while not await AsyncPath(path).exists() or not await AsyncPath(path).read_text():
        require_running(process, log)
        await sleep(POLL_S)
    return await AsyncPath(path).read_text()


def require_running(process: Process, log: Path) -> None:
    """Raise BlogworkerError, with the end of the log, if the process has failed."""
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        end = " | ".join(lines) or "it is empty"
        raise BlogworkerError(f"a process of the demo ended with {process.returncode}; the end of {log.name}: {end}")
