"""Connects the Replicate SDK to our transport.

The SDK uses httpx, everything else httpx2. Its requests are passed on as httpx2 requests, so that the same policy
applies to them. The SDK itself opens no connection.

It adds what SDK 1.0.7 cannot send: `Cancel-After`, and a timeout for POSTs, which would have none. It also raises our
errors. Otherwise the SDK would retry a refused GET ten times after an unlimited Retry-After, would fail for an error
body that is not an object, and would drop its `retry_after`. Predictions are converted to the only form that the model
class of the SDK accepts.
"""

import json

import httpx
import httpx2

from blogworker.errors import OutcomeUnknown, Unavailable
from blogworker.providers import answer
from blogworker.providers.replicate_answers import PROVIDER, PredictionState, refusal, state_of
from blogworker.providers.transport import CONNECT_TIMEOUT_S, Transport
from blogworker.settings import ReplicateSettings

SHORTEST_DEADLINE_S = 5  # the minimum of Cancel-After


class Wire(httpx.AsyncBaseTransport):
    """A transport for the SDK on top of our transport, which its owner closes."""

    def __init__(self, settings: ReplicateSettings, transport: Transport) -> None:
        self._transport = transport
        self._timeout = httpx2.Timeout(settings.timeout, connect=CONNECT_TIMEOUT_S).as_dict()
        self._cancel_after = f"{max(SHORTEST_DEADLINE_S, round(settings.deadline))}s"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if _creates(request):
            request.headers["Cancel-After"] = self._cancel_after
        response = await self._transport.handle_async_request(
            httpx2.Request(
                request.method,
                str(request.url),
                headers=request.headers.raw,
                content=await request.aread(),
                extensions={"timeout": self._timeout},
            )
        )
        body, creates = response.content, _creates(request)
        if not response.is_success:
            raise refusal(response.status_code, body, response.headers, creates=creates)
        headers = {"content-type": "application/json"}
        return httpx.Response(response.status_code, headers=headers, content=enveloped(body, creates=creates))


def _creates(request: httpx.Request) -> bool:
    return request.method == "POST" and request.url.path.endswith("/predictions")


def enveloped(body: bytes, *, creates: bool) -> bytes:
    """Return a prediction in the form that the model class of the SDK accepts, with the original response in `output`.
    The class refuses statuses and types that are in use, and would lose a prediction because of its logs.

    Raises OutcomeUnknown if a created prediction has no usable id: it can be searched among the latest.
    """
    prediction = answer.object_of(body) or {}
    name = answer.identifier(prediction.get("id"))
    if (creates and name is None) or (not creates and state_of(prediction) is None):
        kind = OutcomeUnknown if creates else Unavailable
        raise kind("the response is not a prediction", provider=PROVIDER, code="unreadable")
    form = {"id": name or "", "model": "", "version": "", "status": "processing", "output": body.decode("latin-1")}
    return json.dumps(form).encode()


def state_in(output: object) -> PredictionState:
    """Return the prediction that `enveloped` put into `output`."""
    state = state_of(answer.object_of(output.encode("latin-1")) or {}) if isinstance(output, str) else None
    if state is None:
        raise Unavailable("unreadable prediction", provider=PROVIDER, code="unreadable")
    return state
