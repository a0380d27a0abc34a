"""A person at psql as producer: the line of sites stays correct after any statement."""

from collections import Counter

import psycopg
import pytest
from anyio import create_task_group, fail_after

from blogworker.queue.job import Done, Release

from .conftest import dry

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


async def test_one_statement_can_add_jobs_of_known_and_new_sites(psql, claimer):
    await psql.run("insert into sites (instance_id) values ('known')")

    await psql.run(
        "INSERT INTO blog_generations (instance_id, source_type, source_data) VALUES "
        "('new 1', 'keyword', '{\"keyword\": \"mugs\"}'), "
        "('known', 'product', '{\"name\": \"Mug\"}'), "
        "('new 2', 'text', '{\"text\": \"About mugs.\"}'), "
        "('new 1', 'keyword', '{\"keyword\": \"cups\"}')"
    )

    assert Counter(await everything_claimed(claimer)) == {"new 1": 2, "new 2": 1, "known": 1}


async def test_jobs_can_be_added_with_copy(psql, claimer):
    """The fastest way to fill a table passes the same triggers."""
    async with (
        psql.connection.cursor() as cursor,
        cursor.copy("copy blog_generations (instance_id, source_type, source_id) from stdin") as copy,
    ):
        for n in range(60):
            await copy.write_row((f"shop{n % 6}", "keyword", f"k{n}"))

    assert Counter(await everything_claimed(claimer)) == {f"shop{n}": 10 for n in range(6)}


async def test_a_failed_insert_creates_no_site(psql):
    refusal = await psql.refused(
        "insert into blog_generations (instance_id, source_type, source_id) values "
        "('good', 'keyword', 'k'), ('bad', 'keyword', '')"
    )

    assert refusal.diag.constraint_name == "keyword_is_given"
    assert await psql.value("select count(*) from sites") == 0
    assert await psql.value("select count(*) from site_arrivals") == 0


async def test_a_reset_of_all_failed_jobs_requeues_them_on_all_sites(psql, claimer):
    """The reset of the system before, over sites that left the line long ago."""
    for site in ("a", "b", "c"):
        await psql.insert(site, 2)
    await dry(claimer)
    await psql.run("update blog_generations set status = 'FAILED', error = 'e' where instance_id <> 'c'")
    await dry(claimer)
    assert await psql.value("select count(*) from sites where ready") == 0

    await psql.run("UPDATE blog_generations SET status = 'PENDING', error = NULL WHERE status = 'FAILED'")

    assert Counter(await everything_claimed(claimer)) == {"a": 2, "b": 2}


async def test_a_job_taken_from_its_worker_is_claimable_and_fenced(psql, claimer, settler):
    await psql.insert("shop", 1)
    (lost,) = (await claimer()).claims
    await dry(claimer)

    await psql.run("update blog_generations set status = 'PENDING' where status = 'PROCESSING'")

    assert await settler.settle(lost, Done()) is None
    (again,) = (await claimer()).claims
    assert (again.job_id, again.attempt, again.failures) == (lost.job_id, 2, 0)
    assert await settler.settle(lost, Release()) is None
    assert await settler.settle(again, Done()) == "DONE"


async def test_waiting_and_running_jobs_can_be_deleted(psql, claimer, settler):
    await psql.insert("shop", 3)
    running, _ = (await claimer(2)).claims

    await psql.run("delete from blog_generations where id in (1, 3)")

    assert await settler.settle(running, Done()) is None
    assert await everything_claimed(claimer) == []
    assert [row["id"] for row in await psql.run("select id from blog_generations")] == [2]


async def test_a_job_moved_to_another_site_joins_its_line(psql, claimer):
    """Two shops become one. The site it comes to may have left the line."""
    await psql.run("insert into sites (instance_id) values ('kept')")
    await psql.insert("merged", 3)

    await psql.run("update blog_generations set instance_id = 'kept' where instance_id = 'merged'")

    assert await everything_claimed(claimer) == ["kept"] * 3


async def test_a_running_job_moved_to_another_site_frees_the_cap_of_the_first(psql, claimer):
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1), ('other', null)")
    await psql.insert("capped", 2)
    assert await everything_claimed(claimer) == ["capped"]

    await psql.run("update blog_generations set instance_id = 'other' where status = 'PROCESSING'")

    assert await everything_claimed(claimer) == ["capped"]


async def test_a_truncated_table_leaves_no_site_at_its_cap(psql, claimer):
    """TRUNCATE fires no row trigger, so no ended job would reopen the site."""
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
async def test_a_producer_with_an_old_snapshot_gets_a_serialization_failure(
    psql, another_psql, claimer, isolation, produce
):
    """Its snapshot shows a site in line that was retired since. Without an error the job would be forgotten."""
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


async def test_jobs_ended_under_an_old_snapshot_reopen_their_site(psql, another_psql, claimer):
    """Its count of running jobs is as old as its snapshot; the site must still leave its cap."""
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


async def test_an_open_transaction_of_a_producer_blocks_nobody_on_an_existing_site(
    psql, another_psql, database_url, claimer
):
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
async def test_two_producers_can_create_the_same_site_concurrently(psql, another_psql, claimer, end):
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


async def test_sites_emptied_by_hand_do_not_block_a_worker_with_one_free_slot(psql, claimer):
    """With one free slot a claim visits one site. Forty empty sites before it must not cost forty waits."""
    await psql.insert("works", 1)
    for n in range(40):
        await psql.insert(f"emptied{n}", 1)
    await psql.run("delete from blog_generations where instance_id <> 'works'")

    assert await claimer.sites(1) == ["works"]


async def test_jobs_locked_by_an_open_transaction_do_not_block_the_head_of_the_line(psql, another_psql, claimer):
    """An update of a site's jobs is not committed; a worker with one free slot must get past that site."""
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
