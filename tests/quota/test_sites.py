"""Buckets that come and go: one for each site in use, of the thousands there are."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.db.pool import Database, Row, Runner, connect
from blogworker.errors import RateLimited
from blogworker.quota import Bucket, ProviderLimits
from blogworker.quota.bucket_client import SPARE_S
from blogworker.quota.limiter import IDLE_S, OWN_QUOTA, Limiter
from blogworker.quota.upkeep import IDLE_S as REMOVED_S
from blogworker.quota.upkeep import LIMITS_EXPIRE_S, clean_up

pytestmark = pytest.mark.anyio

PICTURES = Bucket("replicate/predictions", "replicate", 600, None)


def site(name: str, *, rpm: int = 150) -> Bucket:
    return Bucket(f"wix/{name}", "wix", rpm, None, 15.0)


class Heard(Runner):
    """Another runner, and what it was asked."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.statements: list[str] = []

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        self.statements.append(name)
        return await self._runner.rows(name, **parameters)


@pytest.fixture
def heard(database: Database) -> Heard:
    return Heard(database)


@pytest.fixture
async def limiter(heard: Heard) -> Limiter:
    limiter = Limiter(heard, {PICTURES.name: PICTURES})
    await limiter.start()
    heard.statements.clear()
    return limiter


async def call(limiter: Limiter, bucket: Bucket) -> None:
    await limiter.ensure(bucket)
    async with limiter.permit(bucket.name):
        pass


async def until(condition: Callable[[], object]) -> None:
    with fail_after(20):
        while not condition():
            await sleep(0.01)


async def names(database: Database) -> set[str]:
    return {row["name"] for row in await database.rows("ops/quotas", name=None, every=True)}


async def sql(database: Database, text: str) -> None:
    async with database.connection() as connection:
        await connection.execute(text.encode())


async def test_a_bucket_is_created_at_its_first_use_only(limiter, heard, database):
    """Each call costs one statement; making sure of the bucket must not cost another."""
    for _ in range(3):
        await call(limiter, site("a"))

    assert heard.statements == ["quota/ensure_bucket", *["quota/round"] * 3]
    assert await names(database) == {PICTURES.name, "wix/a"}


async def with_spares(limiter: Limiter, bucket: Bucket, *, spares: int = 4) -> None:
    await limiter.ensure(bucket)
    async with limiter.permit(bucket.name, spares=spares):
        pass


async def test_calls_one_after_the_other_share_a_round(limiter, heard, database):
    for _ in range(10):
        await with_spares(limiter, site("a"))

    assert heard.statements.count("quota/round") == 2
    (row,) = await database.rows("ops/quotas", name="wix/a", every=True)
    assert row["requests_in_last_minute"] == 10


async def test_calls_that_never_start_are_given_back(limiter, database):
    """They count for nothing, and the calls behind them start as soon as if they had not been granted."""
    await with_spares(limiter, site("a"))
    client = limiter._clients["wix/a"]
    client._spares = [replace(spare, starts_at=spare.starts_at - SPARE_S - 1) for spare in client._spares]

    await with_spares(limiter, site("a"))  # the spares are too old for it
    client.drop_spares()
    await client._send_refunds()

    (row,) = await database.rows("ops/quotas", name="wix/a", every=True)
    assert row["requests_in_last_minute"] == 2


async def test_a_429_voids_the_calls_that_were_granted_in_advance(limiter, heard):
    await limiter.ensure(site("a"))
    with pytest.raises(RateLimited):
        async with limiter.permit("wix/a", spares=4):
            raise RateLimited("too many", provider="wix", status=429).after(600)
    heard.statements.clear()

    with pytest.raises(RateLimited) as held:
        await with_spares(limiter, site("a"))

    assert held.value.code == OWN_QUOTA
    assert "quota/round" in heard.statements


async def test_no_call_is_granted_in_advance_before_the_end_of_a_block(limiter):
    """A call may be granted up to a second before it starts; one in advance starts at any time."""
    await limiter.ensure(site("a"))
    await limiter.block("wix/a", 0.6)

    await with_spares(limiter, site("a"))

    assert limiter._clients["wix/a"]._spares == []


async def test_no_call_is_granted_in_advance_where_calls_wait(limiter):
    """They would go before calls that have waited longer."""
    slow = Bucket("wix/slow", "wix", 6, None, 15.0)
    await limiter.ensure(slow)
    async with create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(partial(with_spares, limiter, slow))
        await until(lambda: limiter.waiting().get("wix/slow"))
        tasks.cancel_scope.cancel()

    assert limiter._clients["wix/slow"]._spares == []


async def test_concurrent_first_users_share_one_bucket(limiter, heard):
    async with create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call, limiter, site("a"))

    assert heard.statements.count("quota/round") < 20


async def test_a_worker_forgets_the_sites_it_does_not_call(limiter, heard):
    """Thousands of sites in a day must not stay in its memory."""
    for number in range(10):
        await call(limiter, site(f"s{number}"))
    for name in limiter._ensured:
        limiter._clients[name].seen_at -= 2 * IDLE_S
    limiter._swept_at -= 2 * IDLE_S

    await call(limiter, site("another"))

    assert limiter._ensured == {"wix/another"}
    assert set(limiter._clients) == {PICTURES.name, "wix/another"}
    heard.statements.clear()
    await call(limiter, site("s1"))
    assert heard.statements == ["quota/ensure_bucket", "quota/round"]


async def test_the_latest_settings_apply_unless_a_person_pinned_the_bucket(limiter, database):
    await call(limiter, site("a"))
    await call(limiter, site("b"))
    await database.rows("quota/set_bucket", name="wix/b", requests_per_minute=30, tokens_per_minute=None, pinned=True)

    another = Limiter(database, {})
    await another.ensure(site("a", rpm=75))
    await another.ensure(site("b", rpm=75))

    limits = {
        row["name"]: row["requests_per_minute"] for row in await database.rows("ops/quotas", name=None, every=True)
    }
    assert (limits["wix/a"], limits["wix/b"]) == (75, 30)


async def test_only_buckets_of_sites_long_idle_are_removed(limiter, database):
    for name in ("idle", "used", "stopped", "set"):
        await call(limiter, site(name))
    await database.rows("quota/set_bucket", name="wix/set", requests_per_minute=9, tokens_per_minute=None, pinned=True)
    long_ago = f"clock_timestamp() - make_interval(secs => {REMOVED_S + 60})"
    await sql(database, f"update quotas set updated_at = {long_ago} where name <> 'wix/used'")
    await sql(database, "update quotas set blocked_until = now() where name = 'wix/stopped'")

    await clean_up(database)

    assert await names(database) == {PICTURES.name, "wix/used", "wix/stopped", "wix/set"}


async def test_a_removed_bucket_is_created_again(limiter, database):
    """A worker remembers a bucket for a fraction of the time after which it is removed."""
    assert 10 * IDLE_S < REMOVED_S
    await call(limiter, site("a"))
    limiter._clients["wix/a"].seen_at -= 2 * IDLE_S
    await sql(database, "delete from quotas where name = 'wix/a'")

    await call(limiter, site("a"))

    assert "wix/a" in await names(database)


async def test_a_bucket_that_is_about_to_be_used_is_not_removed(limiter, database):
    """Between making sure of it and the call, a removal would leave the call without its bucket."""
    await call(limiter, site("a"))
    await sql(database, f"update quotas set updated_at = clock_timestamp() - make_interval(secs => {REMOVED_S + 60})")
    limiter._clients["wix/a"].seen_at -= 2 * IDLE_S

    await limiter.ensure(site("a"))
    await clean_up(database)

    assert "wix/a" in await names(database)


async def test_a_limit_learned_long_ago_expires(limiter, database):
    """Replicate says that it has lowered a limit, and never that it has raised it again."""
    await limiter.learn(PICTURES.name, ProviderLimits(requests_limit=6))
    await clean_up(database)
    limits = [row["reported_requests_per_minute"] for row in await database.rows("ops/quotas", name=None, every=True)]
    await sql(database, f"update quotas set learned_at = learned_at - make_interval(secs => {LIMITS_EXPIRE_S + 1})")

    await clean_up(database)

    assert limits == [6]
    assert [
        row["reported_requests_per_minute"] for row in await database.rows("ops/quotas", name=None, every=True)
    ] == [None]


async def test_clients_unseen_for_long_are_deleted(limiter, database):
    """A row a process and bucket: workers that come and go must not fill a table. And one in use is not forgotten."""
    await sql(
        database,
        "insert into quota_rounds select gen_random_uuid(), 1, now() - interval '2 days' from generate_series(1, 50)",
    )
    await sql(database, "insert into quota_rounds select gen_random_uuid(), 7, now()")

    await clean_up(database)

    async with database.connection() as connection:
        rows = await (await connection.execute("select number from quota_rounds")).fetchall()
    assert [row["number"] for row in rows] == [7]


async def test_upkeep_does_not_wait_for_locks(limiter, database, database_url):
    """It locks many buckets, in any order: it must not wait for one while it holds another."""
    for name in ("held", "idle"):
        await call(limiter, site(name))
    await limiter.learn(PICTURES.name, ProviderLimits(requests_limit=6))
    await sql(database, "update quotas set updated_at = to_timestamp(0), learned_at = to_timestamp(0)")

    async with await connect(database_url, timeout_s=5) as another:
        await another.execute("begin")
        await another.execute("select from quotas where name in ('wix/held', 'replicate/predictions') for update")
        await clean_up(database)
        await another.execute("rollback")

    assert await names(database) == {PICTURES.name, "wix/held"}
    await clean_up(database)
    assert await names(database) == {PICTURES.name}
