"""What a worker claims while a breaker is open: a real queue, real breakers, scripted pipelines."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.daemon.gate import Gate
from blogworker.daemon.worker import Worker
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.errors import ProviderDown, Unavailable
from blogworker.queue.job import Claim, Done, Outcome, Stage, Wait
from blogworker.queue.lease import Lease
from blogworker.queue.settle import Settler
from blogworker.quota import breaker
from blogworker.quota.breaker import Breakers
from blogworker.settings import QueueSettings, WorkerSettings

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

WITHIN_S = 45.0
NEEDED = {"source": "openai", "ideas": "openai", "content": "openai", "image": "replicate", "publish": "wix"}


class Fleet:
    """Some workers whose jobs make one call to the provider of their stage, and then are done."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.down: set[str] = set()
        self.calls: Counter[str] = Counter()
        self.claimed: Counter[str] = Counter()
        self.silent = 0  # the next jobs that end without a call, because they have paid already

    async def sql(self, text: str) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode())
            return await cursor.fetchall() if cursor.description else []

    async def add(self, stage: Stage, count: int = 1, *, source_type: str = "keyword") -> None:
        await self.sql(
            "insert into blog_generations (instance_id, source_type, source_id, stage) "
            f"select 'site' || n, '{source_type}', 'k', '{stage}' from generate_series(1, {count}) as n"
        )

    async def open_breaker(self, provider: str) -> None:
        """Open, with the next probe due now."""
        self.down.add(provider)
        await self.sql(
            "update provider_health set state = 'open', epoch = 1, openings = 1, opened_at = clock_timestamp(), "
            f"retry_at = clock_timestamp() where provider = '{provider}'"
        )

    async def statuses(self) -> Counter[str]:
        rows = await self.sql("select stage || ' ' || status as held from blog_generations")
        return Counter(row["held"] for row in rows)

    async def until(self, fact: dict[str, int]) -> None:
        with fail_after(WITHIN_S):
            while await self.statuses() != fact:
                await sleep(0.02)

    async def work(self, name: str, *, until_empty: bool = True) -> None:
        """One worker, until the queue is empty."""
        lease = Lease(self.database, name=name, lease_s=60, concurrency=10)
        worker_id = (await lease.begin()).worker_id
        breakers = Breakers(self.database)
        await breakers.sync()
        settler = Settler(self.database, worker_id)
        worker = Worker(
            self.database,
            settler,
            self._pipeline(breakers),
            queue=QueueSettings(_env_file=None),
            worker=WorkerSettings(concurrency=10, poll_interval=0.1, _env_file=None),
            health=DatabaseHealth(),
            gate=Gate(breakers, "wait"),
        )
        async with create_task_group() as keepers:
            keepers.start_soon(settler.run)
            keepers.start_soon(self._keep, breakers, worker)
            async with create_task_group() as jobs:
                await worker.claim_loop(worker_id, jobs, until_empty=until_empty)
            keepers.cancel_scope.cancel()

    async def _keep(self, breakers: Breakers, worker: Worker) -> None:
        while True:
            await self.database.one("queue/promote", batch=100, only=None, skipped=[])
            if await breakers.sync():
                worker.wake()
            await sleep(0.05)

    def _pipeline(self, breakers: Breakers) -> Any:
        async def attempt(claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
            self.claimed[claim.stage] += 1
            reads = (claim.source_type, claim.stage) == ("product", "source")
            provider = "wix" if reads else NEEDED[claim.stage]
            if self.silent:
                self.silent -= 1
                return Done()
            try:
                async with breakers.guarding(provider):
                    self.calls[provider] += 1
                    if provider in self.down:
                        raise Unavailable("503", provider=provider, status=503)
            except ProviderDown as down:
                return Wait(down.retry_after_s, str(down))
            return Done()

        return attempt


@pytest.fixture
async def fleet(database: Database) -> Fleet:
    return Fleet(database)


async def test_only_jobs_that_need_the_provider_wait(fleet):
    """Claimed and released repeatedly, a thousand jobs would load the database for nothing."""
    await fleet.open_breaker("openai")
    await fleet.add(Stage.IDEAS, 30)
    await fleet.add(Stage.PUBLISH, 5)

    async with create_task_group() as tasks:
        tasks.start_soon(fleet.work, "one")
        tasks.start_soon(fleet.work, "two")
        with fail_after(WITHIN_S):
            while fleet.calls["openai"] < 3:
                await sleep(0.02)
        assert fleet.claimed == {"publish": 5, "ideas": 3}
        held = await fleet.statuses()
        assert held["publish DONE"] == 5
        assert held["ideas PENDING"] + held["ideas PROCESSING"] == 30
        fleet.down.clear()

    assert await fleet.statuses() == {"publish DONE": 5, "ideas DONE": 30}


async def test_workers_until_empty_wait_for_a_provider(fleet):
    """Otherwise they would exit as if no work were left."""
    await fleet.open_breaker("wix")
    await fleet.sql("update provider_health set retry_at = null where provider = 'wix'")
    await fleet.add(Stage.PUBLISH, 3)
    fleet.down.clear()

    async with create_task_group() as tasks:
        tasks.start_soon(fleet.work, "one")
        await sleep(1)
        assert await fleet.statuses() == {"publish PENDING": 3}
        await fleet.sql("update provider_health set state = 'closed' where provider = 'wix'")
        await fleet.until({"publish DONE": 3})


async def test_a_successful_probe_lets_all_jobs_continue(fleet):
    await fleet.open_breaker("openai")
    await fleet.add(Stage.CONTENT, 4)
    fleet.down.clear()

    with fail_after(WITHIN_S):
        await fleet.work("one")

    assert await fleet.statuses() == {"content DONE": 4}
    assert fleet.calls["openai"] == 4


async def test_a_job_that_ends_without_a_call_leaves_the_probe_to_the_next(fleet, monkeypatch):
    """The fleet would stand still until the probe is taken for dead, and once more for each such job."""
    monkeypatch.setattr(breaker, "PROBE_S", 3600.0)
    await fleet.open_breaker("openai")
    await fleet.add(Stage.IDEAS, 6)
    fleet.down.clear()
    fleet.silent = 2

    with fail_after(WITHIN_S):
        await fleet.work("one")

    assert await fleet.statuses() == {"ideas DONE": 6}
    assert fleet.calls["openai"] == 4


async def test_wix_is_probed_with_a_product_when_there_is_nothing_to_publish(fleet):
    """A campaign of products begins with what the shops know of them: nobody would ever call Wix again."""
    await fleet.open_breaker("wix")
    await fleet.add(Stage.SOURCE, 6, source_type="product")

    async with create_task_group() as tasks:
        tasks.start_soon(fleet.work, "one")
        with fail_after(WITHIN_S):
            while fleet.calls["wix"] < 2:
                await sleep(0.02)
        assert fleet.claimed == {"source": 2}, "those that would only find it away wait in the line"
        fleet.down.clear()

    assert await fleet.statuses() == {"source DONE": 6}


async def test_a_probe_uses_the_quickest_call(fleet):
    """A post takes half a minute to write, and the fleet waits for the answer."""
    await fleet.open_breaker("openai")
    await fleet.add(Stage.CONTENT, 6)
    await fleet.add(Stage.IDEAS, 1)
    breakers = Breakers(fleet.database)
    await breakers.sync()

    probe_claim = await Gate(breakers, "wait").take_probe_claim()

    assert probe_claim is not None
    assert [passing.stages for passing in probe_claim.filters] == [(Stage.SOURCE, Stage.IDEAS), (Stage.CONTENT,)]


async def test_a_probe_after_our_own_fault_repeats_the_refused_kind_of_call(fleet):
    """If only posts are refused, a probe with ideas would close the breaker, and all would be refused again."""
    await fleet.open_breaker("openai")
    await fleet.sql("update provider_health set misconfigured = true where provider = 'openai'")
    breakers = Breakers(fleet.database)
    await breakers.sync()

    probe_claim = await Gate(breakers, "wait").take_probe_claim()

    assert probe_claim is not None
    assert [passing.stages for passing in probe_claim.filters] == [(Stage.CONTENT,), (Stage.SOURCE, Stage.IDEAS)]


async def test_an_open_breaker_is_probed_when_there_is_work_for_it(fleet):
    await fleet.open_breaker("openai")
    fleet.down.clear()

    with fail_after(WITHIN_S):
        await fleet.work("one")
        (row,) = await fleet.sql("select state, openings from provider_health where provider = 'openai'")
        await fleet.add(Stage.IDEAS, 2)
        await fleet.work("one")

    assert row == {"state": "open", "openings": 1}
    assert await fleet.statuses() == {"ideas DONE": 2}
