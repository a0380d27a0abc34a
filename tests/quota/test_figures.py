"""The figures of the last minute, against what really happened."""

from uuid import uuid4

import pytest
from anyio import create_task_group, fail_after, sleep
from psycopg.types.json import Json

from blogworker.errors import RateLimited, Unavailable
from blogworker.quota import Bucket
from blogworker.quota.limiter import Limiter
from blogworker.quota.round import Request

pytestmark = pytest.mark.anyio

BUCKET = Bucket("openai/mini", "openai", requests_per_minute=6000, tokens_per_minute=60_000)
IMAGES = Bucket("replicate/predictions", "replicate", requests_per_minute=1200, tokens_per_minute=None, burst_s=0.1)
WORKER = {"host": "h", "pid": 1, "version": "0", "concurrency": 5, "lease_s": 60}


@pytest.fixture
async def two(database):
    """Two workers' limiters."""
    limiters = [Limiter(database, {bucket.name: bucket for bucket in (BUCKET, IMAGES)}) for _ in range(2)]
    await limiters[0].start()
    return limiters


async def figures(database, bucket=BUCKET):
    return next(row for row in await database.rows("ops/quotas", name=None, every=True) if row["name"] == bucket.name)


async def test_the_fleets_calls_and_their_real_usage_are_counted(two, database):
    """The seed knew its own process only, and estimates only."""

    async def call(limiter, used):
        async with limiter.permit(BUCKET.name, tokens=300) as permit:
            permit.used(used)

    async with create_task_group() as tasks:
        for number in range(20):  # the first go at once, the others wait
            tasks.start_soon(call, two[number % 2], 100 + number)

    found = await figures(database)
    assert found["requests_in_last_minute"] == 20
    assert found["tokens_in_last_minute"] == sum(100 + number for number in range(20))
    assert (found["max_requests"], found["max_tokens"]) == (6000, 60_000)
    assert found["requests_percent"] == pytest.approx(20 / 60, abs=0.1)
    assert found["tokens_percent"] == pytest.approx(100 * found["tokens_in_last_minute"] / 60_000, abs=0.1)


async def test_unsent_and_refused_calls_used_no_tokens(two, database):
    """A cancelled caller leaves no trace; a 429 is a request without tokens; an unknown usage is the estimate."""

    async def fail(error):
        async with two[0].permit(BUCKET.name, tokens=400):
            raise error

    async def wait():
        async with two[1].permit(BUCKET.name, tokens=400):
            pytest.fail("the tokens are used up")

    with pytest.raises(Unavailable):
        await fail(Unavailable("timeout", provider="openai"))
    with pytest.raises(RateLimited):
        await fail(RateLimited("too many", provider="openai", status=429).after(0.01))
    async with two[0].permit(BUCKET.name, tokens=4000), create_task_group() as tasks:
        tasks.start_soon(wait)
        await until(lambda: two[1].waiting())
        await sleep(0.2)
        tasks.cancel_scope.cancel()

    found = await figures(database)
    assert (found["requests_in_last_minute"], found["tokens_in_last_minute"]) == (3, 4400)


async def test_a_call_granted_to_a_cancelled_caller_is_not_counted(two, database):
    client = two[0]._clients[BUCKET.name]
    ask = Request(500, 0)
    await client.reserve(ask)
    before = await figures(database)

    await client.refund(ask.reservation)

    after = await figures(database)
    assert (before["requests_in_last_minute"], before["tokens_in_last_minute"]) == (1, 500)
    assert (after["requests_in_last_minute"], after["tokens_in_last_minute"]) == (0, 0)


async def test_a_bucket_without_tokens_counts_its_calls_too(two, database):
    """Calls that waited are reported when they end, because no usage is sent for them."""

    async def call(limiter):
        async with limiter.permit(IMAGES.name):
            pass

    async with create_task_group() as tasks:
        for number in range(16):
            tasks.start_soon(call, two[number % 2])

    found = await figures(database, IMAGES)
    assert found["requests_in_last_minute"] == 16
    assert found["tokens_in_last_minute"] is found["max_tokens"] is found["tokens_percent"] is None


async def test_waiting_calls_are_counted_over_all_live_workers(two, database):
    async def wait(limiter):
        async with limiter.permit(BUCKET.name, tokens=10):
            pass

    ids = [uuid4() for _ in range(3)]
    for number, worker_id in enumerate(ids):
        await database.execute("queue/register_worker", name=f"w{number}", worker_id=worker_id, **WORKER)

    async def extend(number, waiting):
        await database.rows(
            "queue/extend_lease",
            worker_id=ids[number],
            lease_s=60,
            in_flight=5,
            draining=False,
            stats=Json({"waiting": waiting}),
        )

    async with two[0].permit(BUCKET.name, tokens=20_000), create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(wait, two[number % 2])
        await until(lambda: sum(limiter.waiting().get(BUCKET.name, 0) for limiter in two) == 5)
        for number, limiter in enumerate(two):
            await extend(number, limiter.waiting())
        await extend(2, {BUCKET.name: 100})
        await database.execute("queue/end_lease", worker_id=ids[2])  # a dead worker's callers wait no more
        found = await figures(database)
        beat = (await database.one("ops/heartbeat"))["quotas"][BUCKET.name]
        tasks.cancel_scope.cancel()

    assert found["queue_length"] == 5
    assert two[0].waiting() == two[1].waiting() == {}
    assert beat["queue_length"] == 5
    assert (beat["requests_in_last_minute"], beat["tokens_in_last_minute"]) == (1, 20_000)
    assert (beat["max_requests"], beat["max_tokens"]) == (6000, 60_000)


async def test_a_limit_lowered_by_the_provider_is_shown(two, database):
    await database.execute(
        "quota/learn", name=BUCKET.name, requests_limit=600, tokens_limit=None, requests_left=1.0, tokens_left=1.0
    )
    async with two[0].permit(BUCKET.name):
        pass

    found = await figures(database)
    assert (found["max_requests"], found["max_tokens"], found["requests_percent"]) == (600, 60_000, 0.2)


async def until(condition) -> None:
    with fail_after(5):
        while not condition():
            await sleep(0.01)
