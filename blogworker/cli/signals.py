"""Commands that start things take them down again, whatever ends the command."""

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.abc

T = TypeVar("T")


async def until_signal(act: Callable[[], Awaitable[T]]) -> T | None:
    """What `act` gives; None when a signal ended it, after it has cleaned up."""
    result: T | None = None
    async with anyio.create_task_group() as tasks:
        await tasks.start(_cancel_on_signal, tasks.cancel_scope)
        result = await act()
        tasks.cancel_scope.cancel()
    return result


async def _cancel_on_signal(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
