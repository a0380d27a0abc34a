"""The edge of every vendor: one call from its first byte to its last, and the faults that may befall it.

read body -> identify -> draw fault -> admit (auth, quota) -> handler -> spoil -> record -> answer
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
CREDENTIAL = "{credential}"  # placeholder in an echo
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: the kernel sends RST instead of FIN


class Refused(Exception):
    """The vendor's refusal, with the body it sends."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


@dataclass(slots=True)
class Call:
    """One request on its way through a vendor."""

    request: Request
    vendor: str
    operation: str
    started: float
    body: bytes = b""
    json: Any = None  # the body's value when it is JSON
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    site: str = ""
    model: str = ""
    fault: Fault | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # what the request log tells of this call

    def hit_by(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind

    def bearer(self) -> str:
        """The token of the Authorization header, with or without the word Bearer."""
        value = self.request.headers.get("authorization", "")
        return value[7:].strip() if value[:7].lower() == "bearer " else value.strip()

    def credential(self) -> str:
        """What authorizes the call: its token, or the app secret of a token request."""
        asked = self.json.get("client_secret") if isinstance(self.json, dict) else None
        return self.bearer() or str(asked or "")


Handler = Callable[[Call], Awaitable[Response]]


class Vendor:
    """What the edge asks of each vendor; the defaults let everything through."""

    name = ""

    def __init__(self, world: World) -> None:
        self.world = world

    def identify(self, call: Call) -> None:
        """Set the site or model of a call, so that faults can be aimed. Never refuses."""

    def admit(self, call: Call) -> None:
        """Check who calls and whether the quota has room; raises Refused."""

    def headers(self, call: Call) -> dict[str, str]:
        """Headers of every answer."""
        return {}

    def throttled(self, call: Call, retry_after_s: float | None) -> Refused:
        """The vendor's own 429."""
        raise NotImplementedError

    def failure(self, status: int) -> Any:
        """The vendor's body for a fault that named only a status."""
        return {"message": f"simulated status {status}"}


class Endpoint:
    """An ASGI application for one operation of one vendor."""

    def __init__(self, vendor: Vendor, operation: str, handler: Handler) -> None:
        self._vendor = vendor
        self._world = vendor.world
        self._operation = operation
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._world.in_flight() as closing:
            await self._serve(scope, receive, send)
        if closing.cancelled_caught:
            await hang_up(scope, receive)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        call = Call(request, self._vendor.name, self._operation, self._world.clock.now())
        call.body = await request.body()
        call.json = _parsed(call.body)
        self._vendor.identify(call)
        call.fault = self._world.faults.draw(
            call.vendor, call.operation, site=call.site, model=call.model, body=call.body
        )
        if call.hit_by("reset_before"):
            self._record(call, self._world.ledger.UNANSWERED)
            await hang_up(scope, receive)
            return
        if call.fault is not None and call.hit_by("echo"):
            call.fault = replace(call.fault, **_echoed(call.fault, call.credential()))
        response = _altered(await self._answer(call), call)
        response.headers.update(self._vendor.headers(call) | (call.fault.headers if call.fault else {}))
        if call.hit_by("reset_after") or call.hit_by("no_answer"):
            self._record(call, self._world.ledger.UNANSWERED)
            if call.fault is not None and call.hit_by("no_answer"):
                await _until_client_leaves(receive, call.fault.delay_s)
            await hang_up(scope, receive)
            return
        self._record(call, response.status_code)
        if call.fault is not None and call.hit_by("slow_body"):
            await _send_slowly(response, send, call.fault.delay_s)
            return
        await (_broken_off(response) if call.hit_by("malformed") else response)(scope, receive, send)

    async def _answer(self, call: Call) -> Response:
        try:
            self._vendor.admit(call)
            if call.fault is not None:
                await self._befall(call, call.fault)
            return await self._handler(call)
        except Refused as refusal:
            return _refusal_response(refusal)
        except Exception:
            log.exception("simulator_handler_failed")
            return JSONResponse(self._vendor.failure(500), 500)

    async def _befall(self, call: Call, fault: Fault) -> None:
        match fault.kind:
            case "status" | "echo":
                status = fault.status or 500
                body = self._vendor.failure(status) if fault.body is None else fault.body
                raise Refused(status, body, fault.headers)
            case "html":
                raise Refused(fault.status or 502, fault.body or HTML_502, {"content-type": "text/html"})
            case "throttle":
                raise self._vendor.throttled(call, fault.retry_after_s)
            case "latency":
                await anyio.sleep(fault.delay_s)

    def _record(self, call: Call, status: int) -> None:
        now = self._world.clock.now()
        entry = {
            "at": round(call.started, 3),
            "vendor": call.vendor,
            "operation": call.operation,
            "status": status,
            "duration_s": round(now - call.started, 4),
            "request_id": call.request_id,
        }
        if call.body:
            entry["bytes"] = len(call.body)
        if self._world.options.keep_bodies:
            entry["request"] = _whole(call)
        known = {"site": call.site, "model": call.model, "fault": call.fault.kind if call.fault else ""}
        entry.update({name: value for name, value in known.items() if value})
        self._world.ledger.record(entry | call.facts)


def _whole(call: Call) -> dict[str, Any]:
    """The request as it came, its credentials struck out."""
    hidden = {"client_secret": "***"} if isinstance(call.json, dict) and "client_secret" in call.json else {}
    return {
        "method": call.request.method,
        "path": call.request.url.path,
        "query": {name: call.request.query_params.getlist(name) for name in call.request.query_params},
        "headers": {name: value for name, value in call.request.headers.items() if name != "authorization"},
        "authorized": "authorization" in call.request.headers,
        "json": call.json | hidden if hidden else call.json,
    }


def _echoed(fault: Fault, credential: str) -> dict[str, Any]:
    def put(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(CREDENTIAL, credential)
        if isinstance(value, dict):
            return {put(name): put(entry) for name, entry in value.items()}
        return [put(entry) for entry in value] if isinstance(value, list) else value

    return {"body": put(fault.body), "headers": put(fault.headers)}


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


async def hang_up(scope: Scope, receive: Receive) -> None:
    """Reset the connection; the client sees ECONNRESET rather than an answer."""
    transport = scope["state"]["transport"]
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
    # The server must see the connection gone before the call returns, or it would report a missing answer.
    await _until_client_leaves(receive, 1.0)


async def _until_client_leaves(receive: Receive, limit_s: float) -> None:
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


def _altered(response: Response, call: Call) -> Response:
    if call.fault is None or not call.hit_by("altered"):
        return response
    status, body = call.fault.status or response.status_code, call.fault.body
    if isinstance(body, dict):
        return JSONResponse((_parsed(bytes(response.body)) or {}) | body, status)
    text = body if isinstance(body, str) else json.dumps(body)
    return Response(text, status, media_type="application/json")


def _broken_off(response: Response) -> Response:
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    body = bytes(response.body)
    return Response(body[: max(1, len(body) * 2 // 3)], response.status_code, headers)


def _refusal_response(refusal: Refused) -> Response:
    if isinstance(refusal.body, str):
        headers = {"content-type": "text/plain; charset=utf-8"} | refusal.headers
        return Response(refusal.body, refusal.status, headers)
    return JSONResponse(refusal.body, refusal.status, refusal.headers)
