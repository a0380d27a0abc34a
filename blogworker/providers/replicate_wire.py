"""Between the Replicate SDK and the transport of all vendors: what is added to requests, and what refusals become.

The SDK speaks httpx, all else httpx2. Its requests are handed on as httpx2's, so that they meet the same policy, and no
connection is the SDK's own.

On the way out it adds what SDK 1.0.7 cannot say: `Cancel-After`, and a timeout for POSTs, which would have none. On the
way back it raises our errors itself, so that the SDK neither retries a refused GET ten times by the vendor's uncapped
Retry-After, nor stumbles over an error body that is no object, nor drops its `retry_after`.
"""

import math
import re
from typing import Any

import httpx
import httpx2

from blogworker.errors import Misconfigured, ProviderError, RateLimited
from blogworker.providers import http
from blogworker.providers.transport import CONNECT_TIMEOUT_S, Transport
from blogworker.settings import ReplicateSettings

PROVIDER = "replicate"
DEFAULT_WAIT_S = 30.0
SHORTEST_DEADLINE_S = 5  # the least that Cancel-After takes
REDUCED = re.compile(r"\b(\d+) requests? (?:per|a) minute\b", re.I)  # said to accounts that run low on credit


class Wire(httpx.AsyncBaseTransport):
    """Between the SDK and our transport, which stays its owner's to close."""

    def __init__(self, settings: ReplicateSettings, transport: Transport) -> None:
        self._transport = transport
        self._timeout = httpx2.Timeout(settings.timeout, connect=CONNECT_TIMEOUT_S).as_dict()
        self._cancel_after = f"{max(SHORTEST_DEADLINE_S, round(settings.deadline))}s"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if _creates(request):
            request.headers["Cancel-After"] = self._cancel_after
        answer = await self._transport.handle_async_request(
            httpx2.Request(
                request.method,
                str(request.url),
                headers=request.headers.raw,
                content=await request.aread(),
                extensions={"timeout": self._timeout},
            )
        )
        if answer.is_success:
            return httpx.Response(answer.status_code, headers=answer.headers.raw, content=answer.content)
        if answer.status_code == 404 and _creates(request):
            raise _no_such_model(answer)
        raise refusal(answer)


def _creates(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/predictions")


def _no_such_model(response: httpx2.Response) -> ProviderError:
    return Misconfigured(
        f"no such model: {http.safe(_said(response, _problem(response)))}",
        provider=PROVIDER,
        status=404,
        request_id=response.headers.get("x-request-id"),
    )


def refusal(response: httpx2.Response) -> ProviderError:
    """What an answer other than 2xx means."""
    body = _problem(response)
    message = _said(response, body)
    failure = http.refused(
        response.status_code, message, provider=PROVIDER, request_id=response.headers.get("x-request-id")
    )
    if isinstance(failure, RateLimited):
        failure.after(_wait_s(response, body, message))
        reduced = REDUCED.search(message)
        failure.requests_per_minute = max(1, int(reduced[1])) if reduced else None
    return failure


def _said(response: httpx2.Response, body: dict[str, Any]) -> str:
    return str(body.get("detail") or body.get("title") or http.said(response.status_code))


def _problem(response: httpx2.Response) -> dict[str, Any]:
    """The body, if it is the object it should be."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _wait_s(response: httpx2.Response, body: dict[str, Any], message: str) -> float:
    """The longest wait the answer names, in its headers, its words or its `retry_after`."""
    waits = [http.named_wait_s(response.headers, message), _stated_s(body.get("retry_after"))]
    return max((wait for wait in waits if wait is not None), default=DEFAULT_WAIT_S)


def _stated_s(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, int | float | str) else math.nan
    except ValueError:
        return None
    return min(max(seconds, http.SHORTEST_WAIT_S), http.LONGEST_WAIT_S) if math.isfinite(seconds) else None
