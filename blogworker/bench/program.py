"""Python modules that a bench runs as processes and starts at the same moment."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE

from anyio import CancelScope, open_process
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.to_thread import run_sync

LINE_BYTES = 100_000


class Program:
    """A running module. It prints a line when it is ready, and waits for `begin`."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        self._process = process
        self._output = BufferedByteReceiveStream(process.stdout)

    async def line(self) -> bytes:
        """Return the next line of its output. Raises anyio.IncompleteRead if it has exited."""
        return await self._output.receive_until(b"\n", LINE_BYTES)

    async def begin(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        await self._process.stdin.send(b"go\n")

    async def wait(self) -> None:
        await self._process.wait()


@asynccontextmanager
async def program(module: str, *arguments: str) -> AsyncIterator[Program]:
    """Run a module, and kill it at the end of the block if it still runs."""
    process = await open_process(
        [sys.executable, "-m", module, *arguments], stdin=PIPE, stdout=PIPE, stderr=None, env=dict(os.environ)
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        with CancelScope(shield=True):
            await process.wait()


async def wait_for_begin() -> None:
    """In the module: report that it is ready, and wait for `begin`."""
    print("ready", flush=True)  # noqa: T201 - read by the bench
    await run_sync(sys.stdin.readline)
