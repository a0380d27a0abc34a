"""Adding many jobs at once: all of them or none."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from anyio import create_task_group

from blogworker.errors import QueueFull
from blogworker.queue.enqueue import BULK_ROWS, enqueue
from blogworker.queue.validation import NewJob

from .new_jobs import add_all, blog

pytestmark = pytest.mark.anyio


async def test_a_bulk_adds_all_jobs_and_returns_how_many_are_new(database, psql):
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
