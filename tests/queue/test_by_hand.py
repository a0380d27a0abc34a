"""A person at psql as producer: plain SQL is a first-class way in, and the line of sites stays true whoever writes."""

from collections import Counter

import psycopg
import pytest
from anyio import create_task_group, fail_after

from blogworker.queue.job import Done, Release
from blogworker.queue.promote import promote
from blogworker.queue.rescue import rescue

pytestmark = pytest.mark.anyio

INSERT = b"insert into blog_generations (instance_id, source_type, source_id) values (%s, 'keyword', 'k')"
FORGOTTEN_SITES = """
select count(*)
from sites as s
where
    not s.ready
    and exists (select from blog_generations as g where g.instance_id = s.instance_id and g.line is not null)
    and not exists (select from site_arrivals as a where a.instance_id = s.instance_id)
"""


async def everything_claimed(claimer, slots: int = 100) -> list[str]:
    """The sites of all that repeated claims reach."""
    sites: list[str] = []
    while taken := await claimer.sites(slots):
        sites += taken
    return sites


async def dry(claimer) -> None:
    """Claim until nothing is left and the sites found dry have left the line."""
    while (await claimer()).look_again:
        pass


async def test_one_statement_may_bring_blogs_of_known_and_new_sites(psql, claimer):
    await psql.run("insert into sites (instance_id) values ('known')")

    await psql.run(
        "INSERT INTO blog_generations (instance_id, source_type, source_data) VALUES "
        "('new 1', 'keyword', '{\"keyword\": \"mugs\"}'), "
        "('known', 'product', '{\"name\": \"Mug\"}'), "
        "('new 2', 'text', '{\"text\": \"About mugs.\"}'), "
        "('new 1', 'keyword', '{\"keyword\": \"cups\"}')"
    )

    assert Counter(await everything_claimed(claimer)) == {"new 1": 2, "new 2": 1, "known": 1}


async def test_a_copy_is_a_producer_like_any_other(psql, claimer):
    """The fastest way to fill a table passes the same triggers."""
    async with (
        psql.connection.cursor() as cursor,
        cursor.copy("copy blog_generations (instance_id, source_type, source_id) from stdin") as copy,
    ):
        for n in range(60):
            await copy.write_row((f"shop{n % 6}", "keyword", f"k{n}"))

    assert Counter(await everything_claimed(claimer)) == {f"shop{n}": 10 for n in range(6)}


async def test_an_insert_that_fails_leaves_no_site_behind(psql):
    refusal = await psql.refused(
        "insert into blog_generations (instance_id, source_type, source_id) values "
        "('good', 'keyword', 'k'), ('bad', 'keyword', '')"
    )

    assert refusal.diag.constraint_name == "keyword_is_given"
    assert await psql.value("select count(*) from sites") == 0
    assert await psql.value("select count(*) from site_arrivals") == 0


async def test_all_that_failed_is_reset_over_all_its_sites(psql, claimer):
    """The reset of the system before, over sites that left the line long ago."""
    for site in ("a", "b", "c"):
        await psql.insert(site, 2)
    await dry(claimer)
    await psql.run("update blog_generations set status = 'FAILED', error = 'e' where instance_id <> 'c'")
    await dry(claimer)
    assert await psql.value("select count(*) from sites where ready") == 0

    await psql.run("UPDATE blog_generations SET status = 'PENDING', error = NULL WHERE status = 'FAILED'")

    assert Counter(await everything_claimed(claimer)) == {"a": 2, "b": 2}


async def test_a_blog_taken_from_its_worker_is_free_and_the_worker_can_write_nothing(psql, claimer, settler):
    await psql.insert("shop", 1)
    (lost,) = (await claimer()).claims
    await dry(claimer)

    await psql.run("update blog_generations set status = 'PENDING' where status = 'PROCESSING'")

    assert await settler.settle(lost, Done()) is None
    (again,) = (await claimer()).claims
    assert (again.job_id, again.attempt, again.failures) == (lost.job_id, 2, 0)
    assert await settler.settle(lost, Release()) is None
    assert await settler.settle(again, Done()) == "DONE"


async def test_a_deleted_blog_is_gone_whether_it_waits_or_runs(psql, claimer, settler):
    await psql.insert("shop", 3)
    running, _ = (await claimer(2)).claims

    await psql.run("delete from blog_generations where id in (1, 3)")

    assert await settler.settle(running, Done()) is None
    assert await everything_claimed(claimer) == []
    assert [row["id"] for row in await psql.run("select id from blog_generations")] == [2]


async def test_a_blog_handed_to_another_site_is_in_that_sites_line(psql, claimer):
    """Two shops become one. The site it comes to may have left the line."""
    await psql.run("insert into sites (instance_id) values ('kept')")
    await psql.insert("merged", 3)

    await psql.run("update blog_generations set instance_id = 'kept' where instance_id = 'merged'")

    assert await everything_claimed(claimer) == ["kept"] * 3


async def test_a_running_blog_handed_to_another_site_frees_the_cap_of_its_first(psql, claimer):
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1), ('other', null)")
    await psql.insert("capped", 2)
    assert await everything_claimed(claimer) == ["capped"]

    await psql.run("update blog_generations set instance_id = 'other' where status = 'PROCESSING'")

    assert await everything_claimed(claimer) == ["capped"]


async def test_an_emptied_table_leaves_no_site_at_its_cap(psql, claimer):
    """TRUNCATE tells no row's trigger; nothing would ever end there and reopen the site."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1)")
    await psql.insert("capped", 2)
    await claimer()

    await psql.run("truncate blog_generations cascade")
    await psql.insert("capped", 1)

    assert await everything_claimed(claimer) == ["capped"]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize(
    "produce",
    [
        "insert into blog_generations (instance_id, source_type, source_id) values ('shop', 'keyword', 'new')",
        "update blog_generations set status = 'PENDING' where status = 'FAILED'",
    ],
)
async def test_a_producer_with_an_old_snapshot_is_told_to_begin_again(psql, another_psql, claimer, isolation, produce):
    """It takes the site for ready, which has been retired since: accepted in silence, its blog would be forgotten."""
    await psql.insert("shop", 3)
    await claimer(1)
    await psql.run("update blog_generations set status = 'FAILED' where status = 'PROCESSING'")
    await another_psql.run(f"begin isolation level {isolation}")
    assert await another_psql.value("select ready from sites")
    await dry(claimer)
    assert not await psql.value("select ready from sites")

    with pytest.raises(psycopg.errors.SerializationFailure):
        await another_psql.run(produce)

    await another_psql.run("rollback")
    await another_psql.run(produce)
    assert await everything_claimed(claimer) == ["shop"]


async def test_blogs_ended_under_an_old_snapshot_reopen_their_site(psql, another_psql, claimer):
    """Its count of what runs is as old as its snapshot, which must not leave the site at its cap."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 2)")
    await psql.insert("capped", 3)
    await claimer()
    await psql.run("update sites set max_in_flight = 1")
    await another_psql.run("begin isolation level repeatable read")
    assert await another_psql.value("select count(*) from blog_generations where status = 'PROCESSING'") == 2
    await psql.run("update blog_generations set status = 'DONE' where id = 1")

    await another_psql.run("update blog_generations set status = 'DONE' where id = 2")
    await another_psql.run("commit")

    assert await everything_claimed(claimer) == ["capped"]


async def test_an_open_producer_keeps_nobody_waiting_at_a_site_that_exists(psql, another_psql, database_url, claimer):
    """However long its transaction stays open, and whether the site is idle or in the line."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('idle', null), ('busy', 5)")
    await psql.insert("busy", 1)
    await another_psql.run("begin")
    for site in ("idle", "busy", "new"):
        await another_psql.insert(site, 1)

    await psql.run("set lock_timeout = '1s'")
    for site in ("idle", "busy", "another new"):
        await psql.insert(site, 1)
        await psql.run("select enqueue_blog(%s, 'keyword', 'k', idempotency_key => 'once')", site)

    assert Counter(await everything_claimed(claimer)) == {"idle": 2, "busy": 3, "another new": 2}
    await another_psql.run("commit")
    assert Counter(await everything_claimed(claimer)) == {"idle": 1, "busy": 1, "new": 1}


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_two_producers_may_make_one_new_site_at_once(psql, another_psql, claimer, end):
    """The second waits for the first to make it, and makes it itself where the first changes its mind."""
    await another_psql.run("begin")
    await another_psql.insert("new", 1)

    async with create_task_group() as tasks, psql.connection.transaction():
        tasks.start_soon(psql.insert, "new", 1)
        await another_psql.until_waiting(1)
        await another_psql.run(end)

    assert await everything_claimed(claimer) == ["new"] * (2 if end == "commit" else 1)
    assert await psql.value("select count(*) from sites") == 1


async def test_many_producers_of_new_and_known_sites_lose_nothing(psql, database_url, claimer):
    """Open transactions of several statements, some rolled back, while a worker claims all the time."""
    kept = Counter()
    taken = Counter()
    producing = True

    async def produce(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            for turn in range(25):
                sites = sorted(f"shop{(number + turn * n) % 12}" for n in range(1, 4))  # one order: they may be new
                for site in sites:
                    await connection.execute(INSERT, (site,))
                if turn % 5 == 4:
                    await connection.rollback()
                else:
                    await connection.commit()
                    kept.update(sites)

    async def consume() -> None:
        while producing:
            taken.update(await claimer.sites(7, 3))

    with fail_after(40):
        async with create_task_group() as consumers:
            for _ in range(2):
                consumers.start_soon(consume)
            async with create_task_group() as producers:
                for number in range(5):
                    producers.start_soon(produce, number)
            producing = False
        taken.update(await everything_claimed(claimer))

    assert taken == kept
    assert await psql.value(FORGOTTEN_SITES) == 0


async def test_sites_emptied_by_hand_do_not_keep_a_nearly_full_worker_from_work(psql, claimer):
    """With one free slot a claim looks at one site. Forty dry ones before it must not cost forty rounds of patience."""
    await psql.insert("works", 1)
    for n in range(40):
        await psql.insert(f"emptied{n}", 1)
    await psql.run("delete from blog_generations where instance_id <> 'works'")

    assert await claimer.sites(1) == ["works"]


async def test_blogs_held_in_an_open_transaction_do_not_hold_the_head_of_the_line(psql, another_psql, claimer):
    """An update of a site's blogs is not committed; a worker with one free slot must get past that site."""
    await psql.insert("works", 3)
    await psql.insert("held", 3)
    await another_psql.run("begin")
    await another_psql.run("update blog_generations set priority = 5 where instance_id = 'held'")

    first = await claimer(1)
    later = [site for _ in range(8) for site in await claimer.sites(1)]

    assert first.claims == ()
    assert first.look_again, "others may be served: nobody will notify"
    assert later == ["works"] * 3
    await another_psql.run("rollback")
    assert await everything_claimed(claimer) == ["held"] * 3


async def heard(listener) -> int:
    """Notifications until none came for a while."""
    return len([n async for n in listener.connection.notifies(timeout=0.3)])


async def insert(psql, database, claimer) -> None:
    await psql.insert("shop", 1)


async def insert_as_function(psql, database, claimer) -> None:
    await psql.run("select enqueue_blog('shop', 'keyword', 'k')")


async def reset(psql, database, claimer) -> None:
    await psql.run("update blog_generations set status = 'PENDING' where status = 'FAILED'")


async def take_back(psql, database, claimer) -> None:
    await psql.run("update blog_generations set status = 'PENDING' where status = 'PROCESSING'")


async def hand_over(psql, database, claimer) -> None:
    await psql.run("update blog_generations set instance_id = 'idle' where status = 'PENDING'")


async def wake_by_hand(psql, database, claimer) -> None:
    await psql.run("update blog_generations set run_at = now() where status = 'PENDING' and line is null")


async def end_of_a_rest(psql, database, claimer) -> None:
    await psql.run("alter table blog_generations disable trigger guard_line")
    await psql.run("update blog_generations set run_at = now() where instance_id = 'rests'")
    await psql.run("alter table blog_generations enable trigger guard_line")
    assert await promote(database) == 1


async def promote_due(psql, database, claimer) -> None:
    await psql.run("update blog_generations set run_at = now() where status = 'SCHEDULED'")
    await promote(database)


async def rescue_dead(psql, database, claimer) -> None:
    await psql.run("update workers set lease_until = now() - interval '1 second'")
    await rescue(database)


async def resume(psql, database, claimer) -> None:
    await psql.run("update sites set paused_at = null where instance_id = 'paused'")


async def end_at_cap(psql, database, claimer) -> None:
    await psql.run("update blog_generations set status = 'DONE' where instance_id = 'capped' and status = 'PROCESSING'")


async def raise_cap(psql, database, claimer) -> None:
    await psql.run("update sites set max_in_flight = 2 where instance_id = 'capped'")


@pytest.mark.parametrize(
    "way_in",
    [
        insert,
        insert_as_function,
        reset,
        take_back,
        hand_over,
        wake_by_hand,
        end_of_a_rest,
        promote_due,
        rescue_dead,
        resume,
        end_at_cap,
        raise_cap,
    ],
)
async def test_every_way_in_wakes_a_worker(psql, another_psql, database, claimer, way_in):
    """Whoever makes a blog claimable, by whatever statement: an idle worker need not wait for its poll."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1), ('idle', null)")
    await psql.insert("running", 1)
    await psql.insert("failed", 1)
    await psql.insert("capped", 2)
    await psql.insert("later", 1, run_at="2100-01-01Z")
    await psql.insert("rests", 1)
    await dry(claimer)
    await psql.run("update blog_generations set status = 'FAILED' where instance_id = 'failed'")
    await psql.run("update blog_generations set status = 'PENDING', run_at = '2100-01-01Z' where instance_id = 'rests'")
    await psql.insert("paused", 1)
    await psql.run("update sites set paused_at = now() where instance_id = 'paused'")
    await dry(claimer)
    await another_psql.run("listen blogworker_jobs")

    await way_in(psql, database, claimer)

    assert await heard(another_psql) >= 1


async def test_a_call_nobody_has_answered_yet_is_not_repeated(psql, another_psql, claimer):
    """NOTIFY makes committing producers queue up, so one call speaks for all that come within moments of it."""
    await another_psql.run("listen blogworker_jobs")
    async with psql.connection.transaction():  # in one go, so that no slow machine stretches the moments
        for n in range(5):
            await psql.insert(f"shop{n}", 1)

    assert await heard(another_psql) == 1
    assert await psql.value("select count(*) from site_arrivals") == 5

    await dry(claimer)
    await psql.insert("shop0", 1)
    assert await heard(another_psql) == 1


async def test_an_old_call_does_not_silence_new_ones(psql, another_psql):
    """A call may go unheard: no worker was there. It counts for moments only."""
    await psql.insert("shop", 1)
    await psql.run("update site_arrivals set announced_at = announced_at - interval '1 second'")
    await another_psql.run("listen blogworker_jobs")

    await psql.insert("other", 1)

    assert await heard(another_psql) == 1


async def test_a_blog_that_was_never_committed_wakes_nobody(psql, another_psql, claimer):
    await another_psql.run("listen blogworker_jobs")

    await psql.run("begin")
    await psql.insert("shop", 1)
    await psql.run("rollback")

    assert await heard(another_psql) == 0
    assert not (await claimer()).look_again


async def test_a_large_update_is_quick_in_a_session_that_began_with_small_ones(psql):
    """The plan of the trigger's first run serves all later ones: made for one row, it read 10,000 rows 10,000 times."""
    put_off = "update blog_generations set run_at = now() + interval '1 day' where instance_id = %s"
    for n in range(8):
        await psql.insert(f"one {n}")
        await psql.run(put_off, f"one {n}")
    await psql.insert("many", 10_000)

    await psql.run("set statement_timeout = '8s'")
    await psql.run(put_off, "many")

    assert await psql.value("select count(*) from blog_generations where status = 'SCHEDULED'") == 10_008
