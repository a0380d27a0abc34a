"""Ending an attempt: what each outcome does to the job."""

from dataclasses import asdict, replace

import pytest
from anyio import create_task_group
from structlog.testing import capture_logs

from blogworker.queue.job import Cancel, Done, PauseSite, PutOff, Reject, Release, Retry, Wait

from .outcomes import FAILURE, delay_s, errors, one_claim

pytestmark = pytest.mark.anyio


async def test_done_ends_the_job(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Done())

    job = await psql.job()
    assert status == job["status"] == "DONE"
    assert job["finished_at"] is not None
    assert (job["worker_id"], job["failures"], job["attempt"], job["error"]) == (None, 0, 1, None)
    assert await errors(psql) == []


async def test_retry_spends_an_attempt_and_comes_back_after_its_delay(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Retry(FAILURE, 40))

    job = await psql.job()
    assert status == job["status"] == "PENDING"
    assert (job["failures"], job["attempt"], job["error"]) == (1, 1, "the vendor is down")
    assert 30 < await delay_s(psql) <= 40
    assert job["line"] is None, "it rests"
    assert (await claimer()).claims == ()


async def test_every_detail_of_an_error_is_stored(psql, claimer, settler):
    """The request id is what a provider's support asks for."""
    claim = await one_claim(psql, claimer)

    await settler.settle(claim, Retry(FAILURE, 1))

    (error,) = await errors(psql)
    assert {name: error[name] for name in asdict(FAILURE)} == asdict(FAILURE)
    assert (error["generation_id"], error["attempt"], error["retryable"]) == (1, 1, True)


async def test_the_last_attempt_that_fails_fails_the_job(psql, claimer, settler):
    await psql.insert("shop", 1, max_attempts=2)
    statuses = []
    for _ in range(2):
        (claim,) = (await claimer()).claims
        statuses.append(await settler.settle(claim, Retry(FAILURE, 0)))

    job = await psql.job()
    assert statuses == ["PENDING", "FAILED"]
    assert (job["failures"], job["attempt"], job["error"]) == (2, 2, "the vendor is down")
    assert job["finished_at"] is not None
    assert [error["retryable"] for error in await errors(psql)] == [True, False]


async def test_waiting_never_uses_an_attempt(psql, claimer, settler):
    """A quota that is used up must never use up a job."""
    await psql.insert("shop", 1, max_attempts=1)
    for _ in range(3):
        (claim,) = (await claimer()).claims
        assert await settler.settle(claim, Wait(20, "quota", FAILURE)) == "PENDING"
        assert 10 < await delay_s(psql) <= 20
        assert (await claimer()).claims == (), "it rests"
        await psql.run("update blog_generations set run_at = now()")

    job = await psql.job()
    assert (job["failures"], job["attempt"], job["error"]) == (0, 3, "quota")
    assert len(await errors(psql)) == 3


async def test_a_wait_without_an_error_records_none(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    await settler.settle(claim, Wait(20, "the database was away"))

    assert (await psql.job())["error"] == "the database was away"
    assert await errors(psql) == []


async def test_a_wait_without_a_time_keeps_its_place_in_line(psql, claimer, settler):
    """Its quota was used up: the next claim that the quota allows can take it, without a timer."""
    await psql.insert("shop", 2)
    first, second = (await claimer()).claims

    for claim in (second, first):
        assert await settler.settle(claim, Wait(0, "quota")) == "PENDING"

    assert [c.job_id for c in (await claimer()).claims] == [first.job_id, second.job_id]
    assert await psql.value("select sum(failures) from blog_generations") == 0


async def test_only_a_job_postponed_by_its_owner_is_scheduled(psql, claimer, settler):
    """Everything else that is not finished waits in the queue and counts against its limits."""
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, PutOff(20, "made, to be published later"))

    job = await psql.job()
    assert status == job["status"] == "SCHEDULED"
    assert (job["failures"], job["error"], job["line"]) == (0, "made, to be published later", None)
    assert 10 < await delay_s(psql) <= 20
    assert await errors(psql) == []
    assert await psql.value("select pending_count(10)") == 0


async def test_a_released_job_is_ready_at_once_and_has_used_no_attempt(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Release())

    job = await psql.job()
    assert status == job["status"] == "PENDING"
    assert (job["failures"], job["error"], job["worker_id"]) == (0, None, None)
    assert [c.attempt for c in (await claimer()).claims] == [2]


async def test_a_rejected_job_fails_at_once(psql, claimer, settler):
    """Another call would give the same answer."""
    claim = await one_claim(psql, claimer)

    status = await settler.settle(claim, Reject(FAILURE))

    (error,) = await errors(psql)
    assert status == "FAILED"
    assert (await psql.job())["error"] == "the vendor is down"
    assert not error["retryable"]


async def test_a_cancelled_job_ends(psql, claimer, settler):
    claim = await one_claim(psql, claimer)

    assert await settler.settle(claim, Cancel()) == "CANCELLED"
    assert (await psql.job())["finished_at"] is not None


async def test_a_site_that_is_out_of_reach_is_paused_and_keeps_its_job(psql, claimer, settler):
    claim = await one_claim(psql, claimer)
    await psql.insert("other", 1)

    status = await settler.settle(claim, PauseSite(replace(FAILURE, message="the token was revoked")))

    job, (site,) = await psql.job(), await psql.run("select * from sites where instance_id = 'shop'")
    assert status == job["status"] == "PENDING"
    assert (job["failures"], len(await errors(psql))) == (0, 1)
    assert site["paused_at"] is not None
    assert site["pause_reason"] == "the token was revoked"
    assert await claimer.sites() == ["other"]


async def test_a_pause_is_logged_once(psql, claimer, settler):
    """Four jobs of one site fail at the same time, on different workers: one line is logged."""
    await psql.insert("shop", 4)
    claims = (await claimer()).claims

    with capture_logs() as lines:
        async with create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(settler.settle, claim, PauseSite(FAILURE))

    assert [(line["event"], line["instance_id"], line["error"]) for line in lines] == [
        ("site_paused", "shop", "the vendor is down")
    ]


async def test_the_first_reason_of_a_pause_stays(psql, claimer, settler):
    """Fifty jobs of one site fail together; the operator reads why it began."""
    claim = await one_claim(psql, claimer)
    await psql.run("update sites set paused_at = now(), pause_reason = 'the owner asked'")

    await settler.settle(claim, PauseSite(FAILURE))

    assert await psql.value("select pause_reason from sites") == "the owner asked"
