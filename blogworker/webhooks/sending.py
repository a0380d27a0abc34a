"""Sends one message to one endpoint, and says what became of it. Nothing is read or written in the database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2

from blogworker import __version__
from blogworker.errors import SettingsError
from blogworker.providers import http, transport
from blogworker.providers.connect import NotAllowed
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.message import body
from blogworker.webhooks.signature import secrets_of, signed_headers

LARGEST_ANSWER = 1024 * 1024  # bytes; of an answer only the status is used
OF_THE_MESSAGE = (400, 409, 413, 415, 422)  # statuses that say nothing about other messages
GONE = 410
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Message:
    """A message for an endpoint, leased to this worker. `url` None: it is in the settings."""

    delivery_id: int
    attempt: int  # the fencing token
    message_id: UUID
    event: str
    payload: Any
    created_at: datetime
    sent_at: int
    webhook_id: UUID
    name: str
    url: str | None
    format: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a message. `error` None: it was accepted."""

    error: str | None = None
    wait_s: float | None = None  # asked for by the endpoint
    gone: bool = False
    blames_endpoint: bool = True


class Sender:
    """Sends under the policy of all our calls: https, public addresses, no redirects, bounded sizes and times."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._open: httpx2.AsyncClient | None = None

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.aclose()
            self._open = None

    async def send(self, message: Message) -> Answer:
        """Send it once. Errors are returned, not raised: they belong to the endpoint."""
        url = message.url or self._settings.urls.get(message.name)
        if url is None:
            return Answer(f"BLOGWORKER_WEBHOOK_URLS has no address of {message.name}")
        try:
            content = body(message.event, message.payload, at=message.created_at, form=message.format)
        except Exception as error:  # whatever a row has, it stops no message of others
            return Answer(f"the message cannot be built: {_failure(error, 0)}", blames_endpoint=False)
        try:
            answer = await self._client().post(
                transport.parsed(url), content=content, headers=self._headers(message, content), extensions=SMALL
            )
        except http.TransportError as error:
            return Answer(_failure(error, self._settings.timeout))
        return judged(answer)

    def _client(self) -> httpx2.AsyncClient:
        """Return the client, opened at the first message: a worker without webhooks needs none."""
        if self._open is None:
            own = transport.Transport(None, connections=CONNECTIONS, loopback=self._settings.allow_loopback)
            self._open = transport.client(own, timeout_s=self._settings.timeout)
        return self._open

    def _headers(self, message: Message, content: bytes) -> dict[str, str]:
        secrets = secrets_of(self._settings.key, message.webhook_id)
        signed = signed_headers(secrets, message_id=message.message_id, sent_at=message.sent_at, body=content)
        return {"content-type": "application/json", "user-agent": f"blogworker/{__version__}", **signed}


SMALL = {transport.LARGEST: LARGEST_ANSWER, transport.STATUS_ONLY: True}


def judged(answer: httpx2.Response) -> Answer:
    """Return what a response means. Its body is not stored: it may be a page of a private network."""
    status = answer.status_code
    if 200 <= status < 300:
        return Answer()
    return Answer(
        http.status_message(status),
        wait_s=http.named_wait_s(answer.headers) if status in (429, 503) else None,
        gone=status == GONE,
        blames_endpoint=status not in OF_THE_MESSAGE,
    )


def _failure(error: Exception, limit_s: float) -> str:
    """Return why there is no response, without the path of the address, which may be a secret."""
    if isinstance(error, NotAllowed):
        return f"not allowed: {http.safe(error)}"
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return f"no response within {limit_s:g} s"
    return f"{type(error).__name__}: {http.safe(error)}" if str(error) else type(error).__name__


def require_sendable(settings: WebhookSettings, *, name: str, url: str | None, form: str) -> None:
    """Raise SettingsError if this machine's settings do not suffice to send to an endpoint."""
    if url is None and name not in settings.urls:
        raise SettingsError(f"BLOGWORKER_WEBHOOK_URLS is not set here, or has no address of {name}")
    if form == "json" and settings.key is None:
        raise SettingsError("BLOGWORKER_WEBHOOK_KEY is not set here: deliveries cannot be signed")
