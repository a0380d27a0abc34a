"""Clients of the simulator, for the stages that show something to the world."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.wix.client import WixClient
from blogworker.settings import OpenAISettings, ReplicateSettings, WixSettings
from blogworker.simulator import SimulatorOptions, running_simulator
from blogworker.stages.work import Clients

KEY = "simulated"
PATIENCE_S = 30  # a busy machine may take seconds over a call, which then counts as lost


class Room:
    """The simulator's control room."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def fault(self, **fault: Any) -> None:
        answer = await self._http.post("/__sim/faults", json=fault)
        assert answer.status_code == 201, answer.text

    async def configure(self, **options: Any) -> None:
        (await self._http.post("/__sim/options", json=options)).raise_for_status()

    async def forgive(self) -> None:
        """No more faults."""
        (await self._http.delete("/__sim/faults")).raise_for_status()

    async def requests(self, vendor: str) -> list[dict[str, Any]]:
        answer = await self._http.get("/__sim/requests", params={"vendor": vendor, "limit": 2000})
        return answer.json()["requests"]

    async def stats(self) -> dict[str, Any]:
        return (await self._http.get("/__sim/stats")).json()

    async def posts(self, site: str) -> list[dict[str, Any]]:
        return (await self._http.get("/__sim/wix/posts", params={"site": site})).json()["posts"]

    async def products(self, site: str) -> list[dict[str, Any]]:
        answer = (await self._http.get("/__sim/wix/products", params={"site": site})).json()
        return answer["products"]

    async def delete_draft(self, site: str, draft_id: str, *, permanent: bool) -> None:
        """What the owner of a site does by hand."""
        grant = {"grant_type": "client_credentials", "client_id": "app", "client_secret": KEY, "instance_id": site}
        token = (await self._http.post("/wix/oauth2/token", json=grant)).json()["access_token"]
        (
            await self._http.delete(
                f"/wix/blog/v3/draft-posts/{draft_id}",
                params={"permanent": str(permanent).lower()},
                headers={"Authorization": token},
            )
        ).raise_for_status()

    async def catalog(self, site: str) -> str:
        return (await self._http.get("/__sim/wix/products", params={"site": site})).json()["catalogVersion"]

    async def operations(self, vendor: str) -> list[str]:
        return [entry["operation"] for entry in await self.requests(vendor)]


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[tuple[Clients, Room]]:
    """All three providers at a hundred times their speed."""
    async with (
        running_simulator(SimulatorOptions(**{"speed": 100, "openai_tail": 0, "replicate_cold": 0, **options})) as url,
        httpx2.AsyncClient(base_url=url) as http,
        OpenAIClient(
            OpenAISettings(api_key=KEY, base_url=f"{url}/openai/v1", timeout=PATIENCE_S, _env_file=None), connections=2
        ) as openai,
        ReplicateClient(_replicate(url), connections=2) as replicate,
        WixClient(_wix(url), connections=2) as wix,
    ):
        yield Clients(openai, replicate, wix), Room(http)


def _replicate(url: str) -> ReplicateSettings:
    return ReplicateSettings(
        api_token=KEY,
        base_url=f"{url}/replicate",
        timeout=PATIENCE_S,
        poll_interval=0.02,
        deadline=PATIENCE_S,
        _env_file=None,
    )


def _wix(url: str) -> WixSettings:
    return WixSettings(
        app_id="app", app_secret=KEY, base_url=f"{url}/wix", timeout=PATIENCE_S, media_timeout=PATIENCE_S,
        media_poll_interval=0.02, _env_file=None,
    )  # fmt: skip


def json_of(value: object) -> str:
    return json.dumps(value)
