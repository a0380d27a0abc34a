"""Calls to Wix sites and polls of predictions, paced for the whole fleet, checked by the simulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
from anyio import create_task_group, sleep

from blogworker.daemon import pacing
from blogworker.daemon.clients import open_clients
from blogworker.db.pool import Database
from blogworker.errors import RateLimited, Unavailable
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.wix.client import WixClient
from blogworker.quota import Bucket
from blogworker.quota.limiter import Limiter
from blogworker.settings import ReplicateSettings, Settings, WixSettings, load
from blogworker.simulator import SimulatorOptions, running_simulator

pytestmark = pytest.mark.anyio

BUSY, QUIET = "0a4b1c22-0000-4000-8000-00000000000a", "0a4b1c22-0000-4000-8000-00000000000b"
KEY = "simulated"
RPM = 200
SPEED = 10  # times as fast as life: the limit, its minute, and the burst


class Room:
    """The control room."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def fault(self, **fault: Any) -> None:
        (await self._http.post(f"{self.url}/__sim/faults", json=fault)).raise_for_status()

    async def stats(self) -> dict[str, Any]:
        return (await self._http.get(f"{self.url}/__sim/stats")).json()


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[Room]:
    fast = SimulatorOptions(latency_scale=0.0, **options)
    async with running_simulator(fast) as url, httpx2.AsyncClient() as http:
        yield Room(url, http)


@asynccontextmanager
async def worker(room: Room, database: Database, *, rpm: int = RPM) -> AsyncIterator[WixClient]:
    """What one process has of Wix: a limiter of its own, and a client that waits for its turns."""
    settings = WixSettings(app_id="app", app_secret=KEY, base_url=f"{room.url}/wix", timeout=30, _env_file=None)
    pace = pacing.site_pace(Limiter(database, {}), rpm=rpm)
    async with WixClient(settings, connections=50, pace=pace) as client:
        yield client


def settings_of(url: str) -> Settings:
    """A worker's, of one that talks to this simulator."""
    return load(
        {
            "database": {"url": "postgresql://unused"},
            "openai": {"api_key": KEY, "base_url": f"{url}/openai/v1"},
            "replicate": {"api_token": KEY, "base_url": f"{url}/replicate"},
            "wix": {"app_id": "app", "app_secret": KEY, "base_url": f"{url}/wix"},
        }
    )


async def look(wix: WixClient, site: str) -> None:
    await wix._sites.get(site, "/apps/v1/instance")


async def test_the_share_of_a_site_stays_below_its_limit_in_every_minute():
    """Wix counts by the minute, and does not say when a minute begins."""
    for rpm in (8, 60, 200, 2_000):
        bucket = pacing.site_bucket("a", rpm=rpm)
        a_call_s = 60 / bucket.requests_per_minute
        busiest = int((60 + bucket.burst_s) / a_call_s) + 1

        assert 0.75 * rpm <= busiest <= rpm
    assert busiest == 1_876, "of 2,000"


async def test_two_workers_keep_to_the_limit_of_a_site_and_do_not_slow_another(database, monkeypatch):
    """Four hundred calls at once for one site, which Wix would refuse half of; ten for another go by them."""
    monkeypatch.setattr(pacing, "SITE_BURST_S", pacing.SITE_BURST_S / SPEED)
    ended: list[str] = []

    async def calls(wix: WixClient, site: str, count: int) -> None:
        for _ in range(count):
            await look(wix, site)
            ended.append(site)

    async with (
        simulated(wix_rpm=RPM * SPEED, wix_window_s=60 / SPEED) as room,
        worker(room, database, rpm=RPM * SPEED) as first,
        worker(room, database, rpm=RPM * SPEED) as second,
    ):
        async with create_task_group() as tasks:
            for wix in (first, second):
                for _ in range(20):
                    tasks.start_soon(calls, wix, BUSY, 10)
            tasks.start_soon(calls, first, QUIET, 10)
        stats = await room.stats()

    assert stats["wix"]["requests_over_the_limit"] == 0
    assert stats["vendors"]["wix"]["statuses"] == {"200": 413}, "with a token a site and worker"
    assert ended.index(BUSY) < len(ended) - 1 - ended[::-1].index(QUIET) < len(ended) / 2, "not behind the busy one"


async def test_without_pacing_the_simulator_refuses(database):
    """What the test above would not show if the simulator did not count."""
    async with simulated(wix_rpm=20) as room:
        settings = WixSettings(app_id="app", app_secret=KEY, base_url=f"{room.url}/wix", timeout=30, _env_file=None)
        async with WixClient(settings, connections=5) as unpaced:
            for _ in range(20):
                await look(unpaced, BUSY)
            with pytest.raises(RateLimited):
                await look(unpaced, BUSY)

        assert (await room.stats())["wix"]["requests_over_the_limit"] == 1


@pytest.mark.parametrize(("told", "seconds"), [(None, 60), (40, 40)])
async def test_a_429_stops_its_site_for_the_fleet_and_no_other(database, monkeypatch, told, seconds):
    """Otherwise each job of the site, on each worker, would be refused once."""
    monkeypatch.setattr(pacing, "SITE_SPARES", 0)  # the second worker has no calls that were granted before
    async with simulated() as room, worker(room, database) as first, worker(room, database) as second:
        await look(second, BUSY)
        await room.fault(vendor="wix", operation="apps.instance", site=BUSY, kind="throttle", retry_after_s=told)
        with pytest.raises(RateLimited) as refused:
            await look(first, BUSY)
        with pytest.raises(RateLimited) as held:
            await look(second, BUSY)
        await look(second, QUIET)
        stats = await room.stats()

    assert refused.value.status == 429
    assert held.value.code == "quota"
    assert held.value.retry_after_s == pytest.approx(seconds, abs=5)
    assert stats["vendors"]["wix"]["statuses"]["429"] == 1


async def test_a_throttled_token_request_blocks_its_site_too(database):
    async with simulated() as room, worker(room, database) as first, worker(room, database) as second:
        await room.fault(vendor="wix", operation="oauth.token", site=BUSY, kind="throttle")
        for wix in (first, second):
            with pytest.raises(RateLimited):
                await look(wix, BUSY)
        await look(second, QUIET)
        stats = await room.stats()

    assert stats["vendors"]["wix"]["operations"]["oauth.token"] == 2


async def test_polls_of_predictions_stay_below_their_own_limit(database):
    """Fifty slots of a few workers look more often than Replicate allows."""
    reads = Bucket(pacing.READS, "replicate", 6_000, None)
    limiters = [Limiter(database, {pacing.READS: reads}) for _ in range(2)]
    await limiters[0].start()
    async with simulated(replicate_read_rpm=6_200, replicate_burst=1 / 30) as room:  # two seconds of calls at once
        settings = ReplicateSettings(api_token=KEY, base_url=f"{room.url}/replicate", _env_file=None)
        async with (
            ReplicateClient(settings, connections=10, pace=pacing.read_pace(limiters[0])) as first,
            ReplicateClient(settings, connections=10, pace=pacing.read_pace(limiters[1])) as second,
        ):
            prediction_id = await first.create("a mug", aspect_ratio="16:9")
            async with create_task_group() as tasks:
                for replicate in (first, second):
                    for _ in range(150):
                        tasks.start_soon(look_once, replicate, prediction_id)
        stats = await room.stats()

    assert stats["vendors"]["replicate"]["throttled"] == 0
    assert stats["vendors"]["replicate"]["operations"]["predictions.get"] >= 300


async def look_once(replicate: ReplicateClient, prediction_id: str) -> None:
    """Repeat a call that ends without an answer: on a busy machine a connection may take seconds."""
    while True:
        with suppress(Unavailable):
            await replicate.get(prediction_id)
            return


async def test_the_clients_of_a_worker_are_paced(database):
    """A client without its turns works just as well, until the provider refuses the whole fleet."""
    async with simulated() as room:
        settings = settings_of(room.url)
        limiter = Limiter(database, pacing.buckets(settings))
        await limiter.start()
        async with open_clients(settings, limiter, connections=1) as clients:
            await look(clients.wix, BUSY)
            prediction_id = await clients.replicate.create("a mug", aspect_ratio="16:9")
            await clients.replicate.get(prediction_id)
            await clients.replicate.cancel(prediction_id)

    async with database.connection() as connection:
        rows = await connection.execute("select name from quotas where requests_clock > to_timestamp(0)")
        charged = {row["name"] for row in await rows.fetchall()}
    assert charged == {f"wix/{BUSY}", pacing.READS}, "for what it creates, a stage asks by itself"


async def test_a_refused_poll_delays_the_polls_of_the_fleet(database):
    limiters = [Limiter(database, {pacing.READS: Bucket(pacing.READS, "replicate", 600, None)}) for _ in range(2)]
    await limiters[0].start()
    async with simulated() as room:
        await room.fault(vendor="replicate", operation="predictions.get", kind="throttle", retry_after_s=50)
        settings = ReplicateSettings(api_token=KEY, base_url=f"{room.url}/replicate", _env_file=None)
        refusals = []
        for limiter in limiters:
            async with ReplicateClient(settings, connections=1, pace=pacing.read_pace(limiter)) as replicate:
                with pytest.raises(RateLimited) as refused:
                    await replicate.get("p1")
                refusals.append(refused.value.code)
        stats = await room.stats()

    assert refusals == [None, "quota"]
    assert stats["vendors"]["replicate"]["throttled"] == 1


def of_accounts(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings_of("http://127.0.0.1:9")


async def test_models_that_share_a_limit_share_a_bucket(database, monkeypatch):
    """A bucket each would let the fleet overrun the one limit that both draw from."""
    settings = of_accounts(
        monkeypatch, BLOGWORKER_MODEL_FAMILIES='{"gpt-6-luna": "gpt-6", "gpt-6.1-terra": "gpt-6"}', OPENAI_RPM="60"
    )
    limiter = Limiter(database, pacing.buckets(settings))
    await limiter.start()

    async with limiter.permit("openai/gpt-6-luna", tokens=10), limiter.permit("openai/gpt-6.1-terra", tokens=10):
        pass

    rows = {row["name"]: row for row in await database.rows("ops/quotas", name=None, every=True)}
    assert set(rows) == {"openai/gpt-6", pacing.PREDICTIONS, pacing.READS}
    assert rows["openai/gpt-6"]["requests_in_last_minute"] == 2


async def test_keys_of_two_accounts_have_separate_quotas(database, monkeypatch):
    """Usage and refusals of one account do not affect the other."""
    first, second = (
        Limiter(database, pacing.buckets(of_accounts(monkeypatch, OPENAI_ACCOUNT=name, REPLICATE_ACCOUNT=name)))
        for name in ("acme", "globex")
    )
    await first.start()
    await second.start()

    with pytest.raises(RateLimited):
        async with first.permit("openai/gpt-6-luna", tokens=10):
            raise RateLimited("slow down", provider="openai", status=429).after(50)
    async with second.permit("openai/gpt-6-luna", tokens=10):
        pass

    rows = {row["name"]: row for row in await database.rows("ops/quotas", name=None, every=True)}
    assert {name for name in rows if name.startswith("replicate")} == {
        f"replicate@{name}/{calls}" for name in ("acme", "globex") for calls in ("predictions", "reads")
    }
    assert [rows[f"openai@{name}/gpt-6-luna"]["blocked_s"] > 0 for name in ("acme", "globex")] == [True, False]


async def test_waiting_callers_are_counted_by_the_name_of_the_bucket(database, monkeypatch):
    """The queue length of a quota is found by it."""
    settings = of_accounts(monkeypatch, OPENAI_ACCOUNT="acme", OPENAI_RPM="60")
    limiter = Limiter(database, pacing.buckets(settings))
    await limiter.start()
    async with create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(_take, limiter)
        while not limiter.waiting():
            await sleep(0.01)
        assert set(limiter.waiting()) == {"openai@acme/gpt-6-luna"}
        tasks.cancel_scope.cancel()


async def _take(limiter: Limiter) -> None:
    async with limiter.permit("openai/gpt-6-luna", tokens=10):
        pass
