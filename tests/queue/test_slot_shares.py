"""The slots of the fleet, shared by the sites that wait. The worker of these tests has a hundred."""

from collections import Counter

import pytest

from .paced_claims import UNLIMITED, look_again_at_all, sites

pytestmark = pytest.mark.anyio


# The slots of the fleet: the worker of these tests has a hundred.


async def test_a_site_alone_gets_every_slot(psql, paced):
    await psql.insert("alone", 300)

    assert len((await paced(pacing=UNLIMITED)).claims) == 100


async def test_while_another_site_waits_each_gets_its_share_of_the_slots_by_weight(psql, paced):
    """Otherwise jobs that take minutes would block a site that arrives a moment later."""
    await psql.run("insert into sites (instance_id, weight) values ('heavy', 3), ('light', 1)")
    for site in ("heavy", "light"):
        await psql.insert(site, 300)
    taken: Counter[str] = Counter()

    for _ in range(20):
        taken += sites(await paced(10, UNLIMITED))

    assert taken == {"heavy": 75, "light": 25}


async def test_a_waiting_site_at_its_share_still_counts_in_the_shares(psql, paced):
    """It is still in line: the shares are computed over all waiting sites, not only over those below their share."""
    for site in ("a", "b", "c"):
        await psql.insert(site, 300)
    taken: Counter[str] = Counter()

    for _ in range(30):
        taken += sites(await paced(7, UNLIMITED))

    assert taken == {"a": 34, "b": 34, "c": 34}


async def test_slots_move_to_a_new_site_until_it_has_its_share(psql, paced):
    """A site above its share gets no slots, and one below does not exceed it meanwhile."""
    await psql.insert("first", 300)
    await paced(pacing=UNLIMITED)
    await psql.insert("second", 300)
    most = {"first": 50, "second": 50}

    for n in range(60):
        await psql.run(
            "update blog_generations set status = 'DONE' where id = ("
            "select id from blog_generations where status = 'PROCESSING' and instance_id = 'first' order by id limit 1)"
        )
        found = sites(await paced(1, UNLIMITED))
        rows = await psql.run(
            "select instance_id, count(*) as running from blog_generations where status = 'PROCESSING' group by 1"
        )
        running = {row["instance_id"]: row["running"] for row in rows}
        assert all(running[site] <= most[site] for site in found), (n, running)

    assert running == {"first": 50, "second": 50}


async def test_slots_of_a_worker_that_drains_count_as_long_as_they_are_in_use(psql, paced):
    """Otherwise its running jobs would use up the shares of their sites, and other slots would stay empty."""
    for site in ("a", "b"):
        await psql.insert(site, 300)
    await paced(pacing=UNLIMITED)
    await psql.run(
        "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until, draining, in_flight) "
        "select 'drains', gen_random_uuid(), 'h', 1, '0', 100, now() + interval '1 hour', true, 100"
    )
    await psql.run("alter table blog_generations disable trigger user")
    await psql.run(
        "update blog_generations as g set worker_id = w.worker_id from workers as w "
        "where w.name = 'drains' and g.status = 'PROCESSING'"
    )
    await psql.run("alter table blog_generations enable trigger user")
    await look_again_at_all(psql)

    taken: Counter[str] = Counter()
    for _ in range(2):
        taken += sites(await paced(pacing=UNLIMITED))

    assert taken == {"a": 50, "b": 50}
