"""Deleting jobs that ended long ago, and what belongs to them."""

from functools import partial

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.ops.audit import list_audit
from blogworker.ops.jobs import prune_jobs

from .ended_jobs import age, prune

pytestmark = pytest.mark.anyio


async def test_prune_deletes_only_what_ended_long_enough_ago(failed, psql, database, claimer):
    """However old a job is: it is never deleted before it has ended."""
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


async def test_prune_deletes_the_dependent_rows_of_a_job_and_nothing_else(failed, psql, database):
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


async def test_a_running_prune_blocks_no_claim_and_no_producer(failed, psql, another_psql, database, claimer):
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


async def test_prune_spares_a_job_that_is_retried_meanwhile(failed, psql, another_psql, database):
    """The first statement wins; a retried job must not vanish."""
    await age(psql, 7200)
    await another_psql.run("begin")
    await another_psql.run("update blog_generations set status = 'PENDING' where id = 1")

    pruned = await prune(database)
    await another_psql.run("commit")

    assert pruned == 5
    assert await prune(database) == 0
    assert (await psql.job())["status"] == "PENDING"


async def test_prune_by_several_at_once_counts_each_job_once(psql, database, claimer):
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


async def test_rows_without_a_job_are_deleted_when_they_expire(psql, database, claimer):
    """Rows that belong to no job: expired cache, workers that exited a day ago, hourly usage of past years."""
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


async def test_an_interrupted_prune_is_in_the_audit_trail_with_what_it_deleted(psql, database, claimer):
    """Its batches are committed one by one: what is deleted is deleted."""
    await psql.insert("a", 100)
    await psql.run("update blog_generations set status = 'CANCELLED'")
    await age(psql, 7200, "true")

    async with create_task_group() as tasks:
        tasks.start_soon(partial(prune_jobs, database, older_than_s=3600, batch=1))
        with fail_after(20):
            while await psql.value("select count(*) from blog_generations") == 100:
                await sleep(0.001)
        tasks.cancel_scope.cancel()

    left = await psql.value("select count(*) from blog_generations")
    assert 0 < left < 100
    (entry,) = await list_audit(database)
    assert (entry.action, entry.before["jobs"]) == ("jobs.prune", 100 - left)
