"""The limiter: wait for a permit, make the call, report the usage."""

from datetime import UTC, datetime

import pytest
from anyio import create_task_group, current_time, fail_after, move_on_after, sleep

from blogworker.errors import ProviderDown, RateLimited, Unavailable, Unsent
from blogworker.quota import Bucket, ProviderLimits
from blogworker.quota.headers import limits_in
from blogworker.quota.limiter import Limiter

from .clocks import look
from .wire import in_line

pytestmark = pytest.mark.anyio

BUCKET = Bucket("openai/mini", "openai", requests_per_minute=600, tokens_per_minute=6000)  # 10 and 100 a second


@pytest.fixture
async def limiter(database):
    limiter = Limiter(database, {BUCKET.name: BUCKET})
    await limiter.start()
    return limiter


async def until(condition) -> None:
    with fail_after(5):
        while not condition():
            await sleep(0.01)


async def ahead_s(database) -> tuple[float, float]:
    """How far what is granted reaches into the future: requests, tokens."""
    (row,) = await database.rows("ops/quotas", name=None, every=True)
    return row["requests_ahead_s"], row["tokens_ahead_s"]


async def next_wait_s(database) -> float:
    """What the next call would wait, without taking anything."""
    (expected_s,) = (await database.one("quota/round", **look(BUCKET.name)))["expected_s"]
    return expected_s


async def blocked_s(database) -> float:
    (row,) = await database.rows("ops/quotas", name=None, every=True)
    return row["blocked_s"]


def limited(seconds: float) -> RateLimited:
    return RateLimited("slow down", provider="openai", status=429).after(seconds)


async def test_a_permit_makes_the_caller_wait_for_its_turn(limiter):
    async with limiter.permit(BUCKET.name, tokens=130) as first:  # 1.3 s of tokens, 1 s of which is the burst
        pass
    began = current_time()

    async with limiter.permit(BUCKET.name, tokens=1) as second:
        waited_s = current_time() - began

    assert first.waited_s < 0.1
    assert 0.1 < second.waited_s < 2
    assert waited_s >= second.waited_s


async def test_usage_below_the_estimate_is_refunded(limiter, database):
    async with limiter.permit(BUCKET.name, tokens=2000) as permit:
        before = await ahead_s(database)
        permit.used(500)

    after = await ahead_s(database)
    assert before[1] == pytest.approx(20, abs=1)
    assert after[1] == pytest.approx(5, abs=1)


async def test_usage_above_the_estimate_is_charged(limiter, database):
    async with limiter.permit(BUCKET.name, tokens=100) as permit:
        permit.used(1000)

    assert (await ahead_s(database))[1] == pytest.approx(10, abs=1)


async def test_reported_usage_is_kept_when_the_call_fails(limiter, database):
    """An unusable answer is also paid for."""

    async def cut_off() -> None:
        async with limiter.permit(BUCKET.name, tokens=2000) as permit:
            permit.used(1000)
            raise Unavailable("cut off", provider="openai")

    with pytest.raises(Unavailable):
        await cut_off()

    assert (await ahead_s(database))[1] == pytest.approx(10, abs=1)


async def test_the_estimate_stays_charged_when_the_usage_is_unknown(limiter, database):
    """The provider may have counted a call that never answered us."""
    with pytest.raises(Unavailable):
        async with limiter.permit(BUCKET.name, tokens=2000):
            raise Unavailable("timeout", provider="openai")

    assert (await ahead_s(database))[1] == pytest.approx(20, abs=1)


@pytest.mark.parametrize(
    ("error", "cause", "kept_s"),
    [
        (ProviderDown("breaker open", provider="openai"), None, 0),
        (Unsent("could not connect", provider="openai"), None, 0),
        (ProviderDown("breaker open", provider="openai"), Unsent("could not connect", provider="openai"), 0),
        (ProviderDown("breaker open", provider="openai"), Unavailable("503", provider="openai", status=503), 20),
    ],
    ids=["refused by the breaker", "not connected", "not connected in an outage", "answered in an outage"],
)
async def test_a_call_that_was_never_sent_is_refunded(limiter, database, error, cause, kept_s):
    """Otherwise an outage would use up the quota far ahead, and it is missing when the provider is back."""

    async def fails() -> None:
        async with limiter.permit(BUCKET.name, tokens=2000):
            raise error from cause

    with pytest.raises(type(error)):
        await fails()

    (row,) = await database.rows("ops/quotas", name=None, every=True)
    assert row["tokens_ahead_s"] == pytest.approx(kept_s, abs=1)
    assert row["requests_in_last_minute"] == bool(kept_s)
    assert row["tokens_in_last_minute"] == 100 * kept_s


async def test_a_call_refused_after_its_wait_is_not_counted(limiter, database):
    """The breaker may open while a caller waits for its turn."""
    async with limiter.permit(BUCKET.name, tokens=130):
        before = await ahead_s(database)

    async def refused_in_the_end() -> None:
        async with limiter.permit(BUCKET.name, tokens=400) as permit:
            assert permit.waited_s > 0.1
            raise ProviderDown("breaker open", provider="openai")

    with pytest.raises(ProviderDown):
        await refused_in_the_end()

    (row,) = await database.rows("ops/quotas", name=None, every=True)
    assert row["tokens_ahead_s"] <= before[1]
    assert (row["requests_in_last_minute"], row["tokens_in_last_minute"]) == (1, 130)


async def test_a_caller_cancelled_while_waiting_refunds_everything(limiter, database):
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
    """The job goes back to the line, and its slot serves another."""
    async with limiter.permit(BUCKET.name, tokens=5000):
        before = await ahead_s(database)

    with pytest.raises(RateLimited) as refused:
        async with limiter.permit(BUCKET.name, tokens=10):
            pytest.fail("not for another 49 s")

    assert refused.value.retry_after_s == pytest.approx(49, abs=1)
    assert (refused.value.provider, refused.value.code) == ("openai", "quota")
    assert (await ahead_s(database))[1] <= before[1]
    assert await blocked_s(database) == 0


async def test_a_429_blocks_the_bucket_for_every_worker(limiter, database):
    """The others need not each collect a 429 of their own."""
    with pytest.raises(RateLimited):
        async with limiter.permit(BUCKET.name, tokens=1):
            raise limited(40)
    another_worker = Limiter(database, {BUCKET.name: BUCKET})

    with pytest.raises(RateLimited) as refused:
        async with another_worker.permit(BUCKET.name, tokens=1):
            pytest.fail("the vendor said not yet")

    assert refused.value.retry_after_s == pytest.approx(40, abs=1)


async def test_a_restart_keeps_the_state_of_the_bucket(limiter, database):
    """A worker that restarts in a crash loop must not win quota by it."""
    async with limiter.permit(BUCKET.name, tokens=2000):
        pass

    await limiter.start()

    assert (await ahead_s(database))[1] > 15


async def test_callers_in_one_process_and_another_share_one_line(limiter, database):
    """Twenty calls at 10 per second and a burst of one: the last starts after 0.9 s."""
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
    assert max(waits) <= 1.1
    assert took_s >= 0.85


async def test_a_429_uses_no_tokens(limiter, database):
    with pytest.raises(RateLimited):
        async with limiter.permit(BUCKET.name, tokens=3000):
            raise limited(0.1)

    assert (await ahead_s(database))[1] < 2


CHANGES = {
    "block": lambda database: database.execute("quota/block", name=BUCKET.name, seconds=0.01),
    "set": lambda database: database.execute(
        "quota/set_bucket", name=BUCKET.name, requests_per_minute=60_000, tokens_per_minute=6_000_000, pinned=True
    ),
    "slow_down": lambda database: database.execute("quota/slow_down", name=BUCKET.name),
}


async def test_a_new_limit_reaches_callers_that_wait_on_every_worker_within_a_second(limiter, database):
    """`quotas set`: callers that wait for twenty seconds under the old limit continue under the new one."""
    another = Limiter(database, {BUCKET.name: BUCKET})
    went: list[float] = []

    async def wait(which: Limiter) -> None:
        async with which.permit(BUCKET.name, tokens=1):
            went.append(current_time())

    async with limiter.permit(BUCKET.name, tokens=2000), create_task_group() as tasks:
        for which in (limiter, another):
            tasks.start_soon(wait, which)
        await until(lambda: limiter.waiting() == another.waiting() == {BUCKET.name: 1})
        await sleep(0.3)
        assert not went
        await CHANGES["set"](database)
        changed_at = current_time()

    assert len(went) == 2
    assert max(went) - changed_at < 1.2, "half a second to notice, and a round"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_change_reaches_every_waiting_worker(limiter, database, change):
    """Earlier grants are revoked: nobody uses them."""
    another = Limiter(database, {BUCKET.name: BUCKET})
    before = limiter._clients[BUCKET.name].epoch

    async def wait(which: Limiter) -> None:
        async with which.permit(BUCKET.name, tokens=1):
            pass

    async with limiter.permit(BUCKET.name, tokens=2000), create_task_group() as tasks:
        for which in (limiter, another):
            tasks.start_soon(wait, which)
        await until(lambda: limiter.waiting() == another.waiting() == {BUCKET.name: 1})
        await change(database)
        await until(lambda: all(which._clients[BUCKET.name].epoch > before for which in (limiter, another)))
        tasks.cancel_scope.cancel()


async def test_a_block_delays_callers_that_are_already_waiting(limiter, database):
    async with limiter.permit(BUCKET.name, tokens=180):
        pass
    went = []

    async def wait() -> None:
        async with limiter.permit(BUCKET.name, tokens=1):
            went.append(current_time())

    async with create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(wait)
        await sleep(0.1)
        await limiter.block(BUCKET.name, 1.5)
        blocked_at = current_time()

    assert min(went) - blocked_at >= 1.4


async def test_callers_that_repeat_their_request_keep_their_order(limiter, database):
    order = []

    async def wait(number: int) -> None:
        async with limiter.permit(BUCKET.name, tokens=10):
            order.append(number)

    async with limiter.permit(BUCKET.name, tokens=100), create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(wait, number)
        with fail_after(20):  # one that asks only after the block may overtake those that have to ask again
            while len(order) + await in_line(database) < 12:
                await sleep(0.01)
        await CHANGES["block"](database)

    assert order == sorted(order)


async def test_callers_of_two_workers_go_in_the_order_of_their_turns(limiter, database):
    """The site that was served least is next, whichever worker has its job and whoever came first."""
    another = Limiter(database, {BUCKET.name: BUCKET})
    order = []

    async def call(which: Limiter, turn: float) -> None:
        async with which.permit(BUCKET.name, tokens=40, turn=turn):
            order.append(turn)

    async with limiter.permit(BUCKET.name, tokens=250), create_task_group() as tasks:  # the next goes in 1.5 s
        for which, turn in ((limiter, 5), (another, 3), (limiter, 1), (another, 4), (limiter, 2)):
            tasks.start_soon(call, which, turn)

    assert order == [1, 2, 3, 4, 5]


async def test_a_limiter_waits_no_longer_than_its_longest_wait(database):
    """Jobs have a line to go back to; who has none waits longer."""
    hurried = Limiter(database, {BUCKET.name: BUCKET}, longest_wait_s=1)
    await hurried.start()

    async with hurried.permit(BUCKET.name, tokens=400):
        with pytest.raises(RateLimited) as refused:
            async with hurried.permit(BUCKET.name, tokens=1):
                pytest.fail("not for another 3 s")

    assert refused.value.retry_after_s == pytest.approx(3, abs=0.5)


async def test_headers_of_the_provider_slow_the_fleet(limiter, database):
    await limiter.learn(BUCKET.name, ProviderLimits(requests_limit=600, tokens_limit=6000, tokens_left=0.1))
    await limiter.learn(BUCKET.name, ProviderLimits(requests_limit=600, tokens_limit=6000, tokens_left=0.9))

    (row,) = await database.rows("ops/quotas", name=None, every=True)
    assert row["pace"] == pytest.approx(0.2, abs=0.05), "a few times a second is enough"


async def test_an_absurdly_high_limit_is_stored_as_the_largest_possible(limiter, database):
    """Gateways that have no limit say so with a number that fits no column."""
    await limiter.learn(BUCKET.name, limits_in({"x-ratelimit-limit-tokens": "9" * 12}))

    (row,) = await database.rows("ops/quotas", name=None, every=True)
    assert row["max_tokens"] == BUCKET.tokens_per_minute


async def test_an_answer_without_headers_changes_nothing(limiter, database):
    before = (await database.rows("ops/quotas", name=None, every=True))[0]["pace"]

    await limiter.learn(BUCKET.name, ProviderLimits())

    assert (await database.rows("ops/quotas", name=None, every=True))[0]["pace"] == before == 1


async def test_a_guest_creates_missing_buckets_and_changes_no_others(limiter, database):
    """A person's own settings must not become the fleet's, nor wake everybody who waits for a grant."""
    other = Bucket("openai/max", "openai", requests_per_minute=5, tokens_per_minute=50)
    poorer = Bucket(BUCKET.name, "openai", requests_per_minute=1, tokens_per_minute=1)

    await Limiter(database, {BUCKET.name: poorer, other.name: other}).start_as_guest()

    found = {
        row["name"]: row["requests_per_minute"] for row in await database.rows("ops/quotas", name=None, every=True)
    }
    assert found == {BUCKET.name: 600, other.name: 5}
