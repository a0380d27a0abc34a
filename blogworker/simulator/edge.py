"""The edge of every provider: handles one call from the request to the last byte, and applies its fault.

read body -> identify -> draw fault -> admit (auth, quota) -> apply fault -> handler -> alter -> record -> send
"""

import json
import logging
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from blogworker.simulator.faults import Fault
from blogworker.simulator.world import World

log = logging.getLogger(__name__)

HTML_502 = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)
CREDENTIAL = "{credential}"  # placeholder in faults of kind `echo`
_LINGER_ZERO = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: the kernel sends RST instead of FIN


class ApiError(Exception):
    """An error answer of a provider: its status, its body (text or JSON) and its headers."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


@dataclass(slots=True)
class Call:
    """One request to a provider."""

    request: Request
    provider: str
    operation: str
    started: float  # real seconds on the simulator's clock
    body: bytes = b""
    json: Any = None  # the parsed body; None if it is not JSON
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    site: str = ""
    model: str = ""
    fault: Fault | None = None
    log_fields: dict[str, Any] = field(default_factory=dict)  # further fields of its entry in the request log

    def has_fault(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind

    def bearer(self) -> str:
        """The token of the Authorization header, with or without `Bearer`."""
        value = self.request.headers.get("authorization", "")
        return value[7:].strip() if value[:7].lower() == "bearer " else value.strip()

    def credential(self) -> str:
        """The credential of the call: its token, or the app secret of a token request."""
        secret = self.json.get("client_secret") if isinstance(self.json, dict) else None
        return self.bearer() or str(secret or "")


Handler = Callable[[Call], Awaitable[Response]]


class Provider:
    """What the edge needs from a provider. The defaults accept every call."""

    name = ""

    def __init__(self, world: World) -> None:
        self.world = world

    def identify(self, call: Call) -> None:
        """Set the site or model of a call, so that faults can match it. Raises nothing."""

    def admit(self, call: Call) -> None:
        """Check the credential and take from the quota. Raises ApiError."""

    def headers(self, call: Call) -> dict[str, str]:
        """The headers of every answer."""
        return {}

    def rate_limit_error(self, call: Call, retry_after_s: float | None) -> ApiError:
        """The provider's 429. `retry_after_s` is that of a fault."""
        raise NotImplementedError

    def error_body(self, status: int) -> Any:
        """The provider's body for an error of which only the status is known."""
        return {"message": f"simulated status {status}"}


class Endpoint:
    """The ASGI application of one operation."""

    def __init__(self, provider: Provider, operation: str, handler: Handler) -> None:
        self._provider = provider
        self._world = provider.world
        self._operation = operation
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._world.in_flight() as closing:
            await self._serve(scope, receive, send)
        if closing.cancelled_caught:
            await reset_connection(scope, receive)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = Call(request, self._provider.name, self._operation, self._world.clock.now())
        call.body = await request.body()
        call.json = _parse_json(call.body)
        self._provider.identify(call)
        call.fault = self._world.faults.draw(
            call.provider, call.operation, site=call.site, model=call.model, body=call.body
        )
        if call.has_fault("reset_before"):
            self._record(call, self._world.ledger.UNANSWERED)
            await reset_connection(scope, receive)
            return
        if call.fault is not None and call.has_fault("echo"):
            call.fault = replace(call.fault, **_with_credential(call.fault, call.credential()))
        response = _with_altered_body(await self._answer(call), call)
        response.headers.update(self._provider.headers(call) | (call.fault.headers if call.fault else {}))
        if call.has_fault("reset_after") or call.has_fault("no_answer"):
            self._record(call, self._world.ledger.UNANSWERED)
            if call.fault is not None and call.has_fault("no_answer"):
                await _wait_for_disconnect(receive, call.fault.delay_s)
            await reset_connection(scope, receive)
            return
        self._record(call, response.status_code)
        if call.fault is not None and call.has_fault("slow_body"):
            await _send_slowly(response, send, call.fault.delay_s)
            return
        await (_truncated(response) if call.has_fault("malformed") else response)(scope, receive, send)

    async def _answer(self, call: Call) -> Response:
        try:
            self._provider.admit(call)
            if call.fault is not None:
                await self._apply_fault(call, call.fault)
            return await self._handler(call)
        except ApiError as error:
            return _error_response(error)
        except Exception:
            log.exception("simulator_handler_failed")
            return JSONResponse(self._provider.error_body(500), 500)

    async def _apply_fault(self, call: Call, fault: Fault) -> None:
        match fault.kind:
            case "status" | "echo":
                status = fault.status or 500
                body = self._provider.error_body(status) if fault.body is None else fault.body
                raise ApiError(status, body, fault.headers)
            case "html":
                raise ApiError(fault.status or 502, fault.body or HTML_502, {"content-type": "text/html"})
            case "throttle":
                raise self._provider.rate_limit_error(call, fault.retry_after_s)
            case "latency":
                await anyio.sleep(fault.delay_s)

    def _record(self, call: Call, status: int) -> None:
        now = self._world.clock.now()
        entry = {
            "at": round(call.started, 3),
            "vendor": call.provider,
            "operation": call.operation,
            "status": status,
            "duration_s": round(now - call.started, 4),
            "request_id": call.request_id,
        }
        if call.body:
            entry["bytes"] = len(call.body)
        if self._world.options.keep_bodies:
            entry["request"] = _full_request(call)
        known = {"site": call.site, "model": call.model, "fault": call.fault.kind if call.fault else ""}
        entry.update({name: value for name, value in known.items() if value})
        self._world.ledger.record(entry | call.log_fields)


def _full_request(call: Call) -> dict[str, Any]:
    """The complete request, without credentials."""
    hidden = {"client_secret": "***"} if isinstance(call.json, dict) and "client_secret" in call.json else {}
    return {
        "method": call.request.method,
        "path": call.request.url.path,
        "query": {name: call.request.query_params.getlist(name) for name in call.request.query_params},
        "headers": {name: value for name, value in call.request.headers.items() if name != "authorization"},
        "authorized": "authorization" in call.request.headers,
        "json": call.json | hidden if hidden else call.json,
    }


def _with_credential(fault: Fault, credential: str) -> dict[str, Any]:
    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(CREDENTIAL, credential)
        if isinstance(value, dict):
            return {fill(name): fill(entry) for name, entry in value.items()}
        return [fill(entry) for entry in value] if isinstance(value, list) else value

    return {"body": fill(fault.body), "headers": fill(fault.headers)}


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


async def reset_connection(scope: Scope, receive: Receive) -> None:
    """Reset the connection: the client gets ECONNRESET instead of an answer."""
    transport = scope["state"]["transport"]
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
    # If the call returned before the server sees the disconnect, the server would report a missing answer.
    await _wait_for_disconnect(receive, 1.0)


async def _wait_for_disconnect(receive: Receive, limit_s: float) -> None:
    with anyio.move_on_after(limit_s):
        while (await receive())["type"] != "http.disconnect":
            pass


async def _send_slowly(response: Response, send: Send, delay_s: float) -> None:
    body = bytes(response.body)
    half = len(body) // 2
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": body[:half], "more_body": True})
    await anyio.sleep(delay_s)
    await send({"type": "http.response.body", "body": body[half:], "more_body": False})


def _with_altered_body(response: Response, call: Call) -> Response:
    if call.fault is None or not call.has_fault("altered"):
        return response
    status, body = call.fault.status or response.status_code, call.fault.body
    if isinstance(body, dict):
        return JSONResponse((_parse_json(bytes(response.body)) or {}) | body, status)
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(text, status, media_type="application/json")


def _truncated(response: Response) -> Response:
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    body = bytes(response.body)
    return Response(body[: max(1, len(body) * 2 // 3)], response.status_code, headers)


def _error_response(error: ApiError) -> Response:
    if isinstance(error.body, str):
        headers = {"content-type": "text/plain; charset=utf-8"} | error.headers
        return Response(error.body, error.status, headers)
    return JSONResponse(error.body, error.status, error.headers)
