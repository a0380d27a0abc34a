"""A running simulator, and plain HTTP clients of its providers."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from blogworker.simulator import SimulatorOptions, running_simulator

FAST = {"latency_scale": 0.002, "openai_tail": 0.0, "replicate_cold": 0.0}


@pytest.fixture
def options() -> dict[str, Any]:
    """Options of the simulator. A test parametrizes this fixture to change some."""
    return {}


@pytest.fixture
async def base_url(options: dict[str, Any], anyio_backend: str) -> AsyncIterator[str]:
    async with running_simulator(SimulatorOptions(**FAST | options)) as url:
        yield url


@pytest.fixture
async def http(base_url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=base_url, timeout=10) as client:
        yield client


class Control:
    """A client of the control API."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def fault(self, **values: Any) -> None:
        answer = await self._http.post("/__sim/faults", json=values)
        assert answer.status_code == 201, answer.text

    async def stats(self) -> dict[str, Any]:
        return (await self._http.get("/__sim/stats")).json()

    async def requests(self, **filters: str) -> list[dict[str, Any]]:
        return (await self._http.get("/__sim/requests", params=filters)).json()["requests"]


@pytest.fixture
def control(http: httpx2.AsyncClient) -> Control:
    return Control(http)


class Site:
    """A Wix client of one site, with its token."""

    def __init__(self, http: httpx2.AsyncClient, instance_id: str) -> None:
        self._http = http
        self.instance_id = instance_id
        self.headers: dict[str, str] = {}

    async def sign_in(self) -> httpx2.Response:
        body = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "x"}
        answer = await self._http.post("/wix/oauth2/token", json=body | {"instance_id": self.instance_id})
        if answer.is_success:
            self.headers = {"Authorization": answer.json()["access_token"]}
        return answer

    async def call(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return await self._http.request(method, f"/wix{path}", headers=self.headers, **more)

    async def owner(self) -> str:
        answer = await self.call("GET", "/members/v1/members", params={"fieldsets": "FULL"})
        [owner] = [member for member in answer.json()["members"] if member["loginEmail"].startswith("owner@")]
        return owner["id"]

    async def draft(self, **fields: Any) -> httpx2.Response:
        post = {"title": "A post", "memberId": await self.owner()} | fields
        return await self.call("POST", "/blog/v3/draft-posts", json={"draftPost": post})


@pytest.fixture
async def site(http: httpx2.AsyncClient) -> Site:
    found = Site(http, "0a4b1c22-0000-4000-8000-00000000000a")
    await found.sign_in()
    return found
