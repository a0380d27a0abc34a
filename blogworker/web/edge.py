"""What surrounds every request: its time limit, its end when the client leaves, security headers, a line in the log."""

from collections.abc import MutableMapping
from time import perf_counter
from typing import Any

from anyio import CancelScope, create_task_group, fail_after, get_cancelled_exc_class, sleep_forever
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blogworker.telemetry import get_logger
from blogworker.web.problems import Problem, response_of

REQUEST_S = 60.0
STREAMS = ("/events",)  # server-sent events have no end
READS = ("GET", "HEAD")
CLIENT_LEFT = 499  # in the log, as other servers write it
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",  # the dashboard returns to the page that a form was on
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
log = get_logger()


class Edge:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_defaults(message)}
            await send(message)

        try:
            if scope["path"].endswith(STREAMS):
                await self._app(scope, receive, sending)
            elif scope["method"] in READS:
                await self._answer_read(scope, receive, sending)
                status = status or CLIENT_LEFT
            else:  # a change is completed, also if its client leaves
                with fail_after(REQUEST_S):
                    await self._app(scope, receive, sending)
        except TimeoutError:
            if status:
                raise
            problem = Problem(503, f"the request took longer than {REQUEST_S:.0f} s", headers={"Retry-After": "5"})
            await response_of(problem)(scope, receive, sending)
        except get_cancelled_exc_class():
            if not status:  # the server stops
                stopping = Problem(503, "the server is stopping: try again", headers={"Retry-After": "1"})
                with CancelScope(shield=True):
                    await response_of(stopping)(scope, receive, sending)
            raise
        finally:
            took_s = round(perf_counter() - began, 4)
            log.debug("request_answered", method=scope["method"], path=scope["path"], status=status, duration_s=took_s)

    async def _answer_read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that only reads. Cancel it when its client leaves: nobody needs its statements."""
        failed: Exception | None = None
        async with create_task_group() as tasks:
            tasks.start_soon(_cancel_when_gone, receive, tasks.cancel_scope)
            try:
                with fail_after(REQUEST_S):
                    await self._app(scope, _no_body(), send)
            except Exception as error:  # raised below: a task group would put it into an ExceptionGroup
                failed = error
            tasks.cancel_scope.cancel()
        if failed is not None:
            raise failed


async def _cancel_when_gone(receive: Receive, scope: CancelScope) -> None:
    """Cancel when the client has closed its connection. A body is read and ignored."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _no_body() -> Receive:
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in messages:
            return message
        await sleep_forever()
        raise AssertionError

    return receive


def _with_defaults(message: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    given = list(message.get("headers", ()))
    names = {name.lower() for name, _ in given}
    return given + [(name, value) for name, value in HEADERS.items() if name not in names]
