"""What people do to blogs: try them again, call them off, clear them away."""

import pytest
from anyio import create_task_group, fail_after
from psycopg.types.json import Json

from blogworker.ops import retry as retrying
from blogworker.ops.retry import Choice, plan_retry, retry_jobs
from blogworker.queue.job import Done, Failure, Reject, Release, Retry, Wait
from blogworker.queue.rescue import rescue
from blogworker.settings import OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices

pytestmark = pytest.mark.anyio


PRICES = Prices(OpenAISettings(_env_file=None), ReplicateSettings(_env_file=None))


def failure(kind: str = "Rejected", stage: str = "content") -> Failure:
    return Failure(stage=stage, kind=kind, message="what went wrong")


async def retry(database, **given) -> list[int]:
    """The ids put back, as `blogworker retry` does it."""
    return await retry_jobs(database, await plan_retry(database, Choice(**given), PRICES))


async def prune(database, older_than_s: float = 3600, batch: int = 500) -> int:
    pruned: int = (await database.one("ops/prune", older_than_s=older_than_s, batch=batch))["pruned"]
    return pruned


async def save(database, claim, stage: str, next_stage: str | None = None) -> None:
    rows = await database.rows(
        "stages/save_checkpoint",
        worker_id=await worker_of(database, claim),
        job_id=claim.job_id,
        attempt=claim.attempt,
        stage=stage,
        output=Json({}),
        next_stage=next_stage,
        model=None,
        prompt_version=None,
        tokens_in=0,
        tokens_cached=0,
        tokens_out=0,
        cost_usd=None,
        duration_s=0.1,
        provider=None,
        made_of=None,
        wasted=False,
        replaces=[],
    )
    assert rows


async def worker_of(database, claim):
    async with database.connection() as connection:
        cursor = await connection.execute("select worker_id from blog_generations where id = %s", (claim.job_id,))
        return (await cursor.fetchone())["worker_id"]


async def checkpoints(psql, job_id: int = 1) -> set[str]:
    rows = await psql.run("select stage from generation_stages where generation_id = %s", job_id)
    return {row["stage"] for row in rows}


async def age(psql, seconds: float, where: str = "true") -> None:
    """Make what ended have ended so long ago."""
    await psql.run(
        "update blog_generations set finished_at = now() - make_interval(secs => %s) "
        f"where finished_at is not null and ({where})",
        seconds,
    )


@pytest.fixture
async def failed(psql, claimer, settler):
    """Six blogs: 1 and 2 of shop a were refused, 3 and 4 of shop b met an outage, 5 is done, 6 was cancelled."""
    for site in ("a", "b", "c"):
        await psql.insert(site, 2)
    claims = {c.job_id: c for c in (await claimer()).claims}
    for job_id, outcome in {
        1: Reject(failure("Rejected")),
        2: Reject(failure("Rejected")),
        3: Reject(failure("Unavailable")),
        4: Reject(failure("Unavailable")),
        5: Done(),
        6: Release(),
    }.items():
        await settler.settle(claims[job_id], outcome)
    await psql.run("update blog_generations set status = 'CANCELLED' where id = 6")


async def test_all_that_failed_and_only_that_is_tried_again(failed, psql, database, claimer):
    """DONE is published, and CANCELLED was somebody's wish."""
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
async def test_each_way_to_choose_narrows_the_others(failed, psql, database, given, ids):
    await age(psql, 120, "id = 1")

    assert await retry(database, **given) == ids
    assert [row["id"] for row in await psql.run("select id from blog_generations where status = 'PENDING'")] == ids


async def test_the_kind_is_that_of_the_last_error(psql, database, claimer, settler):
    """An outage on the way does not make a refused blog one that was hit by the outage."""
    await psql.insert("shop", 1)
    (first,) = (await claimer()).claims
    await settler.settle(first, Retry(failure("Unavailable"), 0))
    await psql.run("update blog_generations set status = 'PENDING'")
    (second,) = (await claimer()).claims
    await settler.settle(second, Reject(failure("Rejected")))

    assert await retry(database, kinds=["Unavailable"]) == []
    assert await retry(database, kinds=["Rejected"]) == [1]


async def test_a_retried_blog_has_a_full_set_of_attempts_and_its_history(failed, psql, database, claimer):
    await psql.run("update blog_generations set failures = 5, rescues = 2, cancel_requested_at = now() where id = 1")

    await retry(database, job_ids=[1])

    job = await psql.job()
    assert (job["failures"], job["rescues"], job["error"], job["cancel_requested_at"]) == (0, 0, None, None)
    assert job["attempt"] == 1, "it fences old attempts out, and goes on counting"
    assert await psql.value("select count(*) from generation_errors where generation_id = 1") == 1
    assert [c.attempt for c in (await claimer()).claims] == [2]


async def test_a_retry_starts_from_the_last_checkpoint(psql, database, claimer, settler):
    """What is paid for is not bought again."""
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


async def test_what_was_in_the_way_is_told_no_more_once_the_blog_is_past_it(psql, database, claimer, settler):
    """A blog that is being published must not read as if its key were still wrong. The errors' own table keeps it."""
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


async def test_what_the_world_can_see_is_never_forgotten(psql, database, claimer, settler):
    """A draft that Wix has, made again, would be a second one on the owner's site."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await save(database, claim, "image", "publish")
    await save(database, claim, "publish.draft")
    await settler.settle(claim, Reject(failure("Rejected", "publish")))

    await retry(database)

    assert await checkpoints(psql) == {"image", "publish.draft"}


async def test_a_blog_somebody_holds_is_passed_over(failed, another_psql, database):
    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id = 2 for update")

    with fail_after(5):
        assert await retry(database) == [1, 3, 4]

    await another_psql.run("rollback")
    assert await retry(database) == [2]


async def test_a_blog_that_fails_again_at_once_is_tried_again_once(failed, psql, database, monkeypatch):
    """`retry --all` while the provider still refuses: each round costs money, and there would be no end of them."""

    async def fail_again(_: float) -> None:
        await psql.run("update blog_generations set status = 'FAILED' where status = 'PENDING'")

    monkeypatch.setattr(retrying, "BATCH", 2)
    monkeypatch.setattr(retrying, "sleep", fail_again)  # between two batches, the workers were quick
    monkeypatch.setenv("DATABASE_URL", "postgresql://unused")

    with fail_after(5):
        assert await retry(database) == [1, 2, 3, 4]


async def test_what_waits_is_cancelled_at_once(psql, database, claimer):
    await psql.insert("shop", 1)
    await psql.insert("shop", 1, run_at="2100-01-01Z")

    rows = await database.rows("queue/cancel", job_ids=[1, 2])

    assert [(row["job_id"], row["status"]) for row in rows] == [(1, "CANCELLED"), (2, "CANCELLED")]
    job = await psql.job(2)
    assert (job["status"], job["error"], job["finished_at"] is not None) == ("CANCELLED", "cancelled", True)
    assert (await claimer()).claims == ()


async def test_what_runs_is_asked_to_stop_and_its_worker_is_told(psql, another_psql, database, claimer):
    """By NOTIFY at once, and by the next extension of the lease at the latest."""
    await psql.insert("shop", 2)
    await claimer()
    await another_psql.run("listen blogworker_jobs")

    (told,) = await database.rows("queue/cancel", job_ids=[2])

    extended = await database.one(
        "queue/extend_lease", worker_id=claimer.worker_id, lease_s=600, in_flight=2, draining=False, stats=Json({})
    )
    payloads = [n.payload async for n in another_psql.connection.notifies(timeout=5, stop_after=1)]
    assert told["status"] == (await psql.job(2))["status"] == "PROCESSING"
    assert extended["cancelled"] == [2]
    assert payloads == ["cancel"]


async def test_what_has_ended_is_left_as_it_ended(failed, psql, database):
    """A post that is on the site cannot be called off, and a failure keeps its reason."""
    before = await psql.run("select * from blog_generations order by id")

    assert await database.rows("queue/cancel", job_ids=[1, 5, 6, 99]) == []

    assert await psql.run("select * from blog_generations order by id") == before


@pytest.mark.parametrize("outcome", [Release(), Retry(failure("Unavailable"), 0), Wait(0, "quota")])
async def test_a_cancelled_blog_that_would_come_back_ends(psql, database, claimer, settler, outcome):
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await database.rows("queue/cancel", job_ids=[1])

    assert await settler.settle(claim, outcome) == "CANCELLED"
    assert (await claimer()).claims == ()


async def test_a_cancelled_blog_that_is_finished_stays_finished(psql, database, claimer, settler):
    """Its post was published before the worker heard of it, and must not be taken for one that was not."""
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await database.rows("queue/cancel", job_ids=[1])

    assert await settler.settle(claim, Done()) == "DONE"


async def test_a_cancelled_blog_ends_when_its_worker_died(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await database.rows("queue/cancel", job_ids=[1])
    await psql.run("update workers set lease_until = now() - interval '1 second'")

    assert (await rescue(database)).failed == 0
    assert (await psql.job())["status"] == "CANCELLED"


async def test_a_cancelled_blog_ends_when_it_is_taken_from_its_worker_by_hand(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await database.rows("queue/cancel", job_ids=[1])

    await psql.run("update blog_generations set status = 'PENDING'")

    assert (await psql.job())["status"] == "CANCELLED"


async def test_a_cancel_that_meets_a_claim_reaches_the_worker(psql, another_psql, database, claimer):
    """It waits for the claim, and must then ask the worker instead of ending a blog that runs."""
    await psql.insert("shop", 1)
    answers = []

    async def cancel() -> None:
        answers.extend(await database.rows("queue/cancel", job_ids=[1]))

    await another_psql.run("begin")
    await another_psql.run(
        "update blog_generations set status = 'PROCESSING', attempt = attempt + 1, worker_id = %s", claimer.worker_id
    )
    async with create_task_group() as tasks:
        tasks.start_soon(cancel)
        await psql.until_waiting(1)
        await another_psql.run("commit")

    assert [row["status"] for row in answers] == ["PROCESSING"]
    assert (await psql.job())["cancel_requested_at"] is not None


async def test_a_retry_forgets_the_cancellation(psql, database, claimer, settler):
    await psql.insert("shop", 1)
    (claim,) = (await claimer()).claims
    await database.rows("queue/cancel", job_ids=[1])
    await settler.settle(claim, Release())

    assert await retry(database, job_ids=[1]) == [1]

    (again,) = (await claimer()).claims
    assert await settler.settle(again, Release()) == "PENDING"


async def test_prune_deletes_only_what_ended_long_enough_ago(failed, psql, database, claimer):
    """However old a blog is: what has not ended is somebody's blog to be."""
    await age(psql, 7200, "id in (1, 5, 6)")
    await psql.insert("a", 3)
    await psql.insert("a", 1, run_at="2100-01-01Z")
    await claimer(1)
    await psql.run("update blog_generations set created_at = now() - interval '1 year'")

    assert (await database.one("ops/prunable", older_than_s=3600))["jobs"] == 3
    assert await prune(database) == 3

    left = {row["id"]: row["status"] for row in await psql.run("select id, status from blog_generations")}
    assert sorted(left) == [2, 3, 4, 7, 8, 9, 10]
    assert sorted(left.values()) == ["FAILED"] * 3 + ["PENDING"] * 2 + ["PROCESSING", "SCHEDULED"]


async def test_prune_takes_the_oldest_first_in_batches(failed, psql, database):
    for job_id in range(1, 7):
        await age(psql, 7200 + job_id, f"id = {job_id}")

    assert await prune(database, batch=4) == 4
    assert [row["id"] for row in await psql.run("select id from blog_generations order by id")] == [1, 2]
    assert [await prune(database, batch=4) for _ in range(2)] == [2, 0]


async def test_prune_takes_along_what_belongs_to_a_blog_and_nothing_else(failed, psql, database):
    for job_id in (5, 3):
        await psql.run(
            "insert into generation_stages (generation_id, stage, output, attempt) values (%s, 'ideas', '{}', 1)",
            job_id,
        )
        await psql.run(
            "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
            "seo_description, word_count) values (%s, 'c', 't', 't', 'e', 'm', 'h', 's', 'd', 1)",
            job_id,
        )
        await psql.run("insert into scheduled_blogs (blog_generation_id, publish_at) values (%s, now())", job_id)
    await age(psql, 7200, "id in (1, 5)")

    await prune(database)

    for table, key in (
        ("generation_stages", "generation_id"),
        ("blog_posts", "generation_id"),
        ("scheduled_blogs", "blog_generation_id"),
    ):
        assert [row["id"] for row in await psql.run(f"select {key} as id from {table}")] == [3], table
    assert await psql.value("select count(*) from generation_errors where generation_id = 1") == 0
    assert await psql.value("select count(*) from generation_errors") == 3
    assert await psql.value("select count(*) from sites") == 3


async def test_a_prune_under_way_holds_up_no_claim_and_no_producer(failed, psql, another_psql, database, claimer):
    """It runs for hours over millions of rows, beside everything else."""
    await age(psql, 7200)
    await psql.insert("a", 3)
    await another_psql.run("begin")
    await another_psql.run("delete from blog_generations where finished_at is not null")

    with fail_after(5):
        await psql.insert("a", 1)
        claims = (await claimer()).claims
        assert await prune(database) == 0, "another prune skips what this one holds"

    await another_psql.run("commit")
    assert len(claims) == 4
    assert await psql.value("select count(*) from blog_generations") == 4


async def test_prune_spares_a_blog_that_is_tried_again_meanwhile(failed, psql, another_psql, database):
    """Whoever comes first decides; a blog that is on its way again must not vanish."""
    await age(psql, 7200)
    await another_psql.run("begin")
    await another_psql.run("update blog_generations set status = 'PENDING' where id = 1")

    pruned = await prune(database)
    await another_psql.run("commit")

    assert pruned == 5
    assert await prune(database) == 0
    assert (await psql.job())["status"] == "PENDING"


async def test_prune_by_several_at_once_counts_each_blog_once(psql, database, claimer):
    await psql.insert("shop", 100)
    await psql.run("update blog_generations set status = 'CANCELLED'")
    await age(psql, 7200)
    counts = []

    async def until_done() -> None:
        while count := await prune(database, batch=7):
            counts.append(count)

    with fail_after(10):
        async with create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(until_done)

    assert sum(counts) == 100


async def test_leftovers_go_when_nobody_can_want_them_any_more(psql, database, claimer):
    """What has no blog to go with: expired cache, workers gone for a day, usage by the hour of years ago."""
    await psql.run(
        "insert into cache (key, value, expires_at) values ('old', '1', now() - interval '1 second'), "
        "('good', '1', now() + interval '1 hour')"
    )
    await psql.run(
        "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until) values "
        "('gone', gen_random_uuid(), 'h', 1, '0', 1, now() - interval '2 days'), "
        "('late', gen_random_uuid(), 'h', 1, '0', 1, now() - interval '1 hour')"
    )
    await psql.run(
        "insert into provider_usage (hour, provider, model, instance_id) values "
        "(now() - interval '401 days', 'openai', 'm', 's'), (now() - interval '399 days', 'openai', 'm', 's')"
    )

    assert (await database.one("ops/prune_leftovers"))["pruned"] == 3

    assert await psql.value("select array_agg(key) from cache") == ["good"]
    assert await psql.value("select array_agg(name order by name) from workers") == ["late", "test"]
    assert await psql.value("select count(*) from provider_usage") == 1
