"""The endpoint of a worker's own metrics: GET and HEAD of one path, nothing else.

It must not disturb the jobs, whatever its clients do: a request has LIMIT_S for everything and h11's limit for its
head, and no more than MOST_CLIENTS are answered at the same time. If the port is taken, it is tried again for ever.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import h11
from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    create_tcp_listener,
    move_on_after,
    sleep,
    sleep_forever,
)
from anyio.abc import SocketAttribute, SocketStream

from blogworker.ops.exposition import CONTENT_TYPE
from blogworker.telemetry import get_logger

PATH = b"/metrics"
LIMIT_S = 5.0
MOST_CLIENTS = 8
MOST_HEAD = 8_192  # bytes
RETRY_S = 5.0  # a restarted worker may find the port of its predecessor
GONE = (OSError, BrokenResourceError, ClosedResourceError, EndOfStream)

log = get_logger()


class Endpoint:
    """Serves a text. `text`: returns it."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._clients = 0

    async def serve(self, host: str, port: int) -> NoReturn:
        """Serve for ever."""
        refused = ""
        while True:
            try:
                listener = await create_tcp_listener(local_host=host, local_port=port)
            except OSError as error:
                if refused != (refused := str(error)):
                    log.warning("metrics_endpoint_refused", address=address(host, port), error=refused)
                await sleep(RETRY_S)
                continue
            async with listener:
                found = address(host, listener.extra(SocketAttribute.local_port))  # noqa: S610 - of anyio, not of Django
                log.info("metrics_endpoint_started", address=f"http://{found}{PATH.decode()}")
                await listener.serve(self._handle)
                await sleep_forever()

    async def _handle(self, stream: SocketStream) -> None:
        with self._counted() as served:
            try:
                with move_on_after(LIMIT_S):
                    async with stream:
                        if served:
                            await self._answer(stream)
            except GONE:
                return
            except Exception as error:  # a fault of the metrics must not end the worker
                log.exception("request_failed", error=type(error).__name__)

    @contextmanager
    def _counted(self) -> Iterator[bool]:
        self._clients += 1
        try:
            yield self._clients <= MOST_CLIENTS
        finally:
            self._clients -= 1

    async def _answer(self, stream: SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        try:
            while (request := connection.next_event()) is h11.NEED_DATA:
                connection.receive_data(await stream.receive(MOST_HEAD))
            status, body = self._found(request)
        except h11.RemoteProtocolError as error:
            status, body = error.error_status_hint, b""
        if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        headers = [("content-type", CONTENT_TYPE), ("content-length", str(len(body))), ("connection", "close")]
        headers += [("allow", "GET, HEAD")] if status == 405 else []
        sent = connection.send(h11.Response(status_code=status, headers=headers)) or b""
        if not (isinstance(request, h11.Request) and request.method == b"HEAD"):
            sent += connection.send(h11.Data(data=body)) or b""
        await stream.send(sent + (connection.send(h11.EndOfMessage()) or b""))

    def _found(self, request: object) -> tuple[int, bytes]:
        """Return the status and the body for a request."""
        if not isinstance(request, h11.Request):  # the client has sent nothing
            raise EndOfStream
        if request.target.partition(b"?")[0] != PATH:
            return 404, b""
        if request.method not in (b"GET", b"HEAD"):
            return 405, b""
        return 200, self._text().encode()


def address(host: str, port: int) -> str:
    """Return an address as a URL has it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
