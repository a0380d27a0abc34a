"""A quota blocked by a long 429: its backlog waits in line, and continues when the block is lifted."""

from functools import partial

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.pacing import StageTimes, buckets, pacing
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.claim import claim
from blogworker.queue.job import Done, Stage
from blogworker.quota.breaker import Breakers
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings, load

pytestmark = pytest.mark.anyio

WITHIN_S = 45.0
IDEAS, CONTENT = "openai/small", "openai/large"


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load(
        {
            "database": {"url": database_url},
            "openai": {"ideas_model": "small", "content_model": "large", "rpm": 6_000, "tpm": 60_000_000},
            "worker": {"concurrency": 5, "name": "w", "poll_interval": 60, "quota_patience": 1},
        }
    )


@pytest.fixture
async def limiter(database: Database, settings: Settings) -> Limiter:
    limiter = Limiter(database, buckets(settings))
    await limiter.start()
    return limiter


@pytest.fixture
async def gate(database: Database, limiter: Limiter, settings: Settings) -> Gate:
    return Gate(Breakers(database), "wait", pacing=partial(pacing, settings, StageTimes()))


@pytest.fixture
def claimed(database: Database, worker_id, gate: Gate):
    """The stages of what a worker claims now, from a site with a job at each."""

    async def look() -> set[Stage]:
        async with database.connection() as connection:
            await connection.execute(
                "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until) "
                "values ('me', %s, 'h', 1, '0', 50, now() + interval '1 hour')",
                (worker_id,),
            )
            for stage in Stage:
                await connection.execute(
                    "insert into blog_generations (instance_id, source_type, source_id, stage) "
                    "values ('site', 'keyword', 'k', %s)",
                    (stage,),
                )
        passing = gate.claim_filter()
        assert passing is not None
        found = await claim(database, worker_id, slots=50, site_window=20, only=passing)
        return {c.stage for c in found.claims}

    return look


async def test_a_stage_whose_model_is_blocked_is_not_claimed(limiter, claimed):
    await limiter.block(CONTENT, 86_400)

    assert await claimed() == set(Stage) - {Stage.CONTENT}


async def test_a_source_waits_with_the_ideas_that_follow_it(limiter, claimed):
    await limiter.block(IDEAS, 86_400)

    assert await claimed() == {Stage.CONTENT, Stage.IMAGE, Stage.PUBLISH}


async def test_a_lifted_block_is_noticed_by_the_next_claim(database, limiter, claimed):
    """No worker has to be notified."""
    await limiter.block(CONTENT, 86_400)
    await database.rows("quota/unblock", name=CONTENT)

    assert await claimed() == set(Stage)


async def test_a_provider_is_probed_with_a_job_that_can_call_it(database, worker_id, limiter, gate):
    """A job that finds its quota blocked shows nothing about the provider, and the fleet waits for the next probe."""
    await limiter.block(IDEAS, 86_400)
    async with database.connection() as connection:
        await connection.execute(
            "update provider_health set state = 'open', retry_at = clock_timestamp() where provider = 'openai'"
        )
        await connection.execute(
            "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until) "
            "values ('me', %s, 'h', 1, '0', 50, now() + interval '1 hour')",
            (worker_id,),
        )
        await connection.execute(
            "insert into blog_generations (instance_id, source_type, source_id, stage) "
            "values ('site', 'keyword', 'k', 'ideas'), ('site', 'keyword', 'k', 'content')"
        )
    await gate.sync()

    probe_claim = await gate.take_probe_claim()

    assert probe_claim is not None
    looks = [await claim(database, worker_id, slots=1, site_window=20, only=p) for p in probe_claim.filters]
    assert [[c.stage for c in look.claims] for look in looks] == [[], [Stage.CONTENT]]


async def test_a_blocked_backlog_is_not_claimed_until_a_person_lifts_the_block(database, limiter, gate, settings):
    """Otherwise a day-long 429 would cost two writes per job every few minutes."""
    claimed: list[str] = []

    async def pipeline(worker_id, claim, saved, enter):
        claimed.append(claim.stage)
        return Done()

    await database.execute("bench/insert_jobs", instance_id="site", jobs=50)
    await limiter.block(IDEAS, 86_400)
    await gate.sync()
    incarnation = Incarnation(settings, database, DatabaseHealth(), pipeline, gate=gate)

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: incarnation.run(until_empty=False))
        await sleep(1.5)  # the stretch that is watched
        assert claimed == []
        await database.rows("quota/unblock", name=IDEAS)
        with fail_after(WITHIN_S):
            while len(claimed) < 50:
                await sleep(0.02)
        incarnation.drain(0)
