"""A receiver of webhooks: a real HTTP server on a port of this machine, as good or as bad as a test wants it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    Event,
    create_task_group,
    create_tcp_listener,
    fail_after,
    sleep,
    sleep_forever,
)
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

GONE_AWAY = (BrokenResourceError, ClosedResourceError, EndOfStream)


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]


Answering = Callable[[Received, SocketStream], Awaitable[None]]


def status(code: int, *headers: str, body: bytes = b"") -> Answering:
    async def answer(_: Received, stream: SocketStream) -> None:
        lines = [f"HTTP/1.1 {code} Whatever", f"Content-Length: {len(body)}", *headers, "Connection: close", "", ""]
        await stream.send("\r\n".join(lines).encode() + body)

    return answer


async def never(_: Received, stream: SocketStream) -> None:
    await sleep_forever()


async def cut(_: Received, stream: SocketStream) -> None:
    """Close the connection without an answer."""


async def drip(_: Received, stream: SocketStream) -> None:
    """A byte at a time, forever."""
    await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await stream.send(b"x")
        await sleep(0.01)


async def flood(_: Received, stream: SocketStream) -> None:
    await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


@dataclass
class Receiver:
    """`answers`: to the first requests; the last one also to all others. `by_path`: for one endpoint only."""

    port: int = 0
    answers: Sequence[Answering] = (status(200),)
    by_path: dict[str, Answering] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    _changed: Event = field(default_factory=Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def of(self, path: str) -> list[Received]:
        return [each for each in self.received if each.path == path]

    async def until(self, count: int, *, within_s: float = 20) -> list[Received]:
        with fail_after(within_s):
            while len(self.received) < count:
                await self._changed.wait()
        return self.received

    async def handle(self, stream: SocketStream) -> None:
        try:
            async with stream:
                request = await _read(stream)
                turn = len(self.received)
                self.received.append(request)
                self._changed.set()
                self._changed = Event()
                answer = self.by_path.get(request.path, self.answers[min(turn, len(self.answers) - 1)])
                await answer(request, stream)
        except GONE_AWAY:
            pass


async def _read(stream: SocketStream) -> Received:
    buffered = BufferedByteReceiveStream(stream)
    head = (await buffered.receive_until(b"\r\n\r\n", 65_536)).decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await buffered.receive_exactly(int(headers.get("content-length", 0)))
    return Received(head[0].split()[1], headers, body)


@asynccontextmanager
async def receiving(*answers: Answering) -> AsyncIterator[Receiver]:
    listener = await create_tcp_listener(local_host="127.0.0.1")
    receiver = Receiver(answers=answers or (status(200),))
    receiver.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, create_task_group() as serving:
        serving.start_soon(listener.serve, receiver.handle)
        yield receiver
        serving.cancel_scope.cancel()
