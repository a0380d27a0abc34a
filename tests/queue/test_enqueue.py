"""Adding a job: what a producer is answered, and when it is refused."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from anyio import create_task_group

from blogworker.errors import InvalidInput, QueueFull
from blogworker.queue.enqueue import enqueue
from blogworker.queue.validation import NewJob

from .new_jobs import add_all, blog

pytestmark = pytest.mark.anyio


async def test_an_enqueue_returns_the_id_and_the_place(database):
    first = await enqueue(database, blog(keyword="mugs"))
    second = await enqueue(database, blog(keyword="bowls"))

    assert (first.job_id, first.status, first.created, first.place) == (1, "PENDING", True, 1)
    assert (second.job_id, second.place) == (2, 2)


async def test_enqueue_job_can_be_called_with_defaults_only(psql):
    """SQL is a supported interface: the function has the defaults."""
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


async def test_a_repeated_key_returns_the_first_job(database, psql):
    """A producer that lost the answer asks again and gets the same one."""
    first = await enqueue(database, blog(idempotency_key="order 1"))

    again = await enqueue(database, blog(keyword="something else", idempotency_key="order 1"))

    assert (again.job_id, again.created) == (first.job_id, False)
    assert await psql.value("select count(*) from blog_generations") == 1


async def test_a_repeated_key_is_answered_even_when_the_queue_is_full(database):
    """It needs no room: if it were refused, the producer would retry for ever."""
    first = await enqueue(database, blog(idempotency_key="order 1"))

    again = await enqueue(database, blog(idempotency_key="order 1"), queue_size_limit=1)

    assert (again.job_id, again.created) == (first.job_id, False)


async def test_a_repeated_key_returns_the_status_of_the_first_job(database, claimer):
    await enqueue(database, blog(idempotency_key="order 1"))
    await claimer()

    again = await enqueue(database, blog(idempotency_key="order 1"))

    assert (again.status, again.place, again.expected_start) == ("PROCESSING", None, None)


@pytest.mark.parametrize(("end", "created"), [("commit", False), ("rollback", True)])
async def test_two_requests_with_one_key_make_one_job(database, psql, another_psql, end, created):
    """The second waits for the first's transaction, and takes its job or its place."""
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


async def test_a_full_queue_refuses_with_numbers(psql):
    """Every producer reads the same detail, whatever its language."""
    await psql.insert("shop", 120)

    refusal = await psql.refused("select enqueue_blog('other', 'keyword', 'k', queue_size_limit => 120)")

    assert refusal.sqlstate == "BW503"
    assert json.loads(refusal.diag.message_detail) == {"queueSize": 120, "limit": 120, "estimatedWaitMinutes": 3}
    assert await psql.value("select count(*) from sites where instance_id = 'other'") == 0


async def test_a_full_queue_raises_queue_full(database, psql):
    await psql.insert("shop", 120)

    with pytest.raises(QueueFull, match="121 would wait, at most 120 may") as refused:
        await enqueue(database, blog(), queue_size_limit=120)

    assert (refused.value.queue_size, refused.value.limit, refused.value.estimated_wait_minutes) == (120, 120, 3)
    assert refused.value.retry_after_s == 180


async def test_only_waiting_jobs_count_against_the_limit(database, psql, claimer):
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


@pytest.mark.parametrize(
    ("setting", "limit"), [("", 10_000), ("x", 10_000), ("-5", 10_000), ("1.5", 10_000), ("99999999999", 2_147_483_647)]
)
async def test_an_odd_limit_of_the_database_stops_no_insert(psql, database_url, setting, limit):
    name = await psql.value("select current_database()")
    await psql.run(f"alter database {name} set blogworker.queue_size_limit = '{setting}'")
    user = f"{name}_p"[-60:]
    await psql.run(f"create role {user} login; grant usage on schema public to {user}")
    await psql.run(f"grant execute on all functions in schema public to {user}")
    try:
        for login in (None, user):
            url = psycopg.conninfo.make_conninfo(database_url, **({"user": login} if login else {}))
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as session:
                await session.execute("select enqueue_blog('shop', 'keyword', 'k')")
                found = await (await session.execute("select queue_size_limit(null)")).fetchone()
            assert found == (limit,)
    finally:
        await psql.run(f"drop owned by {user}; drop role {user}")


async def test_a_site_is_refused_at_its_own_limit_before_the_queue_is_full(database, psql):
    await psql.run("insert into sites (instance_id, max_pending) values ('noisy', 3)")
    await psql.insert("noisy", 3)

    with pytest.raises(QueueFull, match="site noisy is full") as refused:
        await enqueue(database, blog("noisy"))

    assert (refused.value.queue_size, refused.value.limit) == (3, 3)
    assert json.loads(refused.value.__cause__.diag.message_detail)["instanceId"] == "noisy"
    assert (await enqueue(database, blog("quiet"))).created


async def test_the_highest_possible_limits_refuse_nothing(psql):
    await psql.run(
        "insert into sites (instance_id, max_pending, max_in_flight) values ('shop', 2147483647, 2147483647)"
    )

    await psql.run("select enqueue_blog('shop', 'keyword', 'k', queue_size_limit => 2147483647)")
    await psql.insert("shop", 2)

    assert await psql.value("select count(*) from blog_generations") == 3


async def test_an_invalid_job_is_refused_before_it_is_sent(database, psql):
    with pytest.raises(InvalidInput) as refused:
        await enqueue(database, blog(keyword=" "))

    assert "needs its keyword" in refused.value.faults[0].reason
    assert await psql.value("select count(*) from blog_generations") == 0


async def test_the_publish_mode_of_a_job_reaches_its_claim(database, psql, claimer):
    """By the function, in bulk, or in psql; the table refuses any other word."""
    await enqueue(database, blog("a", publish_mode="draft"))
    await add_all(database, [blog("b", publish_mode="publish"), blog("c")])

    claims = (await claimer()).claims

    assert {c.instance_id: c.publish_mode for c in claims} == {"a": "draft", "b": "publish", "c": None}
    refused = await psql.refused("select * from enqueue_blog('a', 'keyword', 'mugs', publish_mode => 'Draft')")
    assert refused.diag.constraint_name == "publish_mode_is_known"


async def test_an_unknown_publish_mode_is_refused_before_anything_is_sent(database):
    with pytest.raises(InvalidInput) as raised:
        await enqueue(database, blog(publish_mode="drfat"))

    assert [fault.reason for fault in raised.value.faults] == ["publish_mode 'drfat' is unknown: use publish, draft"]


async def test_the_lowest_possible_priority_is_accepted(database):
    """Its negative does not fit a smallint: one such job blocked all other enqueues of its site."""
    lowest = await enqueue(database, blog(priority=-(2**15)))

    assert lowest.place == 1
    assert (await enqueue(database, blog(priority=1))).place == 1
