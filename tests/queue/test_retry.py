"""Retrying jobs that have failed: which ones, and from which checkpoint."""

from dataclasses import asdict

import pytest
from anyio import fail_after

from blogworker.ops import retry as retrying
from blogworker.ops.retry import Choice
from blogworker.queue.job import Reject, Retry, Wait

from .ended_jobs import age, checkpoints, failure, retry, save

pytestmark = pytest.mark.anyio


async def test_all_failed_jobs_and_no_others_are_retried(failed, psql, database, claimer):
    """DONE is published, and CANCELLED was requested by a person."""
    assert await retry(database) == [1, 2, 3, 4]

    assert {c.job_id for c in (await claimer()).claims} == {1, 2, 3, 4}
    assert {row["id"] for row in await psql.run("select id from blog_generations where finished_at is not null")} == {
        5,
        6,
    }


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ({"job_ids": [2, 4]}, [2, 4]),
        ({"job_ids": [5]}, []),
        ({"job_ids": [6]}, [6]),
        ({"job_ids": [99]}, []),
        ({"instance_ids": ["b"]}, [3, 4]),
        ({"instance_ids": ["c"]}, []),
        ({"kinds": ["Rejected"]}, [1, 2]),
        ({"kinds": ["rejected"]}, []),
        ({"job_ids": [1, 2, 3], "kinds": ["Unavailable"]}, [3]),
        ({"instance_ids": ["a"], "kinds": ["Unavailable"]}, []),
        ({"younger_than_s": 60}, [2, 3, 4]),
        ({"younger_than_s": 60, "instance_ids": ["a"]}, [2]),
    ],
)
async def test_the_filters_of_a_retry_are_combined(failed, psql, database, given, ids):
    await age(psql, 120, "id = 1")

    assert await retry(database, **given) == ids
    assert [row["id"] for row in await psql.run("select id from blog_generations where status = 'PENDING'")] == ids


async def test_the_kind_is_that_of_the_last_error(psql, database, claimer, settler):
    """An outage on the way does not make a refused job one that was hit by the outage."""
    await psql.insert("shop", 1)
    (first,) = (await claimer()).claims
    await settler.settle(first, Retry(failure("Unavailable"), 0))
    await psql.run("update blog_generations set status = 'PENDING'")
    (second,) = (await claimer()).claims
    await settler.settle(second, Reject(failure("Rejected")))

    assert await retry(database, kinds=["Unavailable"]) == []
    assert await retry(database, kinds=["Rejected"]) == [1]


async def test_a_retried_job_has_a_full_set_of_attempts_and_its_history(failed, psql, database, claimer):
    await psql.run("update blog_generations set failures = 5, rescues = 2, cancel_requested_at = now() where id = 1")

    await retry(database, job_ids=[1])

    job = await psql.job()
    assert (job["failures"], job["rescues"], job["error"], job["cancel_requested_at"]) == (0, 0, None, None)
    assert job["attempt"] == 1, "it fences old attempts out, and goes on counting"
    assert await psql.value("select count(*) from generation_errors where generation_id = 1") == 1
    assert [c.attempt for c in (await claimer()).claims] == [2]


async def test_a_retry_starts_from_the_last_checkpoint(psql, database, claimer, settler):
    """Nothing is paid for twice."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await save(database, claim, "source", "ideas")
    await save(database, claim, "ideas", "content")
    await save(database, claim, "content.draft")
    await settler.settle(claim, Reject(failure("Unavailable")))

    await retry(database)

    (again,) = (await claimer()).claims
    assert again.stage == "content"
    assert await checkpoints(psql) == {"source", "ideas", "content.draft"}


async def test_an_old_error_is_cleared_when_the_job_moves_on(psql, database, claimer, settler):
    """A job that is being published must not still show an old error. The table of errors keeps it."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await settler.settle(claim, Wait(0, "Incorrect API key", failure("Misconfigured")))
    await psql.run("update blog_generations set status = 'PENDING'")
    (again,) = (await claimer()).claims

    await save(database, again, "ideas.draft")
    assert (await psql.job())["error"] == "Incorrect API key"
    await save(database, again, "ideas", "content")

    assert (await psql.job())["error"] is None
    assert await psql.value("select kind from generation_errors") == "Misconfigured"


@pytest.mark.parametrize("kind", ["Rejected", "Refused", "Truncated"])
@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_refused_draft_is_forgotten(psql, database, claimer, settler, kind, by_hand):
    """The same draft would be refused again. What came before it stays, and so do the drafts of other stages."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    for stage, next_stage in (("ideas", "content"), ("content.draft", None), ("image.prediction", None)):
        await save(database, claim, stage, next_stage)
    await settler.settle(claim, Reject(failure(kind)))

    if by_hand:
        await psql.run("update blog_generations set status = 'PENDING' where status = 'FAILED'")
    else:
        await retry(database)

    assert await checkpoints(psql) == {"ideas", "image.prediction"}


async def test_drafts_on_the_site_are_never_forgotten(psql, database, claimer, settler):
    """A draft that Wix has, made again, would be a second one on the owner's site."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await save(database, claim, "image", "publish")
    await save(database, claim, "publish.draft")
    await settler.settle(claim, Reject(failure("Rejected", "publish")))

    await retry(database)

    assert await checkpoints(psql) == {"image", "publish.draft"}


async def test_a_draft_that_was_to_be_made_again_does_not_stop_the_retry_of_others(failed, psql, database):
    """A person wrote retry_from into the row. Its site may have a draft of it, so it is left out."""
    await psql.run("update blog_generations set retry_from = 'content' where id = 2")
    await psql.run(
        "insert into generation_stages (generation_id, stage, output, attempt) values (2, 'publish.draft', '{}', 1)"
    )

    outlook = await database.rows("queue/retry_outlook", **asdict(Choice(job_ids=[2, 3])))
    retried = await database.rows("queue/retry", job_ids=[2, 3], retry_from=None)

    assert [row["refusal"] for row in outlook] == ["shown", None]
    assert [row["job_id"] for row in retried] == [3]


async def test_a_locked_job_is_skipped(failed, another_psql, database):
    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id = 2 for update")

    with fail_after(5):
        assert await retry(database) == [1, 3, 4]

    await another_psql.run("rollback")
    assert await retry(database) == [2]


async def test_a_job_that_fails_again_at_once_is_retried_once(failed, psql, database, monkeypatch):
    """`retry --all` while the provider still refuses: each round costs money, and there would be no end of them."""

    async def fail_again(_: float) -> None:
        await psql.run("update blog_generations set status = 'FAILED' where status = 'PENDING'")

    monkeypatch.setattr(retrying, "BATCH", 2)
    monkeypatch.setattr(retrying, "sleep", fail_again)  # between two batches, the workers were quick
    monkeypatch.setenv("DATABASE_URL", "postgresql://unused")

    with fail_after(5):
        assert await retry(database) == [1, 2, 3, 4]
