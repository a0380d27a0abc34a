"""Pictures from Replicate, through its SDK 1.0.7 on our transport (`replicate_wire`).

Replicate deletes predictions after an hour, and has no idempotency key. So the id of a prediction is stored before the
wait for its picture. If the response with the id was lost, the prediction is searched in the list of the latest ones by
its prompt and seed.
"""

from collections.abc import Collection, Iterator
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
from blogworker.providers.connect import NoPublicAddress, NotAllowed
from blogworker.providers.picture import LARGEST_IMAGE, inline, picture_type
from blogworker.providers.replicate_answers import (
    PROVIDER,
    PredictionFailed,
    PredictionGone,
    PredictionState,
    UnusablePicture,
    found_in,
    is_ours,
    picture,
    refusal,
    unreadable,
)
from blogworker.providers.replicate_wire import Wire, state_in
from blogworker.settings import ReplicateSettings
from blogworker.telemetry import tracing

SLOWEST_POLL_S = 5.0
POLL_GROWTH = 1.25  # a cold model takes a minute, so the interval between polls grows
PAGES_SEARCHED = 10  # of 100: more than a fleet at the rate limit creates until the lease of a dead worker expires


class ReplicateClient:
    """One per process."""

    def __init__(self, settings: ReplicateSettings, *, connections: int, pace: http.Pace = nullcontext) -> None:
        """`pace` is for polls and cancellations, which have another rate limit than creations."""
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
        """The price of one picture today; None if the settings have none."""
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
        """Start a prediction, and return its id."""
        owner, name = self._settings.model.split("/", 1)
        inputs: dict[str, Any] = {"prompt": prompt, "aspect_ratio": aspect_ratio, "output_format": "jpg"}
        if seed is not None:
            inputs["seed"] = seed
        try:
            with self._call("predictions.create", repeatable=False):
                prediction = await self._sdk().models.predictions.async_create(model=(owner, name), input=inputs)
                tracing.describe_call(cost_usd=self.cost_usd)
        except Rejected as error:
            raise self._blame.attributed(error, ours=is_ours(error.args[0]), job=prompt) from error
        self._blame.accepted()
        return prediction.id

    async def wait(self, prediction_id: str) -> str:
        """Wait for the picture, and return its address. After the deadline the prediction is cancelled."""
        interval_s = self._settings.poll_interval
        with move_on_after(self._settings.deadline):
            while True:
                if (url := picture(await self.get(prediction_id))) is not None:
                    return url
                await sleep(interval_s)
                interval_s = min(max(SLOWEST_POLL_S, self._settings.poll_interval), interval_s * POLL_GROWTH)
        await self.cancel(prediction_id)
        raise PredictionFailed(f"no picture in {self._settings.deadline:g} s", provider=PROVIDER, code="deadline")

    async def get(self, prediction_id: str) -> PredictionState:
        try:
            async with self._pace():
                with self._call("predictions.get", repeatable=True):
                    prediction = await self._sdk().predictions.async_get(prediction_id)
        except Rejected as error:
            if error.status not in (404, 410):
                raise
            raise PredictionGone("the prediction was deleted", provider=PROVIDER, status=error.status) from error
        return state_in(prediction.output)

    async def find(self, prompt: str, *, seeds: Collection[int], since: datetime | None = None) -> str | None:
        """Return the id of the prediction with this prompt and one of these seeds, if it is among the latest and was
        created after `since`. Used after a creation without a response.

        This call does not use the SDK, whose model class refuses a whole page because of one aborted prediction.
        """
        url: str | None = f"{self._settings.base_url.rstrip('/')}/v1/predictions"
        for _ in range(PAGES_SEARCHED):
            if url is None:
                break
            page = await self._page(url)
            if (found := found_in(page, prompt, seeds=seeds, since=since)) is not None:
                return found
            url = address(following := page.get("next"))
            if following and url is None:  # to end the search here could pay for the picture twice
                raise Unavailable("the list cannot be read", provider=PROVIDER, code="unreadable")
        return None

    async def _page(self, url: str) -> dict[str, Any]:
        if self._files is None:
            raise RuntimeError("the client is not open")
        async with self._pace():
            with self._call("predictions.list", repeatable=True):
                answer = await self._files.get(transport.parsed(url), headers=self._authorization())
                if answer.status_code != 200:
                    raise refusal(answer.status_code, answer.content, answer.headers)
        if (page := object_of(answer.content)) is None:
            raise Unavailable("the list cannot be read", provider=PROVIDER, code="unreadable")
        return page

    async def cancel(self, prediction_id: str) -> None:
        """Cancel a prediction. If that fails, Replicate cancels it because of `Cancel-After`."""
        try:
            async with self._pace():
                with self._call("predictions.cancel", repeatable=True):
                    await self._sdk().predictions.async_cancel(prediction_id)
        except ProviderError:
            return

    async def download(self, url: str) -> bytes:
        """Return the bytes of the picture. Raises PredictionGone if Replicate deleted it, after an hour."""
        if self._files is None:
            raise RuntimeError("the client is not open")
        if (data := inline(url)) is not None:
            return data
        with self._call("files.get", repeatable=True):
            answer = await self._file(self._files, url)
        if answer.status_code != 200:
            raise unreadable(answer.status_code, answer.headers)
        if picture_type(answer.content) is None:
            raise UnusablePicture("the file is not a picture", provider=PROVIDER, code="not_a_picture")
        return answer.content

    async def _file(self, files: httpx2.AsyncClient, url: str) -> httpx2.Response:
        """Return the file at an address. The token is sent only to the origin of the base URL."""
        try:
            address = transport.parsed(url)
            at_home = transport.origin_of(address) == Origin.of(self._settings.base_url)
            headers = self._authorization() if at_home else {}
            return await transport.fetch(files, address, headers=headers, largest=LARGEST_IMAGE)
        except NoPublicAddress:  # a fault of our DNS would concern every picture
            raise
        except NotAllowed as error:  # concerns this picture; Replicate itself can be reached
            raise UnusablePicture(str(error), provider=PROVIDER, code="address") from error
        except TooLarge:
            reason = f"the picture is larger than {LARGEST_IMAGE} bytes"
            raise UnusablePicture(reason, provider=PROVIDER, code="too_large") from None

    def _sdk(self) -> Client:
        if self._client is None:
            raise RuntimeError("the client is not open")
        return self._client

    def _authorization(self) -> dict[str, str]:
        token = self._settings.api_token
        return {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}

    @contextmanager
    def _call(self, operation: str, *, repeatable: bool) -> Iterator[None]:
        """Limit the duration of a call, and convert failures without a response to our errors."""
        with tracing.call(PROVIDER, operation, model=self.model), self._converted(repeatable=repeatable):
            yield

    @contextmanager
    def _converted(self, *, repeatable: bool) -> Iterator[None]:
        try:
            with fail_after(self._settings.timeout):
                yield
        except (TimeoutError, *http.TransportError) as error:
            raise http.lost(error, provider=PROVIDER, repeatable=repeatable) from error
        except (ValueError, TypeError, httpx2.InvalidURL) as error:  # a response or URL that cannot be parsed
            kind = Unavailable if repeatable else OutcomeUnknown
            raise kind(f"unreadable response: {type(error).__name__}", provider=PROVIDER) from error
