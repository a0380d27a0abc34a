"""No two statements deadlock, whatever the order of their rows.

Jobs are locked in id order by statements that wait for them (cancel), and skipped by the others.
"""

from collections import Counter
from uuid import uuid4

import pytest
from anyio import create_task_group, move_on_after

from blogworker.db.pool import Database, connect
from blogworker.queue.claim import claim

from .conftest import register
from .storm import STORM_SITES, Storm

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
FORGOTTEN_SITES = """
select s.instance_id
from sites as s
where
    (
        (not s.ready and site_has_pending(s.instance_id))
        or (s.at_cap and (s.max_in_flight is null or site_in_flight(s.instance_id) < s.max_in_flight))
    )
    and not exists (select from site_arrivals as a where a.instance_id = s.instance_id)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, *(pytest.param(more, marks=pytest.mark.proof) for more in (2, 3))])
async def test_statements_do_not_deadlock_whatever_the_order_of_their_rows(database_settings, psql, seed):
    """Deadlocks heal, but each costs a second in which its victims hold everybody else's rows.

    The timeout is longer than what a claim waits at most (db/begin_briefly.sql), as the default of a second is.
    """
    await psql.run(f"alter database {await psql.value('select current_database()')} set deadlock_timeout = '300ms'")
    for site in STORM_SITES:
        await psql.run("insert into sites (instance_id, max_in_flight, budget_day_usd) values (%s, 3, 5)", site)
        await psql.insert(site, 20)
    await psql.run("update fleet_budget set day_usd = 7")
    await psql.run("insert into quotas (name, provider, requests_per_minute) values ('openai/q', 'openai', 60000)")

    async with Database(database_settings) as database:
        storm = Storm(database, seed)
        workers = [uuid4() for _ in range(4)]
        for n, worker_id in enumerate(workers):
            await register(database, worker_id, f"worker{n}")
        with move_on_after(100):
            async with create_task_group() as tasks:
                for worker_id in workers[:3]:
                    tasks.start_soon(storm.act, "work", lambda worker_id=worker_id: storm.work(worker_id))
                tasks.start_soon(storm.act, "stray", lambda: storm.stray(workers[3]))
                tasks.start_soon(storm.act, "ask", lambda: storm.ask(workers[2]))
                for act in (storm.die, storm.change_sites, storm.come_back):
                    tasks.start_soon(storm.act, act.__name__, act)
                for act in (
                    storm.rescue,
                    storm.promote,
                    storm.cancel,
                    storm.retry,
                    storm.prune,
                    storm.enqueue,
                    storm.insert_by_hand,
                    storm.put_off_and_bring_forward,
                ):
                    for _ in range(2):
                        tasks.start_soon(storm.act, act.__name__, act)

        assert storm.idle == set(), "these never had anything to do"
        assert storm.deadlocks == []
        await psql.run("update sites set max_in_flight = null, paused_at = null, capped_until = now()")
        # Jobs that ran at several deaths are suspects, which wait for a process of their own.
        await psql.run("update blog_generations set rescues = 0, run_at = now() where status = 'PENDING'")
        while (await claim(database, workers[0], slots=100, site_window=50)).look_again:
            pass
        assert await psql.run(FORGOTTEN_SITES) == []
        assert await psql.value("select count(*) from blog_generations where status = 'PENDING'") == 0


async def test_ending_jobs_of_two_sites_does_not_deadlock_with_a_change_of_all_sites(psql, another_psql, claimer):
    """`update sites ...` locks the sites in an order of its own; a settle locks none, and nobody waits."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('a', 1), ('b', 1)")
    for site in ("a", "b"):
        await psql.insert(site, 2)
    await claimer()
    await psql.run("set lock_timeout = '5s'")

    await another_psql.run("begin")
    await another_psql.run("update sites set weight = 2 where instance_id = 'b'")
    await psql.run("begin")
    await psql.run("update blog_generations set status = 'DONE' where instance_id = 'a' and status = 'PROCESSING'")
    await another_psql.run("set lock_timeout = '5s'")
    await another_psql.run("update sites set weight = 2 where instance_id = 'a'")
    await psql.run("update blog_generations set status = 'DONE' where instance_id = 'b' and status = 'PROCESSING'")
    await psql.run("commit")
    await another_psql.run("commit")

    assert Counter(await claimer.sites()) == {"a": 1, "b": 1}


async def test_two_cancels_in_opposite_order_queue_up_at_the_first_row(psql, another_psql, database):
    """Both lock in id order: a third party holds the first row until both wait there, holding nothing."""
    await psql.insert("shop", 20)
    cancelled = []

    async def cancel(ids) -> None:
        cancelled.extend(row["job_id"] for row in await database.rows("queue/cancel", job_ids=ids))

    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id = 1 for update")
    async with create_task_group() as tasks:
        tasks.start_soon(cancel, list(range(1, 21)))
        tasks.start_soon(cancel, list(range(20, 0, -1)))
        await psql.until_waiting(2)
        await another_psql.run("rollback")

    assert sorted(cancelled) == list(range(1, 21))


async def test_two_statements_that_make_the_same_sites_in_opposite_order_queue_up(psql, database_url, database):
    """A unique index makes the second wait; in one order, nobody waits in a circle."""
    names = [f"shop{n:02}" for n in range(20)]

    async def make(order) -> None:
        await database.execute("queue/create_sites", instance_ids=order)

    async with await connect(database_url, timeout_s=5) as third:
        await third.execute("begin")
        await third.execute("insert into sites (instance_id) values ('shop10')")
        async with create_task_group() as tasks:
            tasks.start_soon(make, names)
            tasks.start_soon(make, names[::-1])
            await psql.until_waiting(2)
            await third.execute("rollback")

    assert await psql.value("select count(*) from sites") == 20
