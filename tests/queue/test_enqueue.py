"""Adding blogs: what a producer is answered, and when it is refused."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from anyio import create_task_group
from psycopg.types.json import Json

from blogworker.errors import InvalidInput, QueueFull
from blogworker.queue.enqueue import BULK_ROWS, enqueue, enqueue_many
from blogworker.queue.validation import NewJob

pytestmark = pytest.mark.anyio


def blog(site: str = "shop", keyword: str = "mugs", **columns) -> NewJob:
    return NewJob(site, "keyword", None, {"keyword": keyword}, **columns)


async def add_all(database, blogs, **limits) -> int:
    return await enqueue_many(database, blogs, counts=Counter(b.instance_id for b in blogs), **limits)


async def finished(psql, count: int, *, minutes_ago: float, waited_s: float = 0) -> None:
    """So many blogs that ended a while ago, having waited for their start so long, past the guards."""
    await psql.run("insert into sites (instance_id) values ('old') on conflict do nothing")
    async with psql.connection.transaction():
        await psql.run("set local session_replication_role = replica")
        await psql.run(
            "insert into blog_generations ("
            "instance_id, source_type, source_id, status, finished_at, claimed_at, created_at) "
            "select 'old', 'keyword', 'k', 'DONE', t, t, t - make_interval(secs => %s) "
            "from (select now() - make_interval(secs => %s) as t) as f, generate_series(1, %s)",
            waited_s,
            60 * minutes_ago,
            count,
        )


NEEDS = {"buckets": ["q"], "tokens": [0], "blog_s": 30, "site_rpm": None, "site_calls": 10}


async def alive(psql, *, slots: int = 100, pace: int = 6_000, lease: str = "1 hour", draining=False, **needs) -> None:
    """A worker, as its lease tells what its blogs need: one call of a bucket of so many a minute."""
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


async def minutes_until(psql, answer) -> float:
    return float(await psql.value("select extract(epoch from %s - now()) / 60", answer.expected_start))


async def test_a_blog_is_answered_with_its_number_and_place(database):
    first = await enqueue(database, blog(keyword="mugs"))
    second = await enqueue(database, blog(keyword="bowls"))

    assert (first.job_id, first.status, first.created, first.place) == (1, "PENDING", True, 1)
    assert (second.job_id, second.place) == (2, 2)


async def test_the_function_alone_is_a_whole_producer(psql):
    """SQL is a first-class way in: the defaults are the function's."""
    (answer,) = await psql.run("select * from enqueue_blog('shop', 'keyword', 'mugs')")

    job = await psql.job()
    assert answer["created"]
    assert (job["source_data"], job["priority"], job["max_attempts"]) == ({}, 0, 5)


async def test_every_column_arrives(database, psql):
    later = datetime.now(UTC) + timedelta(days=1)
    given = NewJob(
        "shop",
        "product",
        "p1",
        {"name": "Mug", "tags": ["a", "ü"]},
        priority=7,
        run_at=later,
        publish_at=later + timedelta(days=1),
        idempotency_key="k1",
        max_attempts=2,
    )

    answer = await enqueue(database, given)

    job = await psql.job()
    assert (answer.status, answer.place, answer.expected_start) == ("SCHEDULED", None, later)
    assert {name: job[name] for name in ("source_type", "source_id", "source_data", "priority", "run_at")} == {
        "source_type": "product",
        "source_id": "p1",
        "source_data": given.source_data,
        "priority": 7,
        "run_at": later,
    }
    assert (job["idempotency_key"], job["max_attempts"]) == ("k1", 2)
    assert await psql.value("select publish_at from scheduled_blogs") == given.publish_at


async def test_higher_priority_gets_the_earlier_place(database):
    await enqueue(database, blog(keyword="a"))
    await enqueue(database, blog(keyword="b"))

    assert (await enqueue(database, blog(keyword="c", priority=1))).place == 1


async def test_a_repeated_key_gives_the_first_blog(database, psql):
    """A producer that lost the answer asks again and gets the same one."""
    first = await enqueue(database, blog(idempotency_key="order 1"))

    again = await enqueue(database, blog(keyword="something else", idempotency_key="order 1"))

    assert (again.job_id, again.created) == (first.job_id, False)
    assert await psql.value("select count(*) from blog_generations") == 1


async def test_a_repeated_key_is_answered_even_when_the_queue_is_full(database):
    """It needs no room: refused, the producer would come back for ever."""
    first = await enqueue(database, blog(idempotency_key="order 1"))

    again = await enqueue(database, blog(idempotency_key="order 1"), queue_size_limit=1)

    assert (again.job_id, again.created) == (first.job_id, False)


async def test_a_repeated_key_tells_how_far_the_first_blog_is(database, claimer):
    await enqueue(database, blog(idempotency_key="order 1"))
    await claimer()

    again = await enqueue(database, blog(idempotency_key="order 1"))

    assert (again.status, again.place, again.expected_start) == ("PROCESSING", None, None)


@pytest.mark.parametrize(("end", "created"), [("commit", False), ("rollback", True)])
async def test_two_requests_with_one_key_make_one_blog(database, psql, another_psql, end, created):
    """The second waits for the first's transaction, and takes its blog or its place."""
    await another_psql.run("begin")
    await another_psql.run("select enqueue_blog('shop', 'keyword', 'mugs', idempotency_key => 'order 1')")
    answers = []

    async def ask() -> None:
        answers.append(await enqueue(database, blog(idempotency_key="order 1")))

    async with create_task_group() as tasks:
        tasks.start_soon(ask)
        await psql.until_waiting()
        await another_psql.run(end)

    assert [answer.created for answer in answers] == [created]
    assert [row["id"] for row in await psql.run("select id from blog_generations")] == [answers[0].job_id]


async def test_a_full_queue_says_so_in_figures(psql):
    """Every producer reads the same detail, whatever its language."""
    await psql.insert("shop", 120)

    refusal = await psql.refused("select enqueue_blog('other', 'keyword', 'k', queue_size_limit => 120)")

    assert refusal.sqlstate == "BW503"
    assert json.loads(refusal.diag.message_detail) == {"queueSize": 120, "limit": 120, "estimatedWaitMinutes": 3}
    assert await psql.value("select count(*) from sites where instance_id = 'other'") == 0


async def test_a_full_queue_is_our_own_error(database, psql):
    await psql.insert("shop", 120)

    with pytest.raises(QueueFull, match="121 would wait, at most 120 may") as refused:
        await enqueue(database, blog(), queue_size_limit=120)

    assert (refused.value.queue_size, refused.value.limit, refused.value.estimated_wait_minutes) == (120, 120, 3)
    assert refused.value.retry_after_s == 180


async def test_only_what_waits_counts(database, psql, claimer):
    """Neither what runs nor what is planned for later is backlog."""
    await psql.insert("shop", 2)
    await claimer(1)
    await enqueue(database, blog(run_at=datetime.now(UTC) + timedelta(hours=1)))

    assert (await enqueue(database, blog(), queue_size_limit=2)).created
    with pytest.raises(QueueFull):
        await enqueue(database, blog(), queue_size_limit=2)


async def test_the_limit_is_ten_thousand_unless_the_database_says_otherwise(psql, database_url):
    name = await psql.value("select current_database()")
    assert await psql.value("select queue_size_limit(null)") == 10_000

    await psql.run(f"alter database {name} set blogworker.queue_size_limit = 2")

    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as session:
        for _ in range(2):
            await session.execute("select enqueue_blog('shop', 'keyword', 'k')")
        with pytest.raises(psycopg.Error, match="at most 2 may"):
            await session.execute("select enqueue_blog('shop', 'keyword', 'k')")
        await session.execute("select enqueue_blog('shop', 'keyword', 'k', queue_size_limit => 3)")


async def test_a_noisy_site_is_refused_before_everybody_is(database, psql):
    await psql.run("insert into sites (instance_id, max_pending) values ('noisy', 3)")
    await psql.insert("noisy", 3)

    with pytest.raises(QueueFull, match="site noisy is full") as refused:
        await enqueue(database, blog("noisy"))

    assert (refused.value.queue_size, refused.value.limit) == (3, 3)
    assert json.loads(refused.value.__cause__.diag.message_detail)["instanceId"] == "noisy"
    assert (await enqueue(database, blog("quiet"))).created


@pytest.mark.parametrize(
    ("minutes_ago", "waiting", "expected"),
    [(5, 100, 3), (5, 1, 1), (11, 100, 2), (11, 101, 3)],
    ids=["at the pace of late", "never less than a minute", "else at fifty a minute", "rounded up"],
)
async def test_without_a_worker_the_wait_is_told_from_the_pace_of_the_last_ten_minutes(
    passing_psql, minutes_ago, waiting, expected
):
    """Two hundred that ended within five minutes are forty a minute."""
    await finished(passing_psql, 200, minutes_ago=minutes_ago)

    assert await minutes(passing_psql, waiting) == expected


async def test_the_wait_is_told_from_what_the_quotas_let_through(passing_psql):
    """A fleet that idled until now has no pace of late to go by."""
    await alive(passing_psql, pace=10)

    assert await minutes(passing_psql) == 100


async def test_slots_bound_the_pace_where_quotas_do_not(passing_psql):
    """Ten of half a minute make twenty a minute. Those of workers that stop, or are gone, make none."""
    await alive(passing_psql, slots=4)
    await alive(passing_psql, slots=6)
    await alive(passing_psql, slots=100, draining=True)
    await alive(passing_psql, slots=100, lease="-1 second")

    assert await minutes(passing_psql) == 50


async def test_the_wix_quotas_of_the_sites_that_wait_bound_the_pace_too(passing_psql):
    """Two sites of five blogs a minute each."""
    await alive(passing_psql, site_rpm=50)
    for site in ("a", "b"):
        await passing_psql.insert(site, 1)
    await passing_psql.run("update sites set ready = true")

    assert await minutes(passing_psql) == 100


async def test_a_fleet_that_was_busy_is_believed_its_own_pace(passing_psql):
    """What it could do it did not: a vendor was slow, or the pages were long."""
    await alive(passing_psql, pace=100)
    await finished(passing_psql, 50, minutes_ago=5, waited_s=120)

    assert await minutes(passing_psql, 995) == 100


async def test_a_fleet_that_had_little_to_do_is_not_taken_for_a_slow_one(passing_psql):
    """Fifty blogs in five minutes that had not to wait say nothing of how many there might have been."""
    await alive(passing_psql, pace=100)
    await finished(passing_psql, 50, minutes_ago=5, waited_s=1)

    assert await minutes(passing_psql) == 10


async def test_a_worker_that_knows_nothing_yet_of_its_blogs_leaves_the_estimate_to_the_pace(passing_psql):
    await passing_psql.run(
        "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until, stats) "
        "values ('new', gen_random_uuid(), 'h', 1, '0', 50, now() + interval '1 hour', '{\"needs\": {}}')"
    )

    assert await minutes(passing_psql) == 20


async def test_blogs_that_take_no_time_do_not_stop_producers(passing_psql):
    """As against a simulator: its seconds round to none."""
    await alive(passing_psql, pace=100, blog_s=0)

    assert await minutes(passing_psql) == 10


async def test_the_expected_start_grows_with_the_place_and_the_sites_in_line(database, psql):
    """A site's tenth blog waits for ten rounds over all sites that have work."""
    for n in range(10):
        await psql.insert(f"other{n}", 100)
    await psql.insert("shop", 9)
    await database.execute("queue/admit_sites", batch=50, only=None, skipped=[])

    answer = await enqueue(database, blog())

    assert answer.place == 10
    assert 2.1 <= await minutes_until(psql, answer) <= 2.2  # 10 blogs of each of 11 sites, 50 a minute


async def test_nobody_is_told_to_wait_for_more_than_what_waits(database, psql):
    """Other sites have a blog or two each: the rounds get shorter."""
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


async def test_part_done_blogs_of_the_site_come_before_a_new_one_whatever_its_priority(database, psql):
    await psql.insert("shop", 3, stage="content")
    await psql.insert("shop", 3)

    assert (await enqueue(database, blog(priority=9))).place == 4


async def test_a_repeated_key_of_a_blog_that_rests_tells_when_its_rest_ends(database, psql, claimer):
    await enqueue(database, blog(idempotency_key="order 1"))
    await claimer()
    await psql.run("update blog_generations set status = 'PENDING', run_at = now() + interval '1 hour'")

    again = await enqueue(database, blog(idempotency_key="order 1"))

    assert again.status == "PENDING"
    assert 59 <= await minutes_until(psql, again) <= 60


async def test_a_lone_site_is_not_promised_an_instant_start(database, psql):
    """Nobody else in line does not mean that its own line is short."""
    await psql.insert("shop", 499)

    answer = await enqueue(database, blog())

    assert 9 <= await psql.value("select extract(epoch from %s - now()) / 60", answer.expected_start) <= 10


async def test_a_faulty_blog_is_refused_in_words_before_it_is_sent(database, psql):
    with pytest.raises(InvalidInput) as refused:
        await enqueue(database, blog(keyword=" "))

    assert "needs its keyword" in refused.value.faults[0].reason
    assert await psql.value("select count(*) from blog_generations") == 0


async def test_a_bulk_adds_all_and_tells_how_many_are_new(database, psql):
    """Repeated keys are passed over, within the bulk and from before it."""
    await enqueue(database, blog(idempotency_key="k0"))
    many = [blog(f"shop{n % 3}", f"k{n}", idempotency_key=f"k{n}") for n in range(BULK_ROWS + 10)]
    many += [many[5], blog("shop", "again", idempotency_key="k0")]

    created = await add_all(database, many)

    assert created == BULK_ROWS + 10
    assert await psql.value("select count(*) from blog_generations") == BULK_ROWS + 11
    assert await add_all(database, many) == 0


async def test_a_bulk_with_one_bad_row_adds_nothing(database, psql):
    """All or nothing, also when the bad row comes after whole batches; no site is left behind either."""
    many = [blog(f"shop{n % 7}", f"k{n}") for n in range(BULK_ROWS + 20)]
    many[BULK_ROWS + 10] = NewJob("shop1", "text", None, {})

    with pytest.raises(psycopg.errors.CheckViolation):
        await add_all(database, many)

    assert await psql.value("select count(*) from blog_generations") == 0
    assert await psql.value("select count(*) from sites") == 0


async def test_a_bulk_carries_every_column(database, psql):
    later = datetime.now(UTC) + timedelta(days=1)
    many = [
        blog("a", "now", publish_at=later, priority=3, max_attempts=9),
        blog("b", "later", run_at=later),
        blog("c", "plain"),
    ]

    await add_all(database, many)

    rows = await psql.run(
        "select g.instance_id, g.status, g.priority, g.max_attempts, p.publish_at "
        "from blog_generations as g left join scheduled_blogs as p on p.blog_generation_id = g.id order by g.id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("a", "PENDING", 3, 9, later),
        ("b", "SCHEDULED", 0, 5, None),
        ("c", "PENDING", 0, 5, None),
    ]


async def test_a_bulk_must_fit_as_a_whole(database, psql):
    """Half a catalogue is worse than none: nobody knows which half."""
    await psql.insert("shop", 5)

    with pytest.raises(QueueFull):
        await add_all(database, [blog() for _ in range(6)], queue_size_limit=10)

    assert await add_all(database, [blog() for _ in range(5)], queue_size_limit=10) == 5


async def test_a_bulk_must_fit_into_each_sites_share(database, psql):
    await psql.run("insert into sites (instance_id, max_pending) values ('small', 2)")

    with pytest.raises(QueueFull, match="site small"):
        await add_all(database, [blog("big"), *[blog("small") for _ in range(3)]])

    assert await psql.value("select count(*) from blog_generations") == 0


async def test_two_bulks_over_the_same_new_sites_in_opposite_order_do_not_deadlock(
    database, psql, another_psql, monkeypatch
):
    """All sites are made first, in one order, however many batches apart. A third party holds one in the middle."""
    monkeypatch.setattr("blogworker.queue.enqueue.BULK_ROWS", 1)
    rows = [blog(f"shop{n}") for n in range(10)]
    results = []

    async def add(order) -> None:
        results.append(await add_all(database, order))

    await another_psql.run("begin")
    await another_psql.run("insert into sites (instance_id) values ('shop5')")
    async with create_task_group() as tasks:
        tasks.start_soon(add, rows)
        tasks.start_soon(add, rows[::-1])
        await psql.until_waiting(2)
        await another_psql.run("rollback")

    assert results == [10, 10]
    assert await psql.value("select count(*) from sites") == 10


async def test_two_bulks_of_one_catalogue_in_opposite_order_do_not_deadlock(database, psql, another_psql):
    """The same export imported twice at once, sorted differently: each key is locked in one order."""
    await psql.run("insert into sites (instance_id) values ('shop')")
    keys = [f"k{n:02}" for n in range(20)]
    results = []

    async def add(order) -> None:
        results.append(await add_all(database, [blog(idempotency_key=key) for key in order]))

    await another_psql.run("begin")
    await another_psql.run("select enqueue_blog('shop', 'keyword', 'k', idempotency_key => 'k10')")
    async with create_task_group() as tasks:
        tasks.start_soon(add, keys)
        tasks.start_soon(add, keys[::-1])
        await psql.until_waiting(2)
        await another_psql.run("rollback")

    assert sorted(results) == [0, 20]


async def test_a_blog_carries_its_own_publish_mode_to_whoever_claims_it(database, psql, claimer):
    """By the function, in bulk, or typed into psql; a word that is none of the two is refused by the table."""
    await enqueue(database, blog("a", publish_mode="draft"))
    await add_all(database, [blog("b", publish_mode="publish"), blog("c")])

    claims = (await claimer()).claims

    assert {c.instance_id: c.publish_mode for c in claims} == {"a": "draft", "b": "publish", "c": None}
    refused = await psql.refused("select * from enqueue_blog('a', 'keyword', 'mugs', publish_mode => 'Draft')")
    assert refused.diag.constraint_name == "publish_mode_is_known"


async def test_an_unknown_publish_mode_is_told_before_anything_is_sent(database):
    with pytest.raises(InvalidInput) as raised:
        await enqueue(database, blog(publish_mode="drfat"))

    assert [fault.reason for fault in raised.value.faults] == ["publish_mode 'drfat' is unknown: use publish, draft"]


async def test_the_lowest_priority_there_is_can_be_answered_too(database):
    """Its negative is no smallint: one such blog kept every other of its site from being added."""
    lowest = await enqueue(database, blog(priority=-(2**15)))

    assert lowest.place == 1
    assert (await enqueue(database, blog(priority=1))).place == 1
