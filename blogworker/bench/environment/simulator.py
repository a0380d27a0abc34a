"""The simulated providers: a process, its faults, and its counters."""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

import httpx2
from anyio import CancelScope, move_on_after, open_process, sleep
from anyio import Path as AsyncPath

from blogworker.errors import BlogworkerError

POLL_S = 0.05
STOP_TIMEOUT_S = 5.0
NO_ANSWER_S = 1.0  # until a connection without an answer is closed
SLOW_DRAFT_S = 8.0  # Wix can take half a minute, and creates the draft even if the client has disconnected

ProviderFault = dict[str, Any]  # the JSON form of a fault of the simulator


def _fault(provider: str, operation: str, kind: str, probability: float, **more: Any) -> ProviderFault:
    return {"vendor": provider, "operation": operation, "kind": kind, "probability": probability, **more}


# The first fault that matches applies. After reset_after, no_answer and malformed the provider has done the work, but
# the client does not have the answer.
FAULTS: Sequence[ProviderFault] = (
    _fault("openai", "responses.create", "reset_after", 0.03),
    _fault("openai", "responses.create", "no_answer", 0.02, delay_s=NO_ANSWER_S),
    _fault("openai", "responses.create", "malformed", 0.02),
    _fault("openai", "responses.create", "status", 0.03, status=500),
    _fault("openai", "responses.create", "throttle", 0.01, retry_after_s=0.5),
    _fault("replicate", "predictions.create", "reset_after", 0.04),
    _fault("replicate", "predictions.create", "no_answer", 0.02, delay_s=NO_ANSWER_S),
    _fault("replicate", "predictions.create", "status", 0.02, status=503),
    _fault("replicate", "predictions.create", "throttle", 0.01, retry_after_s=1),
    _fault("replicate", "files.get", "reset_before", 0.03),
    _fault("wix", "drafts.create", "latency", 0.06, delay_s=SLOW_DRAFT_S),
    _fault("wix", "drafts.create", "reset_after", 0.08),
    _fault("wix", "drafts.create", "no_answer", 0.04, delay_s=NO_ANSWER_S),
    _fault("wix", "drafts.create", "status", 0.03, status=500),
    _fault("wix", "drafts.publish", "reset_after", 0.08),
    _fault("wix", "drafts.publish", "no_answer", 0.04, delay_s=NO_ANSWER_S),
    _fault("wix", "media.import", "reset_after", 0.04),
    _fault("wix", "*", "throttle", 0.005, retry_after_s=1),
)


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator."""

    url: str
    speed: float
    client: httpx2.AsyncClient
    pid: int

    async def stats(self) -> dict[str, Any]:
        return await self._get("stats")

    async def posts(self) -> list[dict[str, Any]]:
        """Return the posts of all sites, without their content."""
        posts: list[dict[str, Any]] = (await self._get("wix/posts?content=false"))["posts"]
        return posts

    async def products(self, site: str) -> list[str]:
        """Return the ids of a site's products."""
        return [product["id"] for product in (await self._get(f"wix/products?site={site}"))["products"]]

    async def requests(self) -> list[dict[str, Any]]:
        """Return the request log, as far back as it is kept."""
        requests: list[dict[str, Any]] = (await self._get("requests?limit=1000000"))["requests"]
        return requests

    async def set_faults(self, faults: Sequence[ProviderFault]) -> None:
        (await self.client.post(f"{self.url}/__sim/faults", json=list(faults))).raise_for_status()

    async def configure(self, **options: float) -> None:
        (await self.client.post(f"{self.url}/__sim/options", json=options)).raise_for_status()

    async def clear_faults(self) -> None:
        (await self.client.delete(f"{self.url}/__sim/faults")).raise_for_status()

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self.client.get(f"{self.url}/__sim/{path}")
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a worker that uses it. The limits grow with the speed: a provider's minute is shorter."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/openai/v1",
            "OPENAI_API_KEY": "simulated-key",
            "OPENAI_RPM": str(max(1, round(450 * self.speed))),
            "OPENAI_TPM": str(max(1, round(450_000 * self.speed))),
            "REPLICATE_BASE_URL": f"{self.url}/replicate",
            "REPLICATE_API_TOKEN": "simulated-key",
            "REPLICATE_RPM": str(max(1, round(600 * self.speed))),
            "REPLICATE_READS_RPM": str(max(1, round(3_000 * self.speed))),
            "REPLICATE_POLL_INTERVAL": str(0.5 / self.speed),
            "WIX_BASE_URL": f"{self.url}/wix",
            "WIX_APP_ID": "simulated",
            "WIX_APP_SECRET": "simulated-key",
            "WIX_RPM": str(max(8, round(200 * self.speed))),
            "WIX_MEDIA_POLL_INTERVAL": str(1 / self.speed),
        }


@asynccontextmanager
async def running_simulator(
    folder: Path, *, speed: float, seed: int, scenario: Path | None = None
) -> AsyncIterator[Simulator]:
    """Run a simulator during the block, with its log in `folder`. Raises BlogworkerError if it does not start."""
    url_file = AsyncPath(folder / "simulator.url")
    await url_file.unlink(missing_ok=True)  # from an earlier run
    with (folder / "simulator.log").open("wb") as output:
        process = await open_process(
            [
                *(sys.executable, "-m", "blogworker", "simulate", "--port", "0", "--seed", str(seed)),
                *("--speed", str(speed), "--url-file", str(url_file)),
                *(("--scenario", str(scenario)) if scenario else ()),
            ],
            stdin=None,
            stdout=output,
            stderr=output,
            env=dict(os.environ),
            start_new_session=True,
        )
    try:
        while not await url_file.exists() or not (url := await url_file.read_text()):
            if process.returncode is not None:
                raise BlogworkerError(f"the simulator exited with code {process.returncode}; see {folder}")
            await sleep(POLL_S)
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
            yield Simulator(url, speed, client, process.pid)
    finally:
        with CancelScope(shield=True):
            process.send_signal(SIGTERM)
            with move_on_after(STOP_TIMEOUT_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
