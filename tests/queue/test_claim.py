"""The claim: fair between sites, fast with any backlog, each job claimed once."""

from collections import Counter
from uuid import UUID

import pytest
from anyio import create_task_group

from blogworker.queue.admit import Reopening, admit
from blogworker.queue.claim import claim

pytestmark = pytest.mark.anyio


async def test_a_claim_takes_jobs_inserted_by_hand(psql, claimer):
    """Plain SQL is a supported interface: the site is created automatically."""
    await psql.insert("shop", 3)

    found = await claimer()

    assert [c.source_id for c in found.claims] == ["k1", "k2", "k3"]
    assert {c.attempt for c in found.claims} == {1}
    assert await psql.value("select count(*) from blog_generations where status = 'PROCESSING'") == 3


async def test_one_new_job_is_in_the_next_claim_whatever_the_backlog(psql, claimer):
    """Fairness: old backlogs do not block a new site."""
    for n in range(5):
        await psql.insert(f"old{n}", 400)
    for _ in range(6):
        await claimer(50)
    await psql.insert("new", 1)

    sites = await claimer.sites(10)

    assert "new" in sites


async def test_a_new_site_is_next_among_more_sites_than_a_claim_takes(psql, claimer):
    """A tie in the line goes to the new site."""
    for n in range(40):
        await psql.insert(f"old{n}", 30)
    await claimer(10)
    await psql.insert("new", 1)

    assert "new" in await claimer.sites(10)


async def test_two_hundred_new_sites_are_served_within_five_percent_of_the_claims(psql, claimer):
    """Acceptance criterion: 5 sites with 2,000 older jobs each, 200 sites with one new job each."""
    await psql.run("set blogworker.queue_size_limit = 20000")
    for n in range(5):
        await psql.insert(f"old{n}", 2000)
    for n in range(200):
        await psql.insert(f"new{n}", 1)

    order: list[str] = []
    while len([site for site in order if site.startswith("new")]) < 200:
        order += await claimer.sites(50)

    assert len(order) <= 0.05 * 10_200


async def test_no_site_gets_more_than_its_window_in_one_claim(psql, claimer):
    await psql.insert("busy", 60)
    await psql.insert("quiet", 2)

    taken = Counter(await claimer.sites(100, 20))

    assert taken == {"busy": 20, "quiet": 2}


async def test_a_lone_site_gets_every_slot(psql, claimer):
    """Work-conserving: the window protects other sites, and there are none."""
    await psql.insert("lone", 90)

    taken = [len((await claimer(50 - 20 * turn)).claims) for turn in range(3)]

    assert taken == [50, 30, 10]


@pytest.mark.parametrize("slots", [7, 50])
async def test_service_is_proportional_to_weight(psql, claimer, slots):
    """Of two sites that stay backlogged, jobs per unit of weight never differ by more than one window."""
    weights = {"a": 1.0, "b": 2.0, "c": 4.0}
    for site, weight in weights.items():
        await psql.run("insert into sites (instance_id, weight) values (%s, %s)", site, weight)
        await psql.insert(site, 1500)

    served: Counter[str] = Counter()
    for _ in range(1000 // slots):
        served.update(await claimer.sites(slots))
        shares = [served[site] / weight for site, weight in weights.items()]
        assert max(shares) - min(shares) <= 20

    shares = [served[site] / weight for site, weight in weights.items()]
    jain = sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
    assert jain >= 0.99


async def test_sites_differ_by_at_most_two_while_the_line_is_longer_than_a_claim(psql, claimer):
    for n in range(60):
        await psql.insert(f"s{n:02}", 20)

    served = Counter({f"s{n:02}": 0 for n in range(60)})
    for _ in range(40):
        served.update(await claimer.sites(25))
        assert max(served.values()) - min(served.values()) <= 2


async def test_a_heavy_site_gets_its_share_although_the_line_is_long(psql, claimer):
    """A turn takes as many jobs as the weight; otherwise a heavy site would get one job per claim."""
    await psql.run("insert into sites (instance_id, weight) values ('heavy', 10)")
    await psql.insert("heavy", 800)
    for n in range(90):
        await psql.insert(f"s{n:02}", 40)

    served: Counter[str] = Counter()
    for _ in range(40):
        served.update(await claimer.sites(50))

    assert served["heavy"] == pytest.approx(2000 * 10 / 100, rel=0.1)


async def test_idle_time_saves_up_no_credit(psql, claimer):
    """A site that was idle joins at the current virtual time and gets no extra share."""
    await psql.insert("steady", 300)
    await psql.insert("comes_back", 1)
    for _ in range(10):
        await claimer(10)
    await psql.insert("comes_back", 100)

    taken = Counter(await claimer.sites(20))

    assert taken["steady"] >= 8


async def test_a_first_comer_after_an_idle_spell_saves_up_no_credit(psql, claimer):
    """With nobody in service, the line starts where it was left."""
    await psql.run("insert into sites (instance_id) values ('never_served')")
    await psql.insert("served", 100)
    while (await claimer(50)).claims:
        pass
    await psql.insert("never_served", 100)
    await claimer(1)
    await psql.insert("served", 100)

    taken = Counter(await claimer.sites(20))

    assert taken["served"] >= 9


async def test_a_paused_site_leaves_the_line_without_delaying_others(psql, claimer):
    await psql.insert("paused", 50)
    await psql.insert("open", 5)
    await psql.run("update sites set paused_at = now(), pause_reason = 'asked' where instance_id = 'paused'")

    assert set(await claimer.sites()) == {"open"}

    await psql.run("update sites set paused_at = null where instance_id = 'paused'")
    assert set(await claimer.sites()) == {"paused"}


async def test_a_pause_saves_up_no_credit(psql, claimer):
    await psql.insert("paused", 200)
    await psql.insert("open", 400)
    await psql.run("update sites set paused_at = now() where instance_id = 'paused'")
    for _ in range(10):
        await claimer(10)
    await psql.run("update sites set paused_at = null where instance_id = 'paused'")

    assert Counter(await claimer.sites(20))["open"] >= 8


async def test_a_cap_limits_the_running_jobs_of_a_site_across_claims(psql, claimer):
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 3)")
    await psql.insert("capped", 10)
    await psql.insert("free", 30)

    first = Counter(await claimer.sites(20))
    second = Counter(await claimer.sites(20))

    assert first["capped"] == 3
    assert second["capped"] == 0


async def test_a_capped_site_comes_back_when_one_of_its_jobs_ends(psql, claimer):
    """However it ends: here by hand, in psql."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 2)")
    await psql.insert("capped", 5)
    await claimer()
    assert await claimer.sites() == []

    await psql.run("update blog_generations set status = 'DONE' where id = (select min(id) from blog_generations)")
    assert await claimer.sites() == ["capped"]

    await psql.run("delete from blog_generations where status = 'PROCESSING'")
    assert await claimer.sites() == ["capped", "capped"]


async def test_concurrent_claims_keep_the_cap(psql, database, worker_id, claimer):
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 7)")
    await psql.insert("capped", 200)

    async def greedy() -> None:
        for _ in range(10):
            await claim(database, worker_id, slots=5, site_window=5)

    async with create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(greedy)

    assert await psql.value("select count(*) from blog_generations where status = 'PROCESSING'") == 7


async def test_higher_priority_goes_first_within_a_site(psql, claimer):
    await psql.insert("shop", 2)
    await psql.insert("shop", 1, priority=5)

    claims = (await claimer(2)).claims

    assert [c.job_id for c in claims] == [3, 1]


async def test_concurrent_claims_take_every_job_once(psql, database, claimer):
    """Producers and claimers at the same time: no site lost, nothing twice."""
    produced = 0
    taken: Counter[int] = Counter()
    producing = True

    async def produce(number: int) -> None:
        nonlocal produced
        for turn in range(40):
            async with database.connection() as connection:
                count = 1 + turn % 4
                await connection.execute(
                    "insert into blog_generations (instance_id, source_type, source_id) "
                    "select %s, 'keyword', 'k' from generate_series(1, %s)",
                    (f"site{(number + turn) % 9}", count),
                )
                produced += count

    async def consume(me: UUID) -> None:
        while producing or sum(taken.values()) < produced:
            found = await claim(database, me, slots=10, site_window=4)
            taken.update(c.job_id for c in found.claims)

    async with create_task_group() as consumers:
        for _ in range(4):
            consumers.start_soon(consume, claimer.worker_id)
        async with create_task_group() as producers:
            for number in range(3):
                producers.start_soon(produce, number)
        producing = False

    assert len(taken) == produced
    assert set(taken.values()) == {1}


@pytest.mark.parametrize("emptied", [1, 60, 3_000])
async def test_sites_whose_jobs_were_all_cancelled_do_not_hold_up_a_claim(psql, claimer, emptied):
    """They stay at the head of the line until a claim meets them. One claim retires as many as there are."""
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id) "
        f"select 'emptied-' || n, 'keyword', 'k' from generate_series(1, {emptied}) as n"
    )
    await psql.insert("shop", 1)
    while await admit(claimer.database):
        pass
    await psql.run("update sites set virtual_time = virtual_time + 1 where instance_id = 'shop'")
    await psql.run("update blog_generations set status = 'CANCELLED' where instance_id <> 'shop'")

    found = await claimer(slots=10)

    assert [each.instance_id for each in found.claims] == ["shop"]


async def test_a_site_is_not_retired_under_an_open_transaction(psql, another_psql, claimer):
    """Its insert is not visible yet, and the job must not be forgotten after the commit."""
    await psql.insert("shop", 1)
    async with another_psql.connection.transaction():
        await another_psql.insert("shop", 1)
        assert len((await claimer()).claims) == 1
        found = await claimer()
        assert found.claims == ()
        assert found.look_again, "the worker must look again soon: nobody will notify it"

    assert len((await claimer()).claims) == 1


async def test_an_open_transaction_blocks_no_other_producer(psql, another_psql, claimer):
    """Two producers of one idle site: the second neither waits for the first nor depends on it."""
    await psql.run("insert into sites (instance_id) values ('shop')")
    await another_psql.run("begin")
    await another_psql.insert("shop", 1)
    await psql.run("set lock_timeout = '1s'")
    await psql.insert("shop", 1)

    assert len((await claimer()).claims) == 1

    await another_psql.run("rollback")
    await psql.insert("shop", 1)
    assert len((await claimer()).claims) == 1


async def test_sites_with_only_uncommitted_jobs_do_not_block_the_head_of_the_line(psql, another_psql, claimer):
    """A producer has uncommitted jobs on a hundred sites: the others are still served."""
    for n in range(30):
        await psql.insert(f"open{n}", 1)
    await another_psql.run("begin")
    for n in range(30):
        await another_psql.insert(f"open{n}", 1)
    while (await claimer()).claims:
        pass
    await psql.insert("other", 20)

    served = 0
    for _ in range(60):
        served += len((await claimer(10)).claims)

    assert served == 20
    await another_psql.run("rollback")


async def test_an_empty_queue_gives_no_claims(claimer):
    found = await claimer()

    assert found.claims == ()
    assert not found.look_again


async def test_a_scheduled_job_is_not_claimed(psql, claimer):
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id, run_at) "
        "values ('shop', 'keyword', 'later', now() + interval '1 hour')"
    )

    assert (await claimer()).claims == ()
    assert await psql.value("select status from blog_generations") == "SCHEDULED"


async def test_a_site_wrongly_marked_at_its_cap_is_repaired(psql, claimer, database):
    """A job that ended in a transaction nobody could see while the site was counted."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1), ('full', 1)")
    await psql.insert("capped", 1)
    await psql.insert("full", 2)
    await claimer()
    await psql.run("update blog_generations set status = 'DONE' where instance_id = 'capped'")
    await psql.run("delete from site_arrivals")
    await psql.run("update sites set at_cap = true where instance_id = 'capped'")

    healed = await Reopening().run_once(database)

    assert healed == 1
    assert await psql.value("select at_cap from sites where instance_id = 'capped'") is False
    assert await psql.value("select at_cap from sites where instance_id = 'full'") is True
