"""Pictures from Replicate, through its SDK 1.0.7 on a transport of ours (`replicate_wire`).

    starting -> processing -> succeeded | failed | canceled | aborted (deadline reached before it began)

Nothing is kept beyond an hour, and no key of ours finds a prediction again: its id is stored before it is waited for.
Where the answer that would have told it was lost, the prompt and seed we sent are looked for among the latest.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import httpx2
from anyio import fail_after, move_on_after, sleep
from pydantic.v1 import ValidationError as ModelFault
from replicate.client import Client

from blogworker.addresses import Origin
from blogworker.errors import Misconfigured, OutcomeUnknown, ProviderError, Rejected, Unavailable
from blogworker.prices import in_force
from blogworker.providers import http, transport
from blogworker.providers.body import TooLarge
from blogworker.providers.picture import picture_type
from blogworker.providers.replicate_wire import PROVIDER, Wire, refusal
from blogworker.settings import ReplicateSettings

SLOWEST_POLL_S = 5.0
POLL_GROWTH = 1.25  # a cold model takes a minute: the longer it has taken, the less one more look is worth
PAGES_LOOKED_AT = 10  # of a hundred: what a fleet at the vendor's limit creates while a dead worker's lease runs out
LARGEST_IMAGE = 10 * 1024 * 1024  # bytes; the most that Wix advises to upload
UNSAFE = re.compile(r"nsfw|flagged|sensitive|\bE005\b", re.I)


class PredictionGone(Unavailable):
    """The prediction or its file is no longer kept: make it anew."""


class PredictionDied(Unavailable):
    """It ended without a usable picture (`code`: failed, canceled, aborted, deadline, not_a_picture): make it anew."""


@dataclass(frozen=True, slots=True)
class Look:
    """A prediction as it was when we looked."""

    status: str
    output: Any = None
    error: str | None = None


class ReplicateClient:
    """One a process."""

    def __init__(self, settings: ReplicateSettings, *, connections: int, pace: http.Pace = nullcontext) -> None:
        """`pace` is for looks and cancels, which the vendor counts apart from what it creates."""
        self._settings = settings
        self._connections = connections
        self._pace = pace
        self._transport: transport.Transport | None = None
        self._client: Client | None = None
        self._files: httpx2.AsyncClient | None = None

    @property
    def model(self) -> str:
        return self._settings.model

    @property
    def cost_usd(self) -> float | None:
        """The price of one picture made today, if the settings know it."""
        price = in_force(self._settings.prices.get(self._settings.model, ()), datetime.now(UTC).date())
        return None if price is None else price.usd

    async def open(self) -> None:
        if self._settings.api_token is None:
            raise Misconfigured("REPLICATE_API_TOKEN is not set", provider=PROVIDER)
        self._transport = transport.Transport(self._settings, connections=self._connections)
        self._client = Client(
            self._settings.api_token.get_secret_value(),
            base_url=self._settings.base_url,
            transport=Wire(self._settings, self._transport),
        )
        self._files = transport.client(self._transport, timeout_s=self._settings.timeout)

    async def aclose(self) -> None:
        if self._files is not None:
            await self._files.aclose()
        if self._transport is not None:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def create(self, prompt: str, *, aspect_ratio: str, seed: int | None = None) -> str:
        """Start a picture; its prediction id."""
        owner, name = self._settings.model.split("/", 1)
        inputs: dict[str, Any] = {"prompt": prompt, "aspect_ratio": aspect_ratio, "output_format": "jpg"}
        if seed is not None:
            inputs["seed"] = seed
        with self._answered(repeatable=False):
            prediction = await self._sdk().models.predictions.async_create(model=(owner, name), input=inputs)
        return prediction.id

    async def wait(self, prediction_id: str) -> str:
        """The picture's address, once there is one. Past the deadline the prediction is cancelled."""
        interval_s = self._settings.poll_interval
        with move_on_after(self._settings.deadline):
            while True:
                if (url := picture(await self.look(prediction_id))) is not None:
                    return url
                await sleep(interval_s)
                interval_s = min(max(SLOWEST_POLL_S, self._settings.poll_interval), interval_s * POLL_GROWTH)
        await self.cancel(prediction_id)
        raise PredictionDied(f"no picture in {self._settings.deadline:g} s", provider=PROVIDER, code="deadline")

    async def look(self, prediction_id: str) -> Look:
        try:
            async with self._pace():
                with self._answered(repeatable=True):
                    prediction = await self._sdk().predictions.async_get(prediction_id)
        except Rejected as error:
            if error.status not in (404, 410):
                raise
            raise PredictionGone("the prediction is not kept", provider=PROVIDER, status=error.status) from error
        except ModelFault as error:
            return Look(_unlisted_status(error))
        return Look(prediction.status, prediction.output, prediction.error)

    async def find(self, prompt: str, *, seed: int) -> str | None:
        """The prediction of this prompt and seed, if it is among the latest. For a creation that was not answered.

        Not through the SDK: to its model class a single aborted prediction spoils the whole page.
        """
        url: object = f"{self._settings.base_url.rstrip('/')}/v1/predictions"
        for _ in range(PAGES_LOOKED_AT):
            if not isinstance(url, str):
                break
            page = await self._page(url)
            for found in page.get("results") or []:
                asked = found.get("input") or {}
                if asked.get("prompt") == prompt and asked.get("seed") == seed:
                    return str(found["id"])
            url = page.get("next")
        return None

    async def _page(self, url: str) -> dict[str, Any]:
        if self._files is None:
            raise RuntimeError("the client is not open")
        async with self._pace():
            with self._answered(repeatable=True):
                address = transport.address(url)
                answer = await self._files.get(address, headers=self._authorization())
                if answer.status_code != 200:
                    raise refusal(answer)
                page: dict[str, Any] = answer.json()
        return page

    async def cancel(self, prediction_id: str) -> None:
        """Ask a prediction to stop. If that fails, `Cancel-After` stops it at the vendor's own clock."""
        try:
            async with self._pace():
                with self._answered(repeatable=True):
                    await self._sdk().predictions.async_cancel(prediction_id)
        except (ProviderError, ModelFault):
            return

    async def download(self, url: str) -> bytes:
        """The picture itself. Raises PredictionGone when the vendor has deleted it, an hour after it was made."""
        if self._files is None:
            raise RuntimeError("the client is not open")
        with self._answered(repeatable=True):
            answer = await self._file(self._files, transport.address(url))
        if answer.status_code in (404, 410):
            raise PredictionGone("the picture was deleted", provider=PROVIDER, status=answer.status_code)
        if answer.status_code != 200:
            raise http.refused(answer.status_code, "the picture cannot be read", provider=PROVIDER)
        if picture_type(answer.content) is None:
            raise PredictionDied("the file is not a picture", provider=PROVIDER, code="not_a_picture")
        return answer.content

    async def _file(self, files: httpx2.AsyncClient, address: httpx2.URL) -> httpx2.Response:
        """What is at an address. The token goes along only to the origin that it is for."""
        at_home = transport.origin_of(address) == Origin.of(self._settings.base_url)
        headers = self._authorization() if at_home else {}
        try:
            return await transport.fetch(files, address, headers=headers, largest=LARGEST_IMAGE)
        except TooLarge:
            told = f"the picture is above {LARGEST_IMAGE} bytes"
            raise PredictionDied(told, provider=PROVIDER, code="too_large") from None

    def _sdk(self) -> Client:
        if self._client is None:
            raise RuntimeError("the client is not open")
        return self._client

    def _authorization(self) -> dict[str, str]:
        token = self._settings.api_token
        return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}

    @contextmanager
    def _answered(self, *, repeatable: bool) -> Iterator[None]:
        """Bound a call in time, and turn the ways it can end without an answer into our errors."""
        try:
            with fail_after(self._settings.timeout):
                yield
        except (TimeoutError, *http.TransportError) as error:
            raise http.lost(error, provider=PROVIDER, repeatable=repeatable) from error
        except ModelFault:
            if repeatable:
                raise
            raise OutcomeUnknown("the prediction's answer is not one we know", provider=PROVIDER) from None
        except (ValueError, TypeError) as error:  # a 2xx whose body is not a JSON object
            kind = Unavailable if repeatable else OutcomeUnknown
            raise kind(f"unreadable answer: {type(error).__name__}", provider=PROVIDER) from error


def picture(look: Look) -> str | None:
    """The address of the first picture, None while there is none; raise if there never will be one."""
    match look.status:
        case "starting" | "processing":
            return None
        case "succeeded":
            first = look.output[0] if isinstance(look.output, list) and look.output else look.output
            if isinstance(first, str) and first:
                return first
            raise PredictionGone("the output was removed", provider=PROVIDER, code="data_removed")
        case "failed" if UNSAFE.search(look.error or ""):
            raise Rejected(http.safe(look.error), provider=PROVIDER, code="nsfw")
        case _:
            reason = http.safe(look.error or "no reason given")
            raise PredictionDied(f"the prediction {look.status}: {reason}", provider=PROVIDER, code=look.status)


def _unlisted_status(error: ModelFault) -> str:
    """The status that the SDK's model refused, such as `aborted`."""
    for fault in error.errors():
        given = fault.get("ctx", {}).get("given")
        if fault["loc"] == ("status",) and isinstance(given, str):
            return given
    raise Unavailable("unreadable prediction", provider=PROVIDER, code="unreadable") from error
