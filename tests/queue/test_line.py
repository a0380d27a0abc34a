"""A job's place in the line of its site: maintained by the database after any statement.

`line` is the number of the next stage while the job may be claimed, and null while it may not.
"""

import pytest

from blogworker.errors import QueueFull
from blogworker.queue.enqueue import enqueue
from blogworker.queue.job import Failure, Release, Retry, Stage, Wait
from blogworker.queue.promote import promote
from blogworker.queue.validation import NewJob

pytestmark = pytest.mark.anyio

FAILURE = Failure(stage="content", kind="Unavailable", message="m")
REST = "update blog_generations set status = 'PENDING', run_at = now() + interval '1 hour' where status = 'PROCESSING'"


async def state(psql, job_id: int = 1) -> tuple[str, int | None]:
    job = await psql.job(job_id)
    return job["status"], job["line"]


async def rest(psql, claimer, count: int = 1, site: str = "shop", **columns: object) -> None:
    """Jobs that were claimed and rest for an hour."""
    await psql.insert(site, count, **columns)
    await claimer()
    await psql.run(REST)


async def test_reasons_that_differ_by_request_id_only_are_one(psql, claimer, database):
    """With the request id in each, ten jobs with one trouble had ten reasons, and a long one was cut within its id."""
    await rest(psql, claimer, 2)
    await psql.run(
        "update blog_generations set error = 'overloaded (provider openai, status 503, request_id req_' || id || ')'"
    )

    found = await database.rows("ops/waiting", most=10)

    assert [(row["jobs"], row["reason"]) for row in found] == [
        (2, "backs off: overloaded (provider openai, status 503)")
    ]


@pytest.mark.parametrize(("stage", "line"), [(stage, n) for n, stage in enumerate(Stage)])
async def test_a_new_job_is_in_line_at_its_stage(psql, stage, line):
    await psql.insert("shop", 1, stage=stage)

    assert await state(psql) == ("PENDING", line)


async def test_a_scheduled_job_is_not_in_line(psql, database):
    await psql.insert("shop", 1, run_at="2100-01-01Z")
    assert await state(psql) == ("SCHEDULED", None)

    await psql.run("update blog_generations set run_at = now()")
    await promote(database)

    assert await state(psql) == ("PENDING", 0)


async def test_the_line_cannot_be_written_by_hand(psql):
    """A job out of line would be forgotten; one with a wrong place is claimed out of its turn."""
    await psql.insert("shop", 1, line=4)
    assert await state(psql) == ("PENDING", 0)

    for line in (None, 3):
        await psql.run("update blog_generations set line = %s", line)
        assert await state(psql) == ("PENDING", 0)


async def test_a_claimed_job_leaves_the_line_and_a_requeued_one_returns(psql, claimer, settler):
    await psql.insert("shop", 1, stage="image")
    (claim,) = (await claimer()).claims
    assert await state(psql) == ("PROCESSING", None)

    await settler.settle(claim, Release())

    assert await state(psql) == ("PENDING", 3)


@pytest.mark.parametrize("outcome", [Retry(FAILURE, 3_600), Wait(3_600, "the vendor named a wait")])
async def test_a_resting_job_is_pending_and_not_in_line(psql, claimer, settler, outcome):
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims

    await settler.settle(claim, outcome)

    assert await state(psql) == ("PENDING", None)
    assert (await claimer()).claims == ()
    assert not await psql.value("select ready from sites"), "its site has nothing to serve"


async def test_a_person_can_end_a_rest_by_setting_run_at(psql, claimer):
    """In one statement: no worker has to promote it."""
    await rest(psql, claimer, stage="content")
    assert await state(psql) == ("PENDING", None)

    await psql.run("update blog_generations set run_at = now()")

    assert await state(psql) == ("PENDING", 2)
    assert await claimer.sites() == ["shop"]


@pytest.mark.parametrize("resting", [False, True])
async def test_a_job_postponed_by_a_person_is_scheduled(psql, claimer, resting):
    """In line or resting: from now on its owner decides when, and it does not count as waiting."""
    if resting:
        await rest(psql, claimer)
    else:
        await psql.insert("shop", 1)
    assert await psql.value("select pending_count(10)") == 1

    await psql.run("update blog_generations set run_at = now() + interval '1 day'")

    assert await state(psql) == ("SCHEDULED", None)
    assert await psql.value("select pending_count(10)") == 0
    assert (await claimer()).claims == ()


async def test_an_update_that_keeps_run_at_leaves_a_resting_job_resting(psql, claimer):
    """Only a changed time postpones it."""
    await rest(psql, claimer)

    await psql.run("update blog_generations set run_at = run_at, priority = 5, stage = 'ideas'")

    assert await state(psql) == ("PENDING", None)


async def test_the_place_follows_the_stage(psql):
    """A person sets the stage back, so that the text is written again."""
    await psql.insert("shop", 1, stage="publish")

    await psql.run("update blog_generations set stage = 'content'")

    assert await state(psql) == ("PENDING", 2)


async def test_a_postponed_job_can_be_reset_to_pending(psql):
    await psql.insert("shop", 1)

    await psql.run("update blog_generations set stage = 'image', run_at = now() + interval '1 day'")
    assert await state(psql) == ("SCHEDULED", None)

    await psql.run("update blog_generations set status = 'PENDING'")
    assert await state(psql) == ("PENDING", 3)
    assert await psql.value("select run_at <= now() from blog_generations")


@pytest.mark.parametrize("status", ["SCHEDULED", "CANCELLED", "FAILED"])
@pytest.mark.parametrize("resting", [False, True])
async def test_a_job_that_leaves_pending_leaves_the_line(psql, claimer, status, resting):
    if resting:
        await rest(psql, claimer)
    else:
        await psql.insert("shop", 1)

    await psql.run("update blog_generations set status = %s", status)

    assert await state(psql) == (status, None)


@pytest.mark.parametrize("ended", ["FAILED", "CANCELLED"])
async def test_a_retry_does_not_wait_for_the_end_of_an_old_rest(psql, claimer, ended):
    await rest(psql, claimer)
    await psql.run("update blog_generations set status = %s", ended)

    await psql.run("update blog_generations set status = 'PENDING'")

    assert (await state(psql))[0] == "PENDING"
    assert await claimer.sites() == ["shop"]


# What rests is waiting.


async def test_resting_jobs_count_as_waiting(psql, claimer):
    """It is accepted work: an outage must not let the queue grow to ten times its limit."""
    await rest(psql, claimer, 3)
    await psql.insert("shop", 2)

    assert await psql.value("select pending_count(10)") == 5
    refusal = await psql.refused("select require_room(5, array['shop'], array[1::bigint])")
    assert refusal.sqlstate == "BW503"
    await psql.run("select require_room(6, array['shop'], array[1::bigint])")


async def test_resting_jobs_count_against_the_limit_of_their_site(psql, database, claimer):
    await psql.run("insert into sites (instance_id, max_pending) values ('shop', 3)")
    await rest(psql, claimer, 3)

    with pytest.raises(QueueFull, match="site shop is full"):
        await enqueue(database, NewJob("shop", "keyword", "k", {}))


async def test_run_until_empty_waits_for_short_rests_only(psql, database, claimer):
    await rest(psql, claimer)

    left = [(await database.one("queue/outstanding", within_s=s, stages=None))["pending"] for s in (60, 7_200)]

    assert left == [0, 1]


# Part done before new.


async def test_started_jobs_are_claimed_before_new_ones_whatever_the_priority(psql, claimer):
    """Part of it is paid for, and its owner has waited longest."""
    await psql.insert("shop", 2, priority=9)
    for stage in ("content", "publish", "ideas", "image"):
        await psql.insert("shop", 1, stage=stage)

    found = [(c.stage, c.job_id) for c in (await claimer(1)).claims + (await claimer(10)).claims]

    assert found == [("publish", 4), ("image", 6), ("content", 3), ("ideas", 5), ("source", 1), ("source", 2)]


async def test_within_a_stage_priority_decides_then_age(psql, claimer):
    await psql.insert("shop", 2, stage="content")
    await psql.insert("shop", 1, stage="content", priority=1)

    assert [c.job_id for c in (await claimer()).claims] == [3, 1, 2]


async def test_started_jobs_give_their_site_no_extra_turns(psql, claimer):
    """The order applies within a site; between sites the turns decide."""
    await psql.insert("part done", 50, stage="publish")
    await psql.insert("new", 50)

    sites = [site for _ in range(10) for site in await claimer.sites(2)]

    assert sites.count("new") == 10
