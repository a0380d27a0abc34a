"""Serves the simulator over TCP in the caller's event loop."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn
from anyio.abc import TaskStatus
from uvicorn.protocols.http.h11_impl import H11Protocol

from blogworker.simulator.app import create_app
from blogworker.simulator.options import SimulatorOptions
from blogworker.simulator.scenario import Scenario

BACKLOG = 2048


class _Protocol(H11Protocol):
    """Gives the application its transport, so that it can reset the connection."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Installs no signal handlers: they belong to the caller. Calls `on_started` when it accepts connections."""

    on_started: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    options: SimulatorOptions,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    scenario: Scenario | None = None,
    task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. Once it accepts connections, it reports its base URL, such as `http://127.0.0.1:8123`.

    Port 0 takes a free port. Raises OSError if the address is in use.
    """
    listener = _bind(host, port)
    app = create_app(options, scenario=scenario)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
    )
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        try:
            await tasks.start(_run, server, listener)
            task_status.started(f"http://{host}:{listener.getsockname()[1]}")
            await anyio.sleep_forever()
        finally:
            app.state.world.close()
            server.should_exit = True


@asynccontextmanager
async def running_simulator(options: SimulatorOptions | None = None) -> AsyncIterator[str]:
    """Run a simulator on a free port for the duration of the block; yields its base URL."""
    async with anyio.create_task_group() as tasks:
        yield await tasks.start(serve, options or SimulatorOptions())
        tasks.cancel_scope.cancel()


async def _run(server: _Server, listener: socket.socket, *, task_status: TaskStatus[None]) -> None:
    server.on_started = task_status.started
    # A cancelled serve() leaves connections open, so uvicorn has to finish its own shutdown.
    with anyio.CancelScope(shield=True):
        await server.serve(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)  # noqa: FBT003 - it takes no keyword
    return listener
