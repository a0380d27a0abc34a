"""A wire to Postgres that can be cut, slowed and made to fall silent."""

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
GONE = (BrokenResourceError, ClosedResourceError, EndOfStream, OSError)


class Link:
    """Carries bytes between its own port and that of Postgres."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._open: set[CancelScope] = set()
        self._delay_s = 0.0
        self._refusing = 0  # how many cuts are in force
        self._silences = 0
        self._sounds = Event()

    async def cut(self, seconds: float) -> None:
        """End every connection, and refuse new ones for so long."""
        self._refusing += 1
        for scope in tuple(self._open):
            scope.cancel()
        await sleep(seconds)
        self._refusing -= 1

    async def delay(self, seconds: float, *, each_s: float) -> None:
        """Hold every packet for `each_s`, for so many seconds."""
        self._delay_s += each_s
        await sleep(seconds)
        self._delay_s = max(0.0, self._delay_s - each_s)

    async def fall_silent(self, seconds: float) -> None:
        """Carry nothing in either direction; no connection is told."""
        self._silences += 1
        self._sounds = Event()
        await sleep(seconds)
        self._silences -= 1
        if not self._silences:
            self._sounds.set()

    async def serve(self, client: ByteStream) -> None:
        """One connection, from accept to end."""
        async with client:
            if self._refusing:
                return
            with CancelScope() as scope:
                self._open.add(scope)
                try:
                    await self._join(client)
                except* GONE:
                    pass
                finally:
                    self._open.discard(scope)

    async def _join(self, client: ByteStream) -> None:
        async with await connect_tcp(HOST, self._target_port) as server, create_task_group() as pumps:
            for source, sink in ((client, server), (server, client)):
                pumps.start_soon(partial(self._pump, source, sink, until=pumps.cancel_scope))

    async def _pump(self, source: ByteStream, sink: ByteStream, *, until: CancelScope) -> None:
        try:
            while True:
                data = await source.receive()
                await sleep(self._delay_s)
                while self._silences:
                    await self._sounds.wait()
                await sink.send(data)
        except GONE:
            until.cancel()


@asynccontextmanager
async def link(target_port: int) -> AsyncIterator[Link]:
    """A link that carries while the block lasts."""
    listener = await create_tcp_listener(local_host=HOST)
    carrier = Link(target_port)
    carrier.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, create_task_group() as tasks:
        tasks.start_soon(listener.serve, carrier.serve)
        yield carrier
        tasks.cancel_scope.cancel()
