"""A server that follows no protocol: the test decides every byte that it writes, over real TCP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    IncompleteRead,
    create_task_group,
    create_tcp_listener,
)
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

GONE = (BrokenResourceError, ClosedResourceError, EndOfStream, IncompleteRead, ConnectionError)
Write = Callable[[bytes], Awaitable[None]]
Behaviour = Callable[[Write], Awaitable[None]]


@dataclass
class Heard:
    """One request, as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Hostile:
    """Behaves at each path as configured; `*` is for all other paths. Closes the connection after each answer."""

    port: int = 0
    at: dict[str, bytes | Behaviour] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0
    deaf: bool = False  # closes each connection at once
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        try:
            async with stream:
                if self.deaf:
                    return
                request = await _request(BufferedByteReceiveStream(stream))
                self.heard.append(request)
                path = request.line.split(" ")[1].partition("?")[0]
                behaviour = self.at.get(path, self.at.get("*", answer(b"{}")))
                await (stream.send(behaviour) if isinstance(behaviour, bytes) else behaviour(stream.send))
        except GONE:
            return


async def _request(stream: BufferedByteReceiveStream) -> Heard:
    head = (await stream.receive_until(b"\r\n\r\n", 100_000)).decode("latin-1")
    line, *fields = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (told.partition(": ") for told in fields)}
    return Heard(line, headers, await stream.receive_exactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def listening(tls: SSLContext | None = None) -> AsyncIterator[Hostile]:
    server = Hostile(scheme="https" if tls else "http")
    async with await create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as tasks:
        server.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
        way = TLSListener(listener, tls, standard_compatible=False) if tls else listener
        tasks.start_soon(way.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()


def answer(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    """A well-formed answer, apart from what the headers say."""
    told = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told.items()), "connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
