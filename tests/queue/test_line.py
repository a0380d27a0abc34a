"""A job's place in the line of its site: kept by the database, whoever writes.

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
    """Blogs that were claimed and rest for an hour."""
    await psql.insert(site, count, **columns)
    await claimer()
    await psql.run(REST)


async def test_equal_reasons_to_wait_are_one_whatever_their_requests(psql, claimer, database):
    """With the request id in each, ten blogs with one trouble had ten reasons, and a long one was cut within its id."""
    await rest(psql, claimer, 2)
    await psql.run(
        "update blog_generations set error = 'overloaded (provider openai, status 503, request_id req_' || id || ')'"
    )

    found = await database.rows("ops/waiting", most=10)

    assert [(row["jobs"], row["reason"]) for row in found] == [
        (2, "backs off: overloaded (provider openai, status 503)")
    ]


@pytest.mark.parametrize(("stage", "line"), [(stage, n) for n, stage in enumerate(Stage)])
async def test_a_blog_that_comes_stands_in_line_at_its_stage(psql, stage, line):
    await psql.insert("shop", 1, stage=stage)

    assert await state(psql) == ("PENDING", line)


async def test_a_blog_for_later_is_not_in_line(psql, database):
    await psql.insert("shop", 1, run_at="2100-01-01Z")
    assert await state(psql) == ("SCHEDULED", None)

    await psql.run("update blog_generations set run_at = now()")
    await promote(database)

    assert await state(psql) == ("PENDING", 0)


async def test_the_line_cannot_be_written_by_hand(psql):
    """A blog out of line would be forgotten; one with a wrong place is claimed out of its turn."""
    await psql.insert("shop", 1, line=4)
    assert await state(psql) == ("PENDING", 0)

    for line in (None, 3):
        await psql.run("update blog_generations set line = %s", line)
        assert await state(psql) == ("PENDING", 0)


async def test_a_claimed_blog_is_not_in_line_and_one_that_comes_back_is(psql, claimer, settler):
    await psql.insert("shop", 1, stage="image")
    (claim,) = (await claimer()).claims
    assert await state(psql) == ("PROCESSING", None)

    await settler.settle(claim, Release())

    assert await state(psql) == ("PENDING", 3)


@pytest.mark.parametrize("outcome", [Retry(FAILURE, 3_600), Wait(3_600, "the vendor named a wait")])
async def test_a_blog_that_rests_is_pending_and_not_in_line(psql, claimer, settler, outcome):
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims

    await settler.settle(claim, outcome)

    assert await state(psql) == ("PENDING", None)
    assert (await claimer()).claims == ()
    assert not await psql.value("select ready from sites"), "its site has nothing to serve"


async def test_a_person_ends_a_rest_by_its_time(psql, claimer):
    """In one statement: no worker has to promote it."""
    await rest(psql, claimer, stage="content")
    assert await state(psql) == ("PENDING", None)

    await psql.run("update blog_generations set run_at = now()")

    assert await state(psql) == ("PENDING", 2)
    assert await claimer.sites() == ["shop"]


@pytest.mark.parametrize("resting", [False, True])
async def test_a_person_who_puts_a_blog_off_makes_it_scheduled(psql, claimer, resting):
    """Whether it is in line or rests: from now on its owner says when, and it does not count as waiting."""
    if resting:
        await rest(psql, claimer)
    else:
        await psql.insert("shop", 1)
    assert await psql.value("select pending_count(10)") == 1

    await psql.run("update blog_generations set run_at = now() + interval '1 day'")

    assert await state(psql) == ("SCHEDULED", None)
    assert await psql.value("select pending_count(10)") == 0
    assert (await claimer()).claims == ()


async def test_an_update_that_keeps_the_time_of_a_blog_that_rests_leaves_it_resting(psql, claimer):
    """Only a new time is a wish of its owner's."""
    await rest(psql, claimer)

    await psql.run("update blog_generations set run_at = run_at, priority = 5, stage = 'ideas'")

    assert await state(psql) == ("PENDING", None)


async def test_the_place_follows_the_stage(psql):
    """A person sends a blog back to be written anew."""
    await psql.insert("shop", 1, stage="publish")

    await psql.run("update blog_generations set stage = 'content'")

    assert await state(psql) == ("PENDING", 2)


async def test_a_blog_put_off_and_set_back_in_one_statement_has_one_answer(psql):
    await psql.insert("shop", 1)

    await psql.run("update blog_generations set stage = 'image', run_at = now() + interval '1 day'")
    assert await state(psql) == ("SCHEDULED", None)

    await psql.run("update blog_generations set status = 'PENDING'")
    assert await state(psql) == ("PENDING", 3)
    assert await psql.value("select run_at <= now() from blog_generations")


@pytest.mark.parametrize("status", ["SCHEDULED", "CANCELLED", "FAILED"])
@pytest.mark.parametrize("resting", [False, True])
async def test_a_blog_that_leaves_pending_leaves_the_line(psql, claimer, status, resting):
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


async def test_what_rests_counts_as_waiting(psql, claimer):
    """It is work that was accepted: an outage must not open the queue to ten times as much."""
    await rest(psql, claimer, 3)
    await psql.insert("shop", 2)

    assert await psql.value("select pending_count(10)") == 5
    refusal = await psql.refused("select require_room(5, array['shop'], array[1::bigint])")
    assert refusal.sqlstate == "BW503"
    await psql.run("select require_room(6, array['shop'], array[1::bigint])")


async def test_what_rests_counts_against_the_share_of_its_site(psql, database, claimer):
    await psql.run("insert into sites (instance_id, max_pending) values ('shop', 3)")
    await rest(psql, claimer, 3)

    with pytest.raises(QueueFull, match="site shop is full"):
        await enqueue(database, NewJob("shop", "keyword", "k", {}))


async def test_a_worker_until_empty_waits_for_what_rests_for_a_while_and_not_for_tomorrow(psql, database, claimer):
    await rest(psql, claimer)

    left = [(await database.one("queue/outstanding", within_s=s, stages=None))["pending"] for s in (60, 7_200)]

    assert left == [0, 1]


# Part done before new.


async def test_what_is_part_done_is_claimed_before_what_is_new_whatever_the_priority(psql, claimer):
    """It has been paid for, and its owner has waited since it began."""
    await psql.insert("shop", 2, priority=9)
    for stage in ("content", "publish", "ideas", "image"):
        await psql.insert("shop", 1, stage=stage)

    found = [(c.stage, c.job_id) for c in (await claimer(1)).claims + (await claimer(10)).claims]

    assert found == [("publish", 4), ("image", 6), ("content", 3), ("ideas", 5), ("source", 1), ("source", 2)]


async def test_among_those_of_a_stage_priority_decides_then_age(psql, claimer):
    await psql.insert("shop", 2, stage="content")
    await psql.insert("shop", 1, stage="content", priority=1)

    assert [c.job_id for c in (await claimer()).claims] == [3, 1, 2]


async def test_part_done_blogs_give_their_site_no_more_turns_than_others_have(psql, claimer):
    """The order is within a site: between sites it is its turns."""
    await psql.insert("part done", 50, stage="publish")
    await psql.insert("new", 50)

    sites = [site for _ in range(10) for site in await claimer.sites(2)]

    assert sites.count("new") == 10
