"""The estimates that a producer receives: when its job starts, and how long the queue is."""

import pytest
from psycopg.types.json import Json

from blogworker.queue.enqueue import enqueue

from .new_jobs import blog, finished, minutes_until

pytestmark = pytest.mark.anyio
NEEDS = {"buckets": ["q"], "tokens": [0], "blog_s": 30, "site_rpm": None, "site_calls": 10}


async def alive(psql, *, slots: int = 100, pace: int = 6_000, lease: str = "1 hour", draining=False, **needs) -> None:
    """Insert a worker whose lease says that its jobs need one call of a bucket with this pace."""
    await psql.run(
        "insert into quotas (name, provider, requests_per_minute) values ('q', 'openai', %s) "
        "on conflict (name) do update set requests_per_minute = excluded.requests_per_minute",
        pace,
    )
    await psql.run(
        "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until, draining, stats) "
        "select gen_random_uuid()::text, gen_random_uuid(), 'h', 1, '0', %s, now() + %s::interval, %s, %s",
        slots,
        lease,
        draining,
        Json({"needs": NEEDS | needs}),
    )


async def minutes(psql, waiting: int = 1_000) -> int:
    return await psql.value("select estimated_wait_minutes(%s::bigint)", waiting)


@pytest.mark.parametrize(
    ("minutes_ago", "waiting", "expected"),
    [(5, 100, 3), (5, 1, 1), (11, 100, 2), (11, 101, 3)],
    ids=["at the pace of late", "never less than a minute", "else at fifty a minute", "rounded up"],
)
async def test_without_a_worker_the_wait_is_estimated_from_the_last_ten_minutes(
    passing_psql, minutes_ago, waiting, expected
):
    """Two hundred that ended within five minutes are forty a minute."""
    await finished(passing_psql, 200, minutes_ago=minutes_ago)

    assert await minutes(passing_psql, waiting) == expected


async def test_the_wait_is_estimated_from_the_quotas(passing_psql):
    """A fleet that idled until now has no pace of late to go by."""
    await alive(passing_psql, pace=10)

    assert await minutes(passing_psql) == 100


async def test_slots_limit_the_estimated_pace_where_quotas_do_not(passing_psql):
    """Ten slots at half a minute per job make twenty per minute. Slots of draining or dead workers do not count."""
    await alive(passing_psql, slots=4)
    await alive(passing_psql, slots=6)
    await alive(passing_psql, slots=100, draining=True)
    await alive(passing_psql, slots=100, lease="-1 second")

    assert await minutes(passing_psql) == 50


async def test_the_wix_quotas_of_waiting_sites_limit_the_estimated_pace(passing_psql):
    """Two sites of five jobs a minute each."""
    await alive(passing_psql, site_rpm=50)
    for site in ("a", "b"):
        await passing_psql.insert(site, 1)
    await passing_psql.run("update sites set ready = true")

    assert await minutes(passing_psql) == 100


async def test_a_busy_fleet_is_estimated_by_its_real_pace(passing_psql):
    """It did less than its quotas allow: a provider was slow, or the pages were long."""
    await alive(passing_psql, pace=100)
    await finished(passing_psql, 50, minutes_ago=5, waited_s=120)

    assert await minutes(passing_psql, 995) == 100


async def test_an_idle_fleet_is_not_estimated_as_slow(passing_psql):
    """Fifty jobs in five minutes that did not wait do not show how many were possible."""
    await alive(passing_psql, pace=100)
    await finished(passing_psql, 50, minutes_ago=5, waited_s=1)

    assert await minutes(passing_psql) == 10


async def test_a_worker_without_figures_does_not_change_the_estimate(passing_psql):
    await passing_psql.run(
        "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until, stats) "
        "values ('new', gen_random_uuid(), 'h', 1, '0', 50, now() + interval '1 hour', '{\"needs\": {}}')"
    )

    assert await minutes(passing_psql) == 20


async def test_a_job_duration_of_zero_does_not_break_the_estimate(passing_psql):
    """Against a simulator the duration rounds to zero."""
    await alive(passing_psql, pace=100, blog_s=0)

    assert await minutes(passing_psql) == 10


async def test_the_expected_start_grows_with_the_place_and_the_sites_in_line(database, psql):
    """A site's tenth job waits for ten rounds over all sites that have work."""
    await alive(psql, pace=50)
    for n in range(10):
        await psql.insert(f"other{n}", 100)
    await psql.insert("shop", 9)
    await database.execute("queue/admit_sites", batch=50, only=None, skipped=[])

    answer = await enqueue(database, blog())

    assert answer.place == 10
    assert 2.1 <= await minutes_until(psql, answer) <= 2.2  # 10 jobs of each of 11 sites, 50 a minute


async def test_the_expected_start_covers_no_more_than_the_waiting_jobs(database, psql):
    """Other sites have a job or two each: the rounds get shorter."""
    await alive(psql, pace=50)
    for n in range(10):
        await psql.insert(f"other{n}", 2)
    await psql.insert("shop", 99)
    await database.execute("queue/admit_sites", batch=50, only=None, skipped=[])

    answer = await enqueue(database, blog())

    assert answer.place == 100
    assert 2.3 <= await minutes_until(psql, answer) <= 2.4  # 120 in all


async def test_the_expected_start_is_no_sooner_than_the_sites_own_quota_allows(database, psql):
    """Five a minute, whatever the fleet could make."""
    await alive(psql, site_rpm=50)
    await psql.insert("shop", 100)

    assert 19.9 <= await minutes_until(psql, await enqueue(database, blog())) <= 20.3


async def test_started_jobs_of_the_site_come_before_a_new_one_whatever_its_priority(database, psql):
    await psql.insert("shop", 3, stage="content")
    await psql.insert("shop", 3)

    assert (await enqueue(database, blog(priority=9))).place == 4


async def test_a_repeated_key_of_a_resting_job_returns_the_end_of_its_rest(database, psql, claimer):
    await enqueue(database, blog(idempotency_key="order 1"))
    await claimer()
    await psql.run("update blog_generations set status = 'PENDING', run_at = now() + interval '1 hour'")

    again = await enqueue(database, blog(idempotency_key="order 1"))

    assert again.status == "PENDING"
    assert 59 <= await minutes_until(psql, again) <= 60


async def test_a_lone_site_with_a_backlog_is_not_promised_an_instant_start(database, psql):
    """No other site is in line, but its own backlog can be long."""
    await alive(psql, pace=50)
    await psql.insert("shop", 499)

    answer = await enqueue(database, blog())

    assert 9 <= await psql.value("select extract(epoch from %s - now()) / 60", answer.expected_start) <= 10
