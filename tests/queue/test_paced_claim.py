"""Claims that go by the quotas: a slot is given only to what can go on within moments, the rest stays in line.

Figures are chosen for slow machines: a patience of minutes, buckets of a call every ten seconds.
"""

from collections import Counter
from dataclasses import replace

import pytest
from anyio import create_task_group

from blogworker.queue.claim import Claimed, ClaimFilter, Pacing, Scan, claim
from blogworker.queue.job import Stage

pytestmark = pytest.mark.anyio

PATIENCE_S = 100.0
IDEAS, CONTENT, IMAGE = "openai/small", "openai/large", "replicate/predictions"
BUCKETS = [None, IDEAS, CONTENT, IMAGE, None]
# The lead to content is short, the one to its picture long: content is the narrow bucket, wherever its pace is set.
PACING = Pacing(buckets=BUCKETS, tokens=[0] * 5, leads=[0, 0, 100, 200, 300, 400], patience_s=PATIENCE_S)
UNLIMITED = replace(PACING, buckets=[None] * 5)


@pytest.fixture
async def quotas(psql):
    """Three buckets: content goes every ten seconds, the others twenty times a second."""
    await psql.run(
        "insert into quotas (name, provider, requests_per_minute) "
        "values (%s, 'openai', 1200), (%s, 'openai', 6), (%s, 'replicate', 1200)",
        IDEAS,
        CONTENT,
        IMAGE,
    )


@pytest.fixture
def paced(database, claimer):
    async def run(slots: int = 100, pacing: Pacing = PACING, *, window: int = 100, scan: Scan | None = None) -> Claimed:
        passing = ClaimFilter(pacing=pacing)
        return await claim(
            database, claimer.worker_id, slots=slots, site_window=window, only=passing, scan=scan or Scan()
        )

    return run


async def look_again_at_all(psql) -> None:
    """As if the moment were over for which a site with nothing to start is out of the line."""
    await psql.run("update sites set capped_until = now() where capped_until is not null")


def stages(found: Claimed) -> Counter[Stage]:
    return Counter(c.stage for c in found.claims)


def sites(found: Claimed) -> Counter[str]:
    return Counter(c.instance_id for c in found.claims)


# What all sites share.


async def test_no_more_is_claimed_than_the_bucket_lets_go_within_half_of_the_patience(psql, quotas, paced):
    """The rest would hold slots that others can use; the other half is for jobs that come from the stage before."""
    for n in range(4):
        await psql.insert(f"shop{n}", 5, stage="content")

    assert stages(await paced()) == {Stage.CONTENT: 5}
    assert stages(await paced()) == {}, "those claimed a moment ago count, though they have not asked yet"


async def test_what_is_granted_ahead_leaves_less_to_claim(psql, quotas, paced):
    await psql.insert("shop", 20, stage="content")
    await psql.run(
        "update quotas set requests_clock = now() + make_interval(secs => 25 + burst_s) where name = %s", CONTENT
    )

    assert stages(await paced()) == {Stage.CONTENT: 3}


async def test_calls_that_wait_for_the_bucket_leave_less_to_claim(psql, quotas, paced):
    await psql.insert("shop", 20, stage="content")
    await psql.run(
        "insert into quota_waits (call_id, bucket, client_id, turn, tokens, asked_at, seen_at) "
        "select gen_random_uuid(), %s, gen_random_uuid(), 0, 0, now(), now() from generate_series(1, 2)",
        CONTENT,
    )

    assert stages(await paced()) == {Stage.CONTENT: 3}


async def test_calls_of_a_process_that_stopped_asking_hold_nothing_back(psql, quotas, paced):
    """Only a round of the bucket removes them, and without a claim there is no round: the fleet would stand still."""
    await psql.insert("shop", 20, stage="content")
    await psql.run(
        "insert into quota_waits (call_id, bucket, client_id, turn, tokens, asked_at, seen_at) "
        "select gen_random_uuid(), %s, gen_random_uuid(), 0, 0, now() - interval '1 hour', now() - interval '1 hour' "
        "from generate_series(1, 50)",
        CONTENT,
    )

    assert stages(await paced()) == {Stage.CONTENT: 5}


async def test_tokens_are_a_pace_like_requests(psql, quotas, paced):
    await psql.insert("shop", 20, stage="content")
    await psql.run("update quotas set requests_per_minute = 1200, tokens_per_minute = 6000 where name = %s", CONTENT)

    found = await paced(pacing=replace(PACING, tokens=[0, 0, 2_000, 0, 0]))  # one in twenty seconds

    assert stages(found) == {Stage.CONTENT: 3}


async def test_stages_that_share_a_bucket_share_what_it_lets_go(psql, quotas, paced):
    """Where one model writes ideas and posts, or two models share a limit."""
    await psql.insert("shop", 20, stage="content")
    await psql.insert("other", 20, stage="ideas")

    found = await paced(pacing=replace(PACING, buckets=[None, CONTENT, CONTENT, IMAGE, None]))

    assert stages(found).total() == 5


async def test_the_few_that_may_go_are_shared_in_the_order_of_the_sites_turns(psql, quotas, paced):
    """A site with a large backlog at one stage must not take the whole bucket."""
    await psql.insert("large", 50, stage="content")
    for n in range(4):
        await psql.insert(f"small{n}", 1, stage="content")

    assert sites(await paced()) == {"large": 1} | {f"small{n}": 1 for n in range(4)}


async def test_claims_at_the_same_time_take_no_more_together_than_one_would(psql, quotas, paced):
    """Each worker sees what those before it took: they take turns."""
    await psql.insert("shop", 40, stage="content")
    found: list[Claimed] = []

    async def look() -> None:
        found.append(await paced())

    async with create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(look)

    assert sum(len(each.claims) for each in found) == 5


async def test_a_worker_is_told_when_to_look_for_what_the_quotas_hold_back(psql, quotas, paced):
    """Nobody notifies when a quota lets the next one go."""
    assert (await paced()).look_in_s is None

    await psql.insert("shop", 20, stage="content")
    found = await paced()

    assert len(found.claims) == 5
    assert 0 < found.look_in_s <= PATIENCE_S / 2


async def test_new_blogs_start_as_fast_as_the_narrowest_bucket_lets_others_through(psql, quotas, paced):
    """Started sooner, they would only wait between their stages, with money spent on them."""
    for site in ("a", "b"):
        await psql.insert(site, 100)
    (room,) = await psql.run(
        "select starts from stage_rooms(%s, %s, %s::float8[], %s, clock_timestamp()) where line = 0",
        PACING.buckets,
        PACING.tokens,
        PACING.leads,
        PATIENCE_S,
    )

    found = await paced()

    assert room["starts"] == 16, "one in ten seconds, over the lead to content and six tenths of the patience"
    assert sites(found) == {"a": 8, "b": 8}
    assert stages(await paced()) == {}


async def test_when_blogs_are_through_the_narrow_bucket_as_many_start(psql, quotas, paced):
    await psql.insert("shop", 100)
    await paced()
    await look_again_at_all(psql)

    await psql.run("update blog_generations set status = 'DONE' where id <= 3")

    assert stages(await paced()) == {Stage.SOURCE: 3}


async def test_what_is_part_done_counts_against_new_starts_wherever_it_waits(psql, quotas, paced):
    """Held back at content they are under way all the same: of 16 that may be, 12 wait already."""
    await psql.insert("a", 12, stage="content")
    await psql.insert("b", 100)

    assert stages(await paced()) == {Stage.CONTENT: 5, Stage.SOURCE: 4}


@pytest.mark.parametrize(
    "held", ["update sites set paused_at = now() where instance_id = 'held'",
             "update sites set max_in_flight = 1 where instance_id = 'held'"],
)  # fmt: skip
async def test_what_is_part_done_of_a_site_that_is_held_back_keeps_no_other_from_starting(psql, quotas, paced, held):
    """A paused site cannot finish its blogs: the whole fleet would stand still until a person resumes it."""
    await psql.insert("held", 400, stage="content")
    await psql.run(held)
    await psql.insert("good", 50)

    found = await paced()

    assert sites(found)["good"] >= 10


async def test_weights_that_lie_far_apart_stop_no_claim(psql, paced):
    await psql.run("insert into sites (instance_id, weight) values ('large', 1000), ('small', 0.001)")
    for site in ("large", "small"):
        await psql.insert(site, 5)

    found = await paced(1, UNLIMITED)

    assert len(found.claims) == 1


async def test_a_worker_whose_lease_has_ended_does_not_look_again_at_once(psql, paced):
    await psql.insert("shop", 5)
    await psql.run("update workers set lease_until = now() - interval '1 second'")

    found = await paced()

    assert found.claims == ()
    assert found.look_in_s >= PATIENCE_S / 10


@pytest.mark.parametrize("bucket", BUCKETS[1:4])
async def test_an_endless_block_refuses_no_blog(psql, quotas, paced, bucket):
    """The answer to an enqueue holds estimates: an error in one of them would undo the enqueue."""
    await psql.run(
        "update workers set stats = jsonb_build_object('needs', jsonb_build_object('buckets', %s::text[], "
        "'tokens', array[0, 0, 0], 'blog_s', 1e300::float8, 'site_rpm', 0, 'site_calls', 0))",
        BUCKETS[1:4],
    )
    await psql.run("update quotas set blocked_until = '9999-12-31' where name = %s", bucket)

    (row,) = await psql.run("select * from enqueue_blog('shop', 'keyword', source_id => 'k')")

    assert row["created"]
    assert await psql.run("select * from v_waiting")


@pytest.mark.parametrize(
    ("bucket", "stopped"),
    [(IDEAS, {"source", "ideas"}), (CONTENT, {"content"}), (IMAGE, {"image"})],
)
async def test_a_blocked_bucket_stops_its_stages_and_nothing_else(psql, quotas, paced, bucket, stopped):
    """A source waits with the ideas that follow it at once."""
    for stage in Stage:
        await psql.insert(f"shop {stage}", 1, stage=stage)
    await psql.run("update quotas set blocked_until = now() + interval '1 day' where name = %s", bucket)

    found = await paced()

    assert {c.stage for c in found.claims} == set(Stage) - stopped


async def test_a_bucket_that_no_worker_has_made_yet_holds_nothing_back(psql, paced):
    await psql.insert("shop", 20, stage="content")

    assert len((await paced()).claims) == 20


# What a site has of its own.

A_CALL_IN_TEN_S = replace(UNLIMITED, leads=[0, 0, 0, 0, 0, 985], patience_s=10.0, site_rpm=6, site_calls=10)


@pytest.mark.parametrize("clock", ["requests_clock", "blocked_until"])
async def test_a_site_whose_own_quota_is_used_up_is_passed_over_for_publishing_only(psql, paced, clock):
    """Its texts and pictures need nothing of its site."""
    for site in ("busy", "free"):
        for stage in Stage:
            await psql.insert(site, 1, stage=stage)
    await psql.run(
        "insert into quotas (name, provider, requests_per_minute, burst_s) values ('wix/busy', 'wix', 6, 15)"
    )
    await psql.run(f"update quotas set {clock} = now() + interval '1 hour'")

    found = await paced(pacing=replace(A_CALL_IN_TEN_S, site_calls=1))

    taken = Counter((c.instance_id, c.stage) for c in found.claims)
    assert set(taken) == {(site, stage) for site in ("busy", "free") for stage in Stage} - {("busy", Stage.PUBLISH)}
    await psql.run(f"update quotas set {clock} = now()")
    assert [(c.instance_id, c.stage) for c in (await paced(pacing=A_CALL_IN_TEN_S)).claims] == [("busy", Stage.PUBLISH)]


async def test_a_site_has_no_more_blogs_under_way_than_its_own_quota_lets_out(psql, paced):
    """A hundred seconds of its quota each, over the time of a blog: started sooner they would wait at the end, made."""
    await psql.insert("limited", 50)
    taken: list[int] = []

    for _ in range(3):
        taken.append(len((await paced(pacing=A_CALL_IN_TEN_S)).claims))
        await look_again_at_all(psql)
    await psql.run("update blog_generations set status = 'DONE' where id = 1")
    taken.append(len((await paced(pacing=A_CALL_IN_TEN_S)).claims))

    assert taken == [10, 0, 0, 1]
    await psql.insert("another", 20)
    assert sites(await paced(pacing=A_CALL_IN_TEN_S)) == {"another": 10}, "each site has a quota of its own"


async def test_the_part_done_blogs_of_a_site_are_under_way_too(psql, paced):
    await psql.insert("limited", 8, stage="publish")
    await psql.insert("limited", 50)
    await psql.run("insert into quotas (name, provider, requests_per_minute) values ('wix/limited', 'wix', 6)")
    await psql.run("update quotas set blocked_until = now() + interval '1 hour'")

    assert stages(await paced(pacing=A_CALL_IN_TEN_S)) == {Stage.SOURCE: 2}


async def test_where_no_site_is_called_there_is_no_such_bound(psql, paced):
    await psql.insert("shop", 50)

    assert len((await paced(pacing=replace(A_CALL_IN_TEN_S, site_rpm=None))).claims) == 50


# The slots of the fleet: the worker of these tests has a hundred.


async def test_a_site_alone_gets_every_slot(psql, paced):
    await psql.insert("alone", 300)

    assert len((await paced(pacing=UNLIMITED)).claims) == 100


async def test_while_another_site_waits_each_gets_its_share_of_the_slots_by_weight(psql, paced):
    """Blogs of minutes would else keep a site out that comes a moment later."""
    await psql.run("insert into sites (instance_id, weight) values ('heavy', 3), ('light', 1)")
    for site in ("heavy", "light"):
        await psql.insert(site, 300)
    taken: Counter[str] = Counter()

    for _ in range(20):
        taken += sites(await paced(10, UNLIMITED))

    assert taken == {"heavy": 75, "light": 25}


async def test_a_site_at_its_share_leaves_no_more_to_the_others_while_it_waits(psql, paced):
    """It is still in line: the shares are those of all that wait, not only of those that may have more."""
    for site in ("a", "b", "c"):
        await psql.insert(site, 300)
    taken: Counter[str] = Counter()

    for _ in range(30):
        taken += sites(await paced(7, UNLIMITED))

    assert taken == {"a": 34, "b": 34, "c": 34}


async def test_slots_go_over_to_a_site_that_comes_until_it_has_its_share(psql, paced):
    """Whoever has more than its share gets no more, and who has less does not overshoot it meanwhile."""
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
    """Else its running blogs use up the shares of their sites, and the slots of the others stay empty."""
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


# Part done.


async def test_a_thousand_part_done_blogs_of_one_site_do_not_hide_those_of_another(psql, quotas, paced):
    await psql.insert("a", 1_000, stage="content")
    await psql.insert("b", 2, stage="content", priority=-1)

    assert sites(await paced(4)) == {"a": 2, "b": 2}


async def test_more_sites_with_part_done_blogs_than_one_claim_looks_at_are_gone_through_by_name(psql, quotas, paced):
    """Their jobs may be held back at one stage for long; the last of them has one that can go."""
    for n in range(250):
        await psql.insert(f"shop{n:03}", 1, stage="content")
    await psql.run("update quotas set blocked_until = now() + interval '1 day' where name = %s", CONTENT)
    await psql.insert("shop999", 1, stage="image")
    scan, taken = Scan(), Counter()

    for _ in range(2):
        taken += sites(await paced(5, scan=scan))

    assert taken == {"shop999": 1}
