"""Claims paced by the quotas: a slot is given only to what can go on within moments, the rest stays in line."""

from collections import Counter
from dataclasses import replace

import pytest
from anyio import create_task_group

from blogworker.queue.claim import Claimed, Scan
from blogworker.queue.job import Stage

from .paced_claims import (
    BUCKETS,
    CONTENT,
    IDEAS,
    IMAGE,
    PACING,
    PATIENCE_S,
    UNLIMITED,
    look_again_at_all,
    sites,
    stages,
)

pytestmark = pytest.mark.anyio


# What all sites share.


async def test_a_claim_takes_what_the_bucket_grants_within_half_of_the_patience(psql, quotas, paced):
    """More would occupy slots that others can use; the other half is for jobs that arrive from the previous stage."""
    for n in range(4):
        await psql.insert(f"shop{n}", 5, stage="content")

    assert stages(await paced()) == {Stage.CONTENT: 5}
    assert stages(await paced()) == {}, "those claimed a moment ago count, though they have not asked yet"


async def test_calls_granted_ahead_leave_less_to_claim(psql, quotas, paced):
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


async def test_waiting_calls_of_a_dead_process_do_not_reduce_claims(psql, quotas, paced):
    """Only a round of the bucket removes them, and without a claim there is no round: the fleet would stand still."""
    await psql.insert("shop", 20, stage="content")
    await psql.run(
        "insert into quota_waits (call_id, bucket, client_id, turn, tokens, asked_at, seen_at) "
        "select gen_random_uuid(), %s, gen_random_uuid(), 0, 0, now() - interval '1 hour', now() - interval '1 hour' "
        "from generate_series(1, 50)",
        CONTENT,
    )

    assert stages(await paced()) == {Stage.CONTENT: 5}


async def test_tokens_limit_claims_as_requests_do(psql, quotas, paced):
    await psql.insert("shop", 20, stage="content")
    await psql.run("update quotas set requests_per_minute = 1200, tokens_per_minute = 6000 where name = %s", CONTENT)

    found = await paced(pacing=replace(PACING, tokens=[0, 0, 2_000, 0, 0]))  # one in twenty seconds

    assert stages(found) == {Stage.CONTENT: 3}


async def test_stages_that_share_a_bucket_share_its_pace(psql, quotas, paced):
    """Where one model writes ideas and posts, or two models share a limit."""
    await psql.insert("shop", 20, stage="content")
    await psql.insert("other", 20, stage="ideas")

    found = await paced(pacing=replace(PACING, buckets=[None, CONTENT, CONTENT, IMAGE, None]))

    assert stages(found).total() == 5


async def test_a_short_quota_is_shared_in_the_order_of_turns(psql, quotas, paced):
    """A site with a large backlog at one stage must not take the whole bucket."""
    await psql.insert("large", 50, stage="content")
    for n in range(4):
        await psql.insert(f"small{n}", 1, stage="content")

    assert sites(await paced()) == {"large": 1} | {f"small{n}": 1 for n in range(4)}


async def test_concurrent_claims_take_no_more_than_one_claim_would(psql, quotas, paced):
    """Each worker sees what those before it took: they take turns."""
    await psql.insert("shop", 40, stage="content")
    found: list[Claimed] = []

    async def look() -> None:
        found.append(await paced())

    async with create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(look)

    assert sum(len(each.claims) for each in found) == 5


async def test_a_claim_returns_when_to_look_for_jobs_that_the_quotas_delay(psql, quotas, paced):
    """Nobody notifies when a quota lets the next one go."""
    assert (await paced()).look_in_s is None

    await psql.insert("shop", 20, stage="content")
    found = await paced()

    assert len(found.claims) == 5
    assert 0 < found.look_in_s <= PATIENCE_S / 2


async def test_new_jobs_start_at_the_pace_of_the_slowest_bucket(psql, quotas, paced):
    """If they started sooner, they would wait between their stages after money was spent on them."""
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


async def test_a_new_job_starts_for_each_that_passes_the_slowest_bucket(psql, quotas, paced):
    await psql.insert("shop", 100)
    await paced()
    await look_again_at_all(psql)

    await psql.run("update blog_generations set status = 'DONE' where id <= 3")

    assert stages(await paced()) == {Stage.SOURCE: 3}


async def test_started_jobs_count_against_new_starts_wherever_they_wait(psql, quotas, paced):
    """Jobs that wait at content count as started: of 16 allowed, 12 wait already."""
    await psql.insert("a", 12, stage="content")
    await psql.insert("b", 100)

    assert stages(await paced()) == {Stage.CONTENT: 5, Stage.SOURCE: 4}


@pytest.mark.parametrize(
    "held", ["update sites set paused_at = now() where instance_id = 'held'",
             "update sites set max_in_flight = 1 where instance_id = 'held'"],
)  # fmt: skip
async def test_started_jobs_of_a_blocked_site_do_not_keep_others_from_starting(psql, quotas, paced, held):
    """A paused site cannot finish its jobs: the whole fleet would stand still until a person resumes it."""
    await psql.insert("held", 400, stage="content")
    await psql.run(held)
    await psql.insert("good", 50)

    found = await paced()

    assert sites(found)["good"] >= 10


async def test_very_different_weights_break_no_claim(psql, paced):
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
async def test_an_endless_block_does_not_refuse_an_enqueue(psql, quotas, paced, bucket):
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


async def test_a_missing_bucket_limits_nothing(psql, paced):
    await psql.insert("shop", 20, stage="content")

    assert len((await paced()).claims) == 20


# What a site has of its own.

A_CALL_IN_TEN_S = replace(UNLIMITED, leads=[0, 0, 0, 0, 0, 985], patience_s=10.0, site_rpm=6, site_calls=10)


@pytest.mark.parametrize("clock", ["requests_clock", "blocked_until"])
async def test_a_site_without_quota_is_skipped_for_publishing_only(psql, paced, clock):
    """Its texts and pictures need no call of the site."""
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


async def test_the_quota_of_a_site_limits_its_started_jobs(psql, paced):
    """Each needs a hundred seconds of the quota: if they started sooner, finished posts would wait to be published."""
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


async def test_started_jobs_that_wait_count_against_that_limit(psql, paced):
    await psql.insert("limited", 8, stage="publish")
    await psql.insert("limited", 50)
    await psql.run("insert into quotas (name, provider, requests_per_minute) values ('wix/limited', 'wix', 6)")
    await psql.run("update quotas set blocked_until = now() + interval '1 hour'")

    assert stages(await paced(pacing=A_CALL_IN_TEN_S)) == {Stage.SOURCE: 2}


async def test_without_calls_to_sites_there_is_no_such_limit(psql, paced):
    await psql.insert("shop", 50)

    assert len((await paced(pacing=replace(A_CALL_IN_TEN_S, site_rpm=None))).claims) == 50


# Part done.


async def test_a_thousand_started_jobs_of_one_site_do_not_hide_those_of_another(psql, quotas, paced):
    await psql.insert("a", 1_000, stage="content")
    await psql.insert("b", 2, stage="content", priority=-1)

    assert sites(await paced(4)) == {"a": 2, "b": 2}


async def test_more_sites_with_started_jobs_than_one_claim_visits_are_scanned_by_name(psql, quotas, paced):
    """Their jobs may be held back at one stage for long; the last of them has one that can go."""
    for n in range(250):
        await psql.insert(f"shop{n:03}", 1, stage="content")
    await psql.run("update quotas set blocked_until = now() + interval '1 day' where name = %s", CONTENT)
    await psql.insert("shop999", 1, stage="image")
    scan, taken = Scan(), Counter()

    for _ in range(2):
        taken += sites(await paced(5, scan=scan))

    assert taken == {"shop999": 1}
