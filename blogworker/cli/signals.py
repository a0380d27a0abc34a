"""Stop a command on a signal, after it has cleaned up what it started."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.abc

from blogworker.signals import handled_signals

T = TypeVar("T")


async def until_signal(act: Callable[[], Awaitable[T]]) -> T | None:
    """Return the result of `act`; None if a signal cancelled it. More signals do not disturb the cleanup of `act`."""
    result: T | None = None
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()
        await tasks.start(_cancel_on_signal, scope)
        with scope:
            result = await act()
        tasks.cancel_scope.cancel()
    return result


async def _cancel_on_signal(scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(*handled_signals()) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
