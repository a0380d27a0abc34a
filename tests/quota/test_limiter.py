"""The limiter: wait for a permit, make the call, tell what it used."""

from datetime import UTC, datetime

import pytest
from anyio import create_task_group, current_time, fail_after, move_on_after

from blogworker.errors import RateLimited, Unavailable
from blogworker.quota import Bucket
from blogworker.quota.limiter import Limiter

pytestmark = pytest.mark.anyio

BUCKET = Bucket("openai/mini", "openai", requests_per_minute=600, tokens_per_minute=6000)  # 10 and 100 a second


@pytest.fixture
async def limiter(database):
    limiter = Limiter(database, {BUCKET.name: BUCKET})
    await limiter.open()
    return limiter


async def ahead_s(database) -> tuple[float, float]:
    """How far what is granted reaches into the future: requests, tokens."""
    (row,) = await database.rows("ops/quotas")
    return row["requests_ahead_s"], row["tokens_ahead_s"]


async def next_wait_s(database) -> float:
    """What the next call would wait, without taking anything."""
    row = await database.one("quota/reserve", name=BUCKET.name, tokens=1, longest_wait_s=-1)
    return row["wait_s"]


async def blocked_s(database) -> float:
    (row,) = await database.rows("ops/quotas")
    return row["blocked_s"]


def limited(seconds: float) -> RateLimited:
    return RateLimited("slow down", provider="openai", status=429).after(seconds)


async def test_a_permit_makes_the_caller_wait_for_its_turn(limiter):
    async with limiter.permit(BUCKET.name, tokens=130) as first:  # 1.3 s of tokens, 1 s of which is the burst
        pass
    began = current_time()

    async with limiter.permit(BUCKET.name, tokens=1) as second:
        waited_s = current_time() - began

    assert first.waited_s == 0
    assert 0.1 < second.waited_s <= 0.3
    assert waited_s >= second.waited_s


async def test_real_usage_below_the_estimate_is_given_back(limiter, database):
    async with limiter.permit(BUCKET.name, tokens=2000) as permit:
        before = await ahead_s(database)
        permit.used(500)

    after = await ahead_s(database)
    assert before[1] == pytest.approx(20, abs=1)
    assert after[1] == pytest.approx(5, abs=1)


async def test_real_usage_above_the_estimate_is_charged(limiter, database):
    async with limiter.permit(BUCKET.name, tokens=100) as permit:
        permit.used(1000)

    assert (await ahead_s(database))[1] == pytest.approx(10, abs=1)


async def test_usage_that_was_counted_is_kept_when_the_call_ends_badly(limiter, database):
    """An answer that is no use has been paid for all the same."""

    async def cut_off() -> None:
        async with limiter.permit(BUCKET.name, tokens=2000) as permit:
            permit.used(1000)
            raise Unavailable("cut off", provider="openai")

    with pytest.raises(Unavailable):
        await cut_off()

    assert (await ahead_s(database))[1] == pytest.approx(10, abs=1)


async def test_the_estimate_stays_charged_when_nobody_knows_the_usage(limiter, database):
    """The vendor may have counted a call that never answered us."""
    with pytest.raises(Unavailable):
        async with limiter.permit(BUCKET.name, tokens=2000):
            raise Unavailable("timeout", provider="openai")

    assert (await ahead_s(database))[1] == pytest.approx(20, abs=1)


async def test_a_caller_cancelled_while_it_waits_gives_all_of_it_back(limiter, database):
    """A drained worker must not leave the fleet waiting for calls that are never made."""
    async with limiter.permit(BUCKET.name, tokens=1000):
        pass
    before = await ahead_s(database), await next_wait_s(database)

    with move_on_after(0.2) as scope:
        async with limiter.permit(BUCKET.name, tokens=2000):
            pytest.fail("its turn is seconds away")

    assert scope.cancelled_caught
    assert (await ahead_s(database))[1] <= before[0][1]
    assert await next_wait_s(database) <= before[1]


async def test_a_wait_that_would_be_long_is_refused_and_costs_nothing(limiter, database):
    """The job is parked until then, and its slot serves another."""
    async with limiter.permit(BUCKET.name, tokens=5000):
        before = await ahead_s(database)

    with pytest.raises(RateLimited) as refused:
        async with limiter.permit(BUCKET.name, tokens=10):
            pytest.fail("not for another 49 s")

    assert refused.value.retry_after_s == pytest.approx(49, abs=1)
    assert (refused.value.provider, refused.value.code) == ("openai", "quota")
    assert (await ahead_s(database))[1] <= before[1]
    assert await blocked_s(database) == 0


async def test_a_vendors_429_blocks_the_bucket_for_every_worker(limiter, database):
    """The others need not each collect a 429 of their own."""
    with pytest.raises(RateLimited):
        async with limiter.permit(BUCKET.name, tokens=1):
            raise limited(40)
    another_worker = Limiter(database, {BUCKET.name: BUCKET})

    with pytest.raises(RateLimited) as refused:
        async with another_worker.permit(BUCKET.name, tokens=1):
            pytest.fail("the vendor said not yet")

    assert refused.value.retry_after_s == pytest.approx(40, abs=1)


async def test_opening_again_forgets_nothing(limiter, database):
    """A worker that restarts in a crash loop must not win quota by it."""
    async with limiter.permit(BUCKET.name, tokens=2000):
        pass

    await limiter.open()

    assert (await ahead_s(database))[1] > 15


async def test_callers_in_one_process_and_another_share_one_line(limiter, database):
    """Twenty calls at 10 a second and a burst of one: the last starts after 0.9 s, whoever made it."""
    another = Limiter(database, {BUCKET.name: BUCKET})
    starts: list[datetime] = []
    waits: list[float] = []

    async def call(which: Limiter) -> None:
        async with which.permit(BUCKET.name) as permit:
            starts.append(datetime.now(UTC))
            waits.append(permit.waited_s)

    began = current_time()
    with fail_after(10):
        async with create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(call, (limiter, another)[n % 2])
    took_s = current_time() - began

    assert len(starts) == 20
    assert max(waits) <= 0.9
    assert took_s >= 0.85
