"""The vendors' simulator as a process of its own, the faults of the storm, and what it counted."""

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

LOOK_S = 0.05
STOP_GRACE_S = 5.0
SILENT_S = 1.0  # how long a call that gets no answer is kept waiting
SLOW_DRAFT_S = 8.0  # drafts have been seen to take half a minute, and are made whether or not their client lives

Fault = dict[str, Any]


def _fault(vendor: str, operation: str, kind: str, probability: float, **more: Any) -> Fault:
    return {"vendor": vendor, "operation": operation, "kind": kind, "probability": probability, **more}


# Each call meets the first that hits it. The work was done, and its answer lost: reset_after, no_answer, malformed.
FAULTS: Sequence[Fault] = (
    _fault("openai", "responses.create", "reset_after", 0.03),
    _fault("openai", "responses.create", "no_answer", 0.02, delay_s=SILENT_S),
    _fault("openai", "responses.create", "malformed", 0.02),
    _fault("openai", "responses.create", "status", 0.03, status=500),
    _fault("openai", "responses.create", "throttle", 0.01, retry_after_s=0.5),
    _fault("replicate", "predictions.create", "reset_after", 0.04),
    _fault("replicate", "predictions.create", "no_answer", 0.02, delay_s=SILENT_S),
    _fault("replicate", "predictions.create", "status", 0.02, status=503),
    _fault("replicate", "predictions.create", "throttle", 0.01, retry_after_s=1),
    _fault("replicate", "files.get", "reset_before", 0.03),
    _fault("wix", "drafts.create", "latency", 0.06, delay_s=SLOW_DRAFT_S),
    _fault("wix", "drafts.create", "reset_after", 0.08),
    _fault("wix", "drafts.create", "no_answer", 0.04, delay_s=SILENT_S),
    _fault("wix", "drafts.create", "status", 0.03, status=500),
    _fault("wix", "drafts.publish", "reset_after", 0.08),
    _fault("wix", "drafts.publish", "no_answer", 0.04, delay_s=SILENT_S),
    _fault("wix", "media.import", "reset_after", 0.04),
    _fault("wix", "*", "throttle", 0.005, retry_after_s=1),
)


@dataclass(frozen=True, slots=True)
class Vendors:
    """A running simulator."""

    url: str
    speed: float
    client: httpx2.AsyncClient
    pid: int

    async def stats(self) -> dict[str, Any]:
        return await self._get("stats")

    async def posts(self) -> list[dict[str, Any]]:
        """What stands on all sites."""
        found: list[dict[str, Any]] = (await self._get("wix/posts?content=false"))["posts"]
        return found

    async def products(self, site: str) -> list[str]:
        """The ids of what a site sells."""
        return [product["id"] for product in (await self._get(f"wix/products?site={site}"))["products"]]

    async def requests(self) -> list[dict[str, Any]]:
        """The request log, as far back as it is kept."""
        found: list[dict[str, Any]] = (await self._get("requests?limit=1000000"))["requests"]
        return found

    async def trouble(self, faults: Sequence[Fault]) -> None:
        (await self.client.post(f"{self.url}/__sim/faults", json=list(faults))).raise_for_status()

    async def configure(self, **options: float) -> None:
        (await self.client.post(f"{self.url}/__sim/options", json=options)).raise_for_status()

    async def calm(self) -> None:
        (await self.client.delete(f"{self.url}/__sim/faults")).raise_for_status()

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self.client.get(f"{self.url}/__sim/{path}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a worker that talks to it: a faster clock allows more a minute of ours."""
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
async def vendors(folder: Path, *, speed: float, seed: int, scenario: Path | None = None) -> AsyncIterator[Vendors]:
    """A simulator that runs while the block lasts."""
    url_file = AsyncPath(folder / "simulator.url")
    await url_file.unlink(missing_ok=True)  # of a run before this one
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
                raise BlogworkerError(f"the simulator ended with {process.returncode}; see {folder}")
            await sleep(LOOK_S)
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
            yield Vendors(url, speed, client, process.pid)
    finally:
        with CancelScope(shield=True):
            process.send_signal(SIGTERM)
            with move_on_after(STOP_GRACE_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
