"""Between the Replicate SDK and our transport: what is added to requests, and which errors refusals become.

The SDK uses httpx, everything else httpx2. Its requests are passed on as httpx2 requests, so that the same policy
applies to them; the SDK opens no connection of its own.

On the way out it adds what SDK 1.0.7 cannot say: `Cancel-After`, and a timeout for POSTs, which would have none. On the
way back it raises our errors itself, so that the SDK neither retries a refused GET ten times by the vendor's uncapped
Retry-After, nor fails on an error body that is not an object, nor drops its `retry_after`; and it gives the SDK
predictions in the one form that its model class accepts.
"""

import json

import httpx
import httpx2

from blogworker.errors import OutcomeUnknown, Unavailable
from blogworker.providers import answer
from blogworker.providers.replicate_answers import PROVIDER, Look, look_of, refusal
from blogworker.providers.transport import CONNECT_TIMEOUT_S, Transport
from blogworker.settings import ReplicateSettings

SHORTEST_DEADLINE_S = 5  # the least that Cancel-After takes


class Wire(httpx.AsyncBaseTransport):
    """A transport for the SDK on top of ours, which its owner closes."""

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
    """A prediction in the one form that the SDK's model accepts, with the original answer inside `output`. The model
    refuses statuses and types that are in use, and would lose a prediction because of its logs.

    Raises OutcomeUnknown if a created prediction has no usable id: it may be found among the latest.
    """
    told = answer.object_of(body) or {}
    name = answer.identifier(told.get("id"))
    if (creates and name is None) or (not creates and look_of(told) is None):
        kind = OutcomeUnknown if creates else Unavailable
        raise kind("the answer is not a prediction", provider=PROVIDER, code="unreadable")
    form = {"id": name or "", "model": "", "version": "", "status": "processing", "output": body.decode("latin-1")}
    return json.dumps(form).encode()


def look_in(output: object) -> Look:
    """The prediction that `enveloped` put into `output`."""
    look = look_of(answer.object_of(output.encode("latin-1")) or {}) if isinstance(output, str) else None
    if look is None:
        raise Unavailable("unreadable prediction", provider=PROVIDER, code="unreadable")
    return look
