"""Every form of throttling by a provider, from its simulator over real TCP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from blogworker.errors import Misconfigured, RateLimited, Rejected
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.wix.client import WixClient
from blogworker.settings import OpenAISettings, ReplicateSettings, WixSettings
from blogworker.simulator import SimulatorOptions, running_simulator

pytestmark = pytest.mark.anyio

KEY = "simulated"
SITE = "0a4b1c22-0000-4000-8000-00000000000a"
ASK = {
    "model": "gpt-6-luna",
    "instructions": "Write.",
    "input": "<source>{}</source>",
    "schema_name": "post",
    "schema": {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    },
    "max_output_tokens": 500,
}


class World:
    """The three clients, on a simulator whose faults a test sets."""

    def __init__(self, url: str, openai: OpenAIClient, replicate: ReplicateClient, wix: WixClient) -> None:
        self.url = url
        self.openai = openai
        self.replicate = replicate
        self.wix = wix

    async def fault(self, **fault: Any) -> None:
        async with httpx2.AsyncClient() as http:
            (await http.post(f"{self.url}/__sim/faults", json=fault)).raise_for_status()

    async def refusal(self, vendor: str) -> RateLimited:
        calls = {
            "openai": lambda: self.openai.generate(**ASK),
            "replicate": lambda: self.replicate.create("a mug", aspect_ratio="16:9"),
            "wix": lambda: self.wix.publish(SITE, "d1"),
        }
        with pytest.raises(RateLimited) as raised:
            await calls[vendor]()
        return raised.value


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[World]:
    async with running_simulator(SimulatorOptions(latency_scale=0.001, openai_tail=0, **options)) as url:
        texts = OpenAISettings(api_key=KEY, base_url=f"{url}/openai/v1", timeout=30, _env_file=None)
        pictures = ReplicateSettings(api_token=KEY, base_url=f"{url}/replicate", timeout=30, _env_file=None)
        sites = WixSettings(app_id="app", app_secret=KEY, base_url=f"{url}/wix", timeout=30, _env_file=None)
        async with (
            OpenAIClient(texts, connections=2) as openai,
            ReplicateClient(pictures, connections=2) as replicate,
            WixClient(sites, connections=2) as wix,
        ):
            yield World(url, openai, replicate, wix)


@pytest.fixture(scope="module")
async def vendors(anyio_backend: str) -> AsyncIterator[World]:
    async with running() as found:
        yield found


@pytest.fixture
async def world(vendors: World) -> AsyncIterator[World]:
    """Providers that the tests of this module share; faults end with the test."""
    yield vendors
    async with httpx2.AsyncClient() as http:
        (await http.delete(f"{vendors.url}/__sim/faults")).raise_for_status()


def said(message: str = "Rate limit reached", *, code: str = "rate_limit_exceeded", kind: str = "requests") -> Any:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def limits(kind: str, *, limit: int | None = None, left: int, full: str) -> dict[str, str]:
    told = {"limit": limit, "remaining": left, "reset": full}
    return {f"x-ratelimit-{fact}-{kind}": str(value) for fact, value in told.items() if value is not None}


def in_s(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


TOKENS_SHORT = said("Rate limit reached on tokens: Limit 60000, Used 59000, Requested 4000.", kind="tokens")


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "20"}, said(), 20),
        ({"retry-after-ms": "850"}, said(), 0.85),
        ({"retry-after": "1", "retry-after-ms": "850"}, said(), 1),
        ({"retry-after": "200"}, said(), 200),
        ({"retry-after": "20"}, said("Please try again in 41.7s."), 41.7),
        ({}, said("Please try again in 41.7s. Visit ..."), 41.7),
        ({}, said("Please try again in 6m0s."), 360),
        ({}, said("Please try again in 120ms."), 0.12),
        ({}, said("Please try again in 1h2m3.5s."), 3723.5),
        ({}, said(), 20),
        ({}, said("You are sending requests too quickly.", code="slow_down", kind="rate_limit_error"), 20),
        # a bucket that refills all the time has room long before it is full
        (limits("requests", limit=600, left=0, full="1m0s"), said(), 0.1),
        (limits("requests", limit=200, left=0, full="24h0m0s"), said(), 432),
        (limits("tokens", limit=60_000, left=1_000, full="59s"), TOKENS_SHORT, 3),
        (limits("project-tokens", limit=60_000, left=1_000, full="59s"), TOKENS_SHORT, 3),
        (limits("tokens", left=0, full="1m2s"), said(kind="tokens"), 62),
        (limits("tokens", limit=60_000, left=0, full="1h2m3.5s"), said(kind="tokens"), 3723.5),
        (limits("tokens", limit=60_000, left=0, full="120ms"), said(kind="tokens"), 0.12),
        (limits("tokens", limit=60_000, left=1_000, full="59s") | {"retry-after": "5"}, TOKENS_SHORT, 5),
        # a named wait decides, whatever the buckets take to be full
        (limits("tokens", limit=60_000, left=0, full="6m0s") | {"retry-after": "1"}, TOKENS_SHORT, 1),
        (limits("tokens", limit=60_000, left=0, full="6m0s"), said("Please try again in 850ms.", kind="tokens"), 0.85),
        (limits("requests", limit=200, left=0, full="24h0m0s") | {"retry-after-ms": "500"}, said(), 0.5),
        (limits("tokens", limit=60_000, left=9_000, full="59s"), TOKENS_SHORT, 20),
        (limits("tokens", limit=60_000, left=0, full="soon"), said(kind="tokens"), 20),
    ],
)
async def test_openai_sends_a_wait(world, headers, body, seconds):
    """Too short a wait is refused again, and refusals use up the quota; too long a one leaves it unused."""
    await world.fault(vendor="openai", kind="status", status=429, headers=headers, body=body)

    assert (await world.refusal("openai")).retry_after_s == pytest.approx(seconds)


@pytest.mark.parametrize("vendor", ["openai", "replicate", "wix"])
async def test_a_wait_can_be_a_date(world, vendor):
    """Measured from the provider's own clock, in whole seconds."""
    await world.fault(
        vendor=vendor, operation="[!o]*", kind="status", status=429, headers={"retry-after": in_s(300)}, body={}
    )

    assert (await world.refusal(vendor)).retry_after_s == pytest.approx(300, abs=15)


async def test_a_limit_is_waited_for_until_the_call_fits():
    """The simulator's own refusal: the time until its bucket is full would be a minute of everybody's."""
    async with running(openai_tpm=6_000, openai_correct_usage=False) as world:
        for _ in range(12):
            await world.openai.generate(**ASK)

        assert (await world.refusal("openai")).retry_after_s < 10


@pytest.mark.parametrize("status", [429, 503])
async def test_slow_down_is_not_an_outage(world, status):
    """Older endpoints say it with a 503; either way the limiter halves the pace."""
    await world.fault(vendor="openai", kind="status", status=status, body=said("Slow.", code="slow_down"))

    assert (await world.refusal("openai")).code == "slow_down"


@pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted", "project_spend_limit_exceeded"])
async def test_an_empty_account_is_not_retried(world, code):
    await world.fault(vendor="openai", kind="quota_exhausted", code=code, headers={"retry-after": "1"})

    with pytest.raises(Misconfigured):
        await world.openai.generate(**ASK)


async def test_a_request_above_the_limit_of_a_minute_is_not_retried():
    """If it were retried, it would be refused for ever, and stop the fleet each time."""
    async with running(openai_tpm=400) as world:
        with pytest.raises(Rejected, match="too large"):
            await world.openai.generate(**ASK)


THROTTLED = "Request was throttled. Your rate limit resets in ~{}s."


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, {"detail": THROTTLED.format(30)}, 30),
        ({}, {"detail": THROTTLED.format(7)}, 7),
        ({}, {"detail": "Slow.", "status": 429, "retry_after": 5}, 5),
        ({}, {"detail": "Slow.", "status": 429, "retry_after": "5"}, 5),
        ({}, {"detail": THROTTLED.format(9), "status": 429, "retry_after": 5}, 9),
        ({}, {"detail": "Slow.", "retry_after": "soon"}, 30),
        ({}, {"detail": "Slow.", "retry_after": None}, 30),
        ({}, {"detail": "Slow.", "retry_after": 10**9}, 86_400),
        ({}, {"detail": "Slow."}, 30),
        ({}, "no JSON", 30),
        ({"retry-after": "12"}, {"detail": "Slow.", "retry_after": 5}, 12),
        ({"retry-after": "0"}, "", 1),
    ],
)
async def test_replicate_sends_a_wait(world, headers, body, seconds):
    await world.fault(vendor="replicate", kind="status", status=429, headers=headers, body=body)

    refusal = await world.refusal("replicate")

    assert refusal.retry_after_s == pytest.approx(seconds)
    assert refusal.requests_per_minute is None


async def test_replicate_lowers_the_limit_of_an_account_low_on_credit(world):
    await world.fault(vendor="replicate", kind="low_credit")

    refusal = await world.refusal("replicate")

    assert (refusal.retry_after_s, refusal.requests_per_minute) == (5, 6)


@pytest.mark.parametrize(("told", "seconds"), [(None, 60), (7, 7), (90, 90)])
async def test_a_429_of_wix_waits_a_minute_unless_it_has_another_wait(world, told, seconds):
    """Its quota is counted by the minute; that it names a wait is not documented."""
    await world.fault(vendor="wix", operation="drafts.*", kind="throttle", retry_after_s=told)

    assert (await world.refusal("wix")).retry_after_s == seconds


async def test_token_requests_to_wix_can_be_throttled(world):
    world.wix._sites._tokens._tokens.clear()
    await world.fault(vendor="wix", operation="oauth.token", kind="throttle")

    assert (await world.refusal("wix")).retry_after_s == 60
