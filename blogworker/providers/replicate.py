"""Pictures from Replicate, through its SDK 1.0.7 on a transport of ours (`replicate_wire`).

Nothing is kept beyond an hour, and no key of ours finds a prediction again: its id is stored before it is waited for.
Where the answer that would have told it was lost, the prompt and seed we sent are looked for among the latest.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, Self

import httpx2
from anyio import fail_after, move_on_after, sleep
from replicate.client import Client

from blogworker.addresses import Origin
from blogworker.errors import Misconfigured, OutcomeUnknown, ProviderError, Rejected, Unavailable
from blogworker.prices import in_force
from blogworker.providers import http, transport
from blogworker.providers.answer import address, object_of
from blogworker.providers.blame import Blame
from blogworker.providers.body import TooLarge
from blogworker.providers.picture import LARGEST_IMAGE, inline, picture_type
from blogworker.providers.replicate_answers import (
    PROVIDER,
    Look,
    PictureUseless,
    PredictionDied,
    PredictionGone,
    found_in,
    is_ours,
    picture,
    refusal,
    unreadable,
)
from blogworker.providers.replicate_wire import Wire, look_in
from blogworker.settings import ReplicateSettings

SLOWEST_POLL_S = 5.0
POLL_GROWTH = 1.25  # a cold model takes a minute: the longer it has taken, the less one more look is worth
PAGES_LOOKED_AT = 10  # of a hundred: what a fleet at the vendor's limit creates while a dead worker's lease runs out


class ReplicateClient:
    """One a process."""

    def __init__(self, settings: ReplicateSettings, *, connections: int, pace: http.Pace = nullcontext) -> None:
        """`pace` is for looks and cancels, which the vendor counts apart from what it creates."""
        self._settings = settings
        self._connections = connections
        self._pace = pace
        self._transport: transport.Transport | None = None
        self._blame = Blame(PROVIDER, presumed_ours=True)
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
        try:
            with self._answered(repeatable=False):
                prediction = await self._sdk().models.predictions.async_create(model=(owner, name), input=inputs)
        except Rejected as error:
            raise self._blame.judged(error, ours=is_ours(error.args[0]), blog=prompt) from error
        self._blame.taken()
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
        return look_in(prediction.output)

    async def find(self, prompt: str, *, seed: int) -> str | None:
        """The prediction of this prompt and seed, if it is among the latest. For a creation that was not answered.

        Not through the SDK: to its model class a single aborted prediction spoils the whole page.
        """
        url: str | None = f"{self._settings.base_url.rstrip('/')}/v1/predictions"
        for _ in range(PAGES_LOOKED_AT):
            if url is None:
                break
            page = await self._page(url)
            if (found := found_in(page, prompt, seed=seed)) is not None:
                return found
            url = address(following := page.get("next"))
            if following and url is None:  # ending the search here could buy the picture again
                raise Unavailable("the list cannot be read", provider=PROVIDER, code="unreadable")
        return None

    async def _page(self, url: str) -> dict[str, Any]:
        if self._files is None:
            raise RuntimeError("the client is not open")
        async with self._pace():
            with self._answered(repeatable=True):
                answer = await self._files.get(transport.parsed(url), headers=self._authorization())
                if answer.status_code != 200:
                    raise refusal(answer.status_code, answer.content, answer.headers)
        if (page := object_of(answer.content)) is None:
            raise Unavailable("the list cannot be read", provider=PROVIDER, code="unreadable")
        return page

    async def cancel(self, prediction_id: str) -> None:
        """Ask a prediction to stop. If that fails, `Cancel-After` stops it at the vendor's own clock."""
        try:
            async with self._pace():
                with self._answered(repeatable=True):
                    await self._sdk().predictions.async_cancel(prediction_id)
        except ProviderError:
            return

    async def download(self, url: str) -> bytes:
        """The picture itself. Raises PredictionGone when the vendor has deleted it, an hour after it was made."""
        if self._files is None:
            raise RuntimeError("the client is not open")
        if (data := inline(url)) is not None:
            return data
        with self._answered(repeatable=True):
            answer = await self._file(self._files, transport.parsed(url))
        if answer.status_code != 200:
            raise unreadable(answer.status_code)
        if picture_type(answer.content) is None:
            raise PictureUseless("the file is not a picture", provider=PROVIDER, code="not_a_picture")
        return answer.content

    async def _file(self, files: httpx2.AsyncClient, address: httpx2.URL) -> httpx2.Response:
        """The file at an address. The token is sent only to the origin that it is for."""
        at_home = transport.origin_of(address) == Origin.of(self._settings.base_url)
        headers = self._authorization() if at_home else {}
        try:
            return await transport.fetch(files, address, headers=headers, largest=LARGEST_IMAGE)
        except TooLarge:
            reason = f"the picture is larger than {LARGEST_IMAGE} bytes"
            raise PictureUseless(reason, provider=PROVIDER, code="too_large") from None

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
        except (ValueError, TypeError, httpx2.InvalidURL) as error:  # an answer or URL that cannot be parsed
            kind = Unavailable if repeatable else OutcomeUnknown
            raise kind(f"unreadable answer: {type(error).__name__}", provider=PROVIDER) from error
