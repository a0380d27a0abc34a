"""A TCP proxy to the primary that can cut, delay and stall connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from anyio import (
    BrokenResourceError,
    CancelScope,
    ClosedResourceError,
    EndOfStream,
    Event,
    connect_tcp,
    create_task_group,
    create_tcp_listener,
    sleep,
)
from anyio.abc import ByteStream, SocketAttribute

HOST = "127.0.0.1"
DISCONNECTED = (BrokenResourceError, ClosedResourceError, EndOfStream, OSError)


class Proxy:
    """Forwards connections from `port` to the port of Postgres. Faults of the same kind may overlap."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._connections: set[CancelScope] = set()
        self._delay_s = 0.0
        self._cuts = 0
        self._stalls = 0
        self._resumed = Event()

    def set_target(self, target_port: int) -> None:
        """Forward new connections to another server, and close the others."""
        self._target_port = target_port
        self._close_all()

    def _close_all(self) -> None:
        for scope in tuple(self._connections):
            scope.cancel()

    async def cut(self, seconds: float) -> None:
        """Close all connections, and refuse new ones for some seconds."""
        self._cuts += 1
        self._close_all()
        await sleep(seconds)
        self._cuts -= 1

    async def delay(self, seconds: float, *, each_s: float) -> None:
        """Delay every packet by `each_s` for some seconds."""
        self._delay_s += each_s
        await sleep(seconds)
        self._delay_s = max(0.0, self._delay_s - each_s)

    async def stall(self, seconds: float) -> None:
        """Forward nothing for some seconds, with all connections left open."""
        self._stalls += 1
        self._resumed = Event()
        await sleep(seconds)
        self._stalls -= 1
        if not self._stalls:
            self._resumed.set()

    async def serve(self, client: ByteStream) -> None:
        """Forward one accepted connection until it ends."""
        async with client:
            if self._cuts:
                return
            with CancelScope() as scope:
                self._connections.add(scope)
                try:
                    await self._connect(client)
                except* DISCONNECTED:
                    pass
                finally:
                    self._connections.discard(scope)

    async def _connect(self, client: ByteStream) -> None:
        async with await connect_tcp(HOST, self._target_port) as server, create_task_group() as pumps:
            for source, sink in ((client, server), (server, client)):
                pumps.start_soon(partial(self._pump, source, sink, both=pumps.cancel_scope))

    async def _pump(self, source: ByteStream, sink: ByteStream, *, both: CancelScope) -> None:
        try:
            while True:
                data = await source.receive()
                await sleep(self._delay_s)
                while self._stalls:
                    await self._resumed.wait()
                await sink.send(data)
        except DISCONNECTED:
            both.cancel()


@asynccontextmanager
async def running_proxy(target_port: int) -> AsyncIterator[Proxy]:
    """Run a proxy during the block."""
    listener = await create_tcp_listener(local_host=HOST)
    proxy = Proxy(target_port)
    proxy.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.serve)
        yield proxy
        tasks.cancel_scope.cancel()
