"""The gate of quotas that a 429 has stopped for long: a backlog waits in line, and goes on when the block is lifted."""

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.pacing import stage_buckets
from blogworker.db.patient import Weather
from blogworker.db.pool import Database
from blogworker.queue.claim import ALL
from blogworker.queue.job import Done, Stage
from blogworker.quota.blocks import Blocks
from blogworker.quota.breaker import Breakers
from blogworker.quota.bucket import Bucket
from blogworker.quota.limiter import Limiter
from blogworker.settings import OpenAISettings, Settings, load

pytestmark = pytest.mark.anyio

WITHIN_S = 20.0
MODELS = OpenAISettings(ideas_model="small", content_model="large", _env_file=None)
IDEAS, CONTENT = (Bucket(MODELS.bucket(model), "openai", 600, 6000) for model in ("small", "large"))


@pytest.fixture
async def limiter(database: Database) -> Limiter:
    limiter = Limiter(database, {bucket.name: bucket for bucket in (IDEAS, CONTENT)})
    await limiter.open()
    return limiter


@pytest.fixture
async def gate(database: Database, limiter: Limiter) -> Gate:
    return Gate(Breakers(database), "wait", blocks=Blocks(database, stage_buckets(MODELS)))


@pytest.fixture
def settings(database_url: str) -> Settings:
    return load({"database": {"url": database_url}, "worker": {"concurrency": 5, "name": "w", "poll_interval": 60}})


async def test_a_stage_whose_model_is_blocked_for_long_is_not_claimed(limiter, gate):
    await limiter.block(CONTENT.name, 86_400)
    await gate.sync()

    assert gate.passing().stages == (Stage.SOURCE, Stage.IDEAS, Stage.IMAGE, Stage.PUBLISH)


async def test_a_source_waits_with_the_ideas_that_follow_it(limiter, gate):
    await limiter.block(IDEAS.name, 86_400)
    await gate.sync()

    assert gate.passing().stages == (Stage.CONTENT, Stage.IMAGE, Stage.PUBLISH)


async def test_a_short_block_is_waited_for_in_line(limiter, gate):
    """So that calls go the moment it ends."""
    await limiter.block(CONTENT.name, 20)

    assert await gate.sync() is False
    assert gate.passing() == ALL


async def test_the_end_of_a_block_is_news(database, limiter, gate):
    await limiter.block(CONTENT.name, 86_400)
    await gate.sync()
    await database.rows("quota/unblock", name=CONTENT.name)

    assert [await gate.sync(), await gate.sync()] == [True, False]
    assert gate.passing() == ALL


async def test_a_provider_is_probed_with_what_may_call_it(database, limiter, gate):
    """A job that only finds its quota blocked tells nothing of the provider, and the fleet waits for the next."""
    await limiter.block(IDEAS.name, 86_400)
    async with database.connection() as connection:
        await connection.execute(
            "update provider_health set state = 'open', retry_at = clock_timestamp() where provider = 'openai'"
        )
    await gate.sync()

    trial = await gate.trial()

    assert trial is not None
    assert [passing.stages for passing in trial.passings] == [(Stage.CONTENT,)]


async def test_a_backlog_is_not_taken_and_put_back_and_goes_on_when_a_person_lifts_the_block(
    database, limiter, gate, settings
):
    """A day-long 429 would else cost two writes a blog every five minutes."""
    claimed: list[str] = []

    async def pipeline(worker_id, claim, saved):
        claimed.append(claim.stage)
        return Done()

    await database.execute("bench/insert_by_hand", instance_id="site", jobs=50)
    await limiter.block(IDEAS.name, 86_400)
    await gate.sync()
    incarnation = Incarnation(settings, database, Weather(), pipeline, gate=gate)

    async with create_task_group() as tasks:
        tasks.start_soon(lambda: incarnation.run(until_empty=False))
        await sleep(1.5)  # the stretch that is watched
        assert claimed == []
        await database.rows("quota/unblock", name=IDEAS.name)
        with fail_after(WITHIN_S):
            while len(claimed) < 50:
                await sleep(0.02)
        incarnation.drain(0)
