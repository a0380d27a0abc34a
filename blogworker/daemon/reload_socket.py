"""Takes new settings from `systemctl reload`, through a socket in the unit's runtime directory.

systemd reads a unit's settings file and credentials only when it starts a process. So the reload of the unit starts
one, with the new values, and this process sends them here. The directory belongs to the worker's user alone.
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    connect_unix,
    create_unix_listener,
    fail_after,
)
from anyio.abc import SocketListener, SocketStream, TaskStatus

from blogworker.daemon.reload import Reloaded
from blogworker.errors import SettingsError
from blogworker.telemetry import get_logger

SOCKET = "reload.sock"
RUNTIME = "RUNTIME_DIRECTORY"
LARGEST = 1_000_000  # bytes
ARRIVE_S = 5.0
DELIVERED_S = 25.0  # longer than a reload may take

log = get_logger()

Reload = Callable[[Mapping[str, str]], Awaitable[Reloaded]]


async def accept_settings(reload: Reload, *, task_status: TaskStatus[None]) -> None:
    """Serve until cancelled. Does nothing without a runtime directory, or if the socket cannot be made in it."""
    folder = os.environ.get(RUNTIME, "").partition(":")[0]
    listener = await _listen(Path(folder) / SOCKET) if folder else None
    task_status.started()
    if listener is not None:
        async with listener:
            await listener.serve(partial(_answer, reload))


async def _listen(path: Path) -> SocketListener | None:
    try:
        return await create_unix_listener(path, mode=0o600)
    except OSError as error:
        log.warning("reload_socket_refused", error=f"{path}: {(error.strerror or str(error)).lower()}")
        return None


async def _answer(reload: Reload, stream: SocketStream) -> None:
    async with stream:
        try:
            with fail_after(ARRIVE_S):
                variables = json.loads(await _line(stream))
            if not isinstance(variables, dict):
                return
        except (ValueError, TimeoutError, EndOfStream, ClosedResourceError, OSError):
            return  # a caller that sends no settings gets no answer
        found = await reload({str(name): str(value) for name, value in variables.items()})
        await stream.send(json.dumps(asdict(found)).encode() + b"\n")


async def _line(stream: SocketStream) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        received += await stream.receive()
        if len(received) > LARGEST:
            raise ValueError("too long")
    return received


async def deliver_settings(folder: Path, variables: Mapping[str, str]) -> Reloaded:
    """Send settings to the worker with this runtime directory, and return what became of them.

    Raises SettingsError if no worker answers.
    """
    try:
        with fail_after(DELIVERED_S):
            async with await connect_unix(folder / SOCKET) as stream:
                await stream.send(json.dumps(dict(variables)).encode() + b"\n")
                return Reloaded(**json.loads(await _line(stream)))
    except (OSError, EndOfStream, TimeoutError, BrokenResourceError) as error:
        reason = getattr(error, "strerror", None) or "no answer"
        raise SettingsError(f"no worker takes settings at {folder / SOCKET}: {reason.lower()}") from error
