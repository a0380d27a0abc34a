"""Many sites get jobs at once: none is forgotten, no claim waits for all of them, and new sites are next."""

from contextlib import suppress

import psycopg
import pytest
from anyio import create_task_group
from hypothesis import given
from hypothesis import strategies as st
from psycopg.errors import QueryCanceled

from blogworker.db.sql import query
from blogworker.queue import batches
from blogworker.queue.admit import BATCH, WITH_A_CLAIM, Reopening, admit, arrivals
from blogworker.queue.batches import LEAST, Batches
from blogworker.queue.promote import BATCH as PROMOTED
from blogworker.queue.promote import promote
from blogworker.queue.reconcile import reconcile

pytestmark = pytest.mark.anyio


async def burst(psql, sites: int, *, prefix: str = "shop") -> None:
    """A job of each of so many sites, in one statement."""
    await psql.run("set blogworker.queue_size_limit = 1000000")
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select %s || n, 'keyword', 'k' from generate_series(1, %s) as n",
        prefix,
        sites,
    )


async def ready(psql) -> int:
    return await psql.value("select count(*) from sites where ready")


async def test_all_sites_of_a_burst_come_into_line(psql, database):
    sites = 3 * BATCH + 7
    await burst(psql, sites)

    assert await admit(database) == sites

    assert await ready(psql) == sites
    assert await psql.value("select count(*) from site_arrivals") == 0
    assert await admit(database) == 0


async def test_a_claim_admits_a_few_sites_only(psql, claimer):
    """It waits for these few only: the others are not part of its transaction."""
    await burst(psql, 10 * WITH_A_CLAIM)

    claims = (await claimer(10)).claims

    assert len(claims) == 10
    assert await ready(psql) + len(claims) >= WITH_A_CLAIM
    assert await ready(psql) <= WITH_A_CLAIM


async def test_locked_sites_do_not_delay_others(psql, another_psql, database, claimer):
    """A person has many sites in an open transaction, all of which came first."""
    await burst(psql, 3 * WITH_A_CLAIM, prefix="locked")
    await burst(psql, 1, prefix="free")
    async with another_psql.connection.transaction():
        await another_psql.run("update sites set name = 'x' where instance_id like 'locked%'")

        assert await claimer.sites() == ["free1"]
        assert await admit(database) == 0

    assert await admit(database) == 3 * WITH_A_CLAIM


async def test_many_arrivals_of_a_locked_site_do_not_hide_another_site(psql, another_psql, database, claimer):
    """One site is locked for long and gets jobs one by one, more than are looked at. Another site is due after them."""
    await psql.run("insert into sites (instance_id) values ('locked'), ('free')")
    async with another_psql.connection.transaction():
        await another_psql.run("update sites set name = 'x' where instance_id = 'locked'")
        await psql.insert("locked")
        await psql.run(
            "insert into site_arrivals (instance_id, notified) select 'locked', false from generate_series(1, 20000)"
        )
        await psql.insert("free")

        for _ in range(3):
            await admit(database)

        assert await claimer.sites() == ["free"]
        assert await psql.value("select count(*) from site_arrivals") == 1

    await admit(database)
    assert await claimer.sites() == ["locked"]


async def test_of_repeated_arrivals_none_that_another_transaction_uses_is_deleted(psql, another_psql, database):
    """An admit in progress may have looked for jobs before the later ones were there."""
    await psql.run("insert into sites (instance_id) values ('shop')")
    await psql.run("insert into site_arrivals (instance_id, notified) select 'shop', false from generate_series(1, 3)")
    async with another_psql.connection.transaction():
        await another_psql.run("delete from site_arrivals where id = (select min(id) from site_arrivals)")

        await database.briefly(("queue/forget_arrivals", {}))

    assert await psql.value("select count(*) from site_arrivals") == 2


async def test_sites_of_every_batch_join_at_the_lowest_virtual_time(psql, database):
    """Fairness: who joins is next, and saves up no credit, whichever batch brings it."""
    await psql.run("insert into sites (instance_id, ready, virtual_time) values ('old', true, 40), ('older', true, 50)")
    await burst(psql, 2 * BATCH)

    await admit(database)

    assert await psql.value("select array_agg(distinct virtual_time) from sites where instance_id like 'shop%%'") == [
        40
    ]


async def test_several_workers_can_admit_at_the_same_time(psql, database):
    await burst(psql, 4 * BATCH)

    async with create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(admit, database)

    await admit(database)
    assert await ready(psql) == 4 * BATCH


@given(
    kinds=st.lists(
        st.sampled_from(["idle", "ready", "capped", "due", "full", "full, due", "gone"]), min_size=1, max_size=12
    ),
    batch=st.integers(1, 5),
)
async def test_every_waiting_site_gets_into_line(module_url, kinds, batch):
    """Sites in all states, by batches of any size: those with work and room join, the others do not."""
    with psycopg.connect(module_url, autocommit=True) as connection, connection.transaction(force_rollback=True):
        connection.execute("set local session_replication_role = replica")
        for n, kind in enumerate(kinds):
            full = kind.startswith("full")
            connection.execute(
                "insert into sites (instance_id, ready, at_cap, capped_until, max_in_flight) values (%s, %s, %s, "
                "case when %s then now() - interval '1 second' end, %s)",
                [f"s{n}", kind not in {"idle", "gone"}, kind not in {"idle", "ready", "gone"}, "due" in kind, 1],
            )
            if kind != "gone":
                connection.execute(
                    "insert into blog_generations (instance_id, source_type, source_id, line) "
                    "values (%s, 'keyword', 'k', 0)",
                    [f"s{n}"],
                )
            if full:
                connection.execute(
                    "insert into blog_generations (instance_id, source_type, source_id, status, attempt, worker_id) "
                    "values (%s, 'keyword', 'k', 'PROCESSING', 1, gen_random_uuid())",
                    [f"s{n}"],
                )
            if "due" not in kind:
                connection.execute("insert into site_arrivals (instance_id, notified) values (%s, false)", [f"s{n}"])
        connection.execute("set local session_replication_role = origin")
        while (
            connection.execute(query("queue/admit_sites"), {"batch": batch, "only": None, "skipped": []}).fetchone()[0]
            == batch
        ):
            pass
        in_line = {
            row[0] for row in connection.execute("select instance_id from sites where ready and not at_cap").fetchall()
        }

    assert in_line == {f"s{n}" for n, kind in enumerate(kinds) if kind in {"idle", "ready", "capped", "due"}}


# Work by batches.


class Slow:
    """A database on which a batch of more than so many rows takes too long."""

    def __init__(self, can: int, rows: int) -> None:
        self.can, self.rows, self.asked = can, rows, []

    async def briefly(self, _, statement):
        batch = statement[1]["batch"]
        self.asked.append(batch)
        if batch > self.can:
            raise QueryCanceled("canceling statement due to statement timeout")
        done = min(batch, self.rows)
        self.rows -= done
        return [{"looked_at": done}]


@given(can=st.integers(LEAST, 2_000), rows=st.integers(0, 20_000), most=st.integers(LEAST, 1_000))
async def test_a_batch_that_takes_too_long_is_halved_and_all_is_done(can, rows, most):
    slow = Slow(can, rows)

    await Batches("queue/any", most=most).run(slow)

    assert slow.rows == 0
    assert max(slow.asked) <= most


async def test_batches_grow_back_when_the_database_is_fast_again():
    slow = Slow(30, 1_000)
    work = Batches("queue/any", most=400)
    await work.run(slow)
    assert work.batch <= 37

    slow.can, slow.rows = 10_000, 10_000
    await work.run(slow)

    assert work.batch == 400


async def test_a_batch_that_never_ends_is_an_error():
    with pytest.raises(QueryCanceled):
        await Batches("queue/any", most=100).run(Slow(0, 1))


async def test_the_database_stops_a_batch_that_takes_too_long(psql, database, monkeypatch):
    """The limit is the database's own: a connection that is lost leaves no statement running."""
    await burst(psql, BATCH)
    monkeypatch.setattr(batches, "STEP_S", 0.002)

    work = arrivals()
    with suppress(QueryCanceled):
        await work.run(database)

    assert work.batch < BATCH
    monkeypatch.setattr(batches, "STEP_S", 2)
    await work.run(database)
    assert await ready(psql) == BATCH


async def test_a_batch_that_is_stopped_at_its_commit_is_repeated(psql, database):
    """Its time may end between the last row and the commit. The driver met one answer more than it had statements."""
    await burst(psql, BATCH)
    await psql.run(
        "create function stop_late() returns trigger language plpgsql as "
        "$$ begin raise exception using errcode = '57014'; end $$"
    )
    await psql.run(
        "create constraint trigger stop_late after delete on site_arrivals deferrable initially deferred "
        "for each row execute function stop_late()"
    )
    work = arrivals()

    with pytest.raises(QueryCanceled):
        await work.run(database)
    assert work.batch < BATCH

    await psql.run("drop trigger stop_late on site_arrivals")
    await work.run(database)
    assert await ready(psql) == BATCH


# Its siblings.


async def test_all_due_jobs_are_promoted(psql, database):
    """More than a batch came due together: none waits for the next second."""
    await psql.run("set blogworker.queue_size_limit = 100000")
    await psql.insert("shop", PROMOTED + 10, run_at="9000-01-01Z")
    await psql.run("update blog_generations set run_at = now() where status = 'SCHEDULED'")

    assert await promote(database) == PROMOTED + 10


async def test_all_bills_are_booked(psql, database):
    await psql.run("insert into sites (instance_id) select 's' || n from generate_series(1, 1500) as n")
    await psql.run(
        "insert into site_bills (instance_id, correction) "
        "select 's' || n, 2 from generate_series(1, 1500) as n cross join generate_series(1, 2)"
    )

    await reconcile(database)

    assert await psql.value("select count(*) from site_bills") == 0
    assert await psql.value("select array_agg(distinct virtual_time) from sites") == [4]


async def test_sites_wrongly_marked_at_their_cap_are_found_in_turn(psql, database, monkeypatch):
    """However many are rightly at their cap: each look goes on where the one before it ended."""
    monkeypatch.setattr(Reopening, "BATCH", 2)
    await psql.run("insert into sites (instance_id, max_in_flight) select 's' || n, 1 from generate_series(1, 9) as n")
    await psql.run("update sites set ready = true, at_cap = true")
    await psql.run("set session_replication_role = replica")
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id, status, attempt, worker_id) "
        "select 's' || n, 'keyword', 'k', 'PROCESSING', 1, gen_random_uuid() from generate_series(1, 8) as n"
    )

    reopening = Reopening()

    assert [await reopening.run_once(database) for _ in range(5)] == [0, 0, 0, 0, 1]


async def test_many_sites_resume_at_the_lowest_virtual_time(psql):
    await psql.run("insert into sites (instance_id, ready, virtual_time) values ('old', true, 40)")
    await psql.run(
        "insert into sites (instance_id, ready, paused_at) select 's' || n, true, now() from generate_series(1, 50) n"
    )

    await psql.run("update sites set paused_at = null where paused_at is not null")

    assert await psql.value("select array_agg(distinct virtual_time) from sites where instance_id <> 'old'") == [40]
