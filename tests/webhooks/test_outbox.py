"""The outbox: each end of a job is written for each endpoint that wants it, together with the end itself."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from anyio import fail_after
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.errors import CheckViolation

from blogworker.bench.scratch import register
from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.job import Done, Failure, Reject
from blogworker.queue.rescue import rescue
from blogworker.queue.settle import Settler

from .conftest import Psql

pytestmark = pytest.mark.anyio
URL = "https://hooks.example.com/x"
FAILURE = Failure(stage="ideas", kind="Refused", message="the provider refuses this word")


async def claimed(database: Database, psql: Psql, count: int = 1) -> tuple[Settler, list[Any]]:
    worker_id = await register(database)
    for _ in range(count):
        await psql.job()
    found = await claim(database, worker_id, slots=100, site_window=100)
    return Settler(database, worker_id), found.claims


async def settle(settler: Settler, *outcomes: Any) -> None:
    from anyio import create_task_group

    async with create_task_group() as keepers:
        keepers.start_soon(settler.run)
        for each, outcome in outcomes:
            await settler.settle(each, outcome)
        keepers.cancel_scope.cancel()


async def test_a_null_among_the_sites_of_an_endpoint_is_refused(psql: Psql) -> None:
    """It would get the jobs of all sites."""
    with pytest.raises(CheckViolation, match="no_site_is_null"):
        await psql.hook(URL, instance_ids=["shop", None])


async def test_nothing_is_written_without_an_endpoint(psql: Psql) -> None:
    await psql.hook(URL, name="alerts", events="{alert}")
    await psql.hook(URL, name="off", disabled_at="2026-01-01Z", disabled_reason="gone")

    await psql.fail(await psql.job())

    assert await psql.deliveries() == []


async def test_a_settled_job_is_written_with_its_title_costs_error_and_remedy(database: Database, psql: Psql) -> None:
    await psql.hook(URL)
    settler, (done, failed) = await claimed(database, psql, 2)
    await psql.run(
        "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
        "seo_description, word_count, url) "
        "values (%s, 'shop', 'Linen', 'l', 'e', 'm', 'h', 's', 'd', 1, 'https://shop.example.com/l')",
        done.job_id,
    )
    for stage, cost in (("ideas", "0.01"), ("content", "0.02")):
        await psql.run(
            "insert into generation_stages (generation_id, stage, output, attempt, cost_usd) "
            "values (%s, %s, '{}', 1, %s)",
            done.job_id,
            stage,
            cost,
        )

    await settle(settler, (done, Done()), (failed, Reject(FAILURE)))

    first, second = await psql.deliveries()
    assert (first["event"], first["job_id"], first["state"]) == ("done", done.job_id, "waiting")
    assert (first["payload"]["title"], first["payload"]["url"]) == ("Linen", "https://shop.example.com/l")
    assert (first["payload"]["status"], first["payload"]["cost_usd"], first["payload"]["error"]) == ("DONE", 0.03, None)
    assert (second["event"], second["payload"]["error"]["kind"]) == ("failed", "Refused")  # of this very statement
    assert second["payload"]["error"]["message"] == FAILURE.message
    assert first["message_id"] != second["message_id"]


async def test_every_way_to_fail_is_written(database: Database, psql: Psql) -> None:
    """By hand, by a rescue that condemns a job, and where a job cannot be claimed."""
    await psql.hook(URL)
    by_hand, unclaimable = await psql.job(), await psql.job()
    await psql.fail(by_hand)
    await database.execute("queue/fail_unclaimable", job_id=unclaimable, error="no program reads it")
    _, (guilty,) = await claimed(database, psql)
    await psql.run("update workers set lease_until = now() - interval '1 s'")
    await psql.run("set session_replication_role = replica")
    await psql.run("update blog_generations set rescues = 9, lone_rescues = 9 where id = %s", guilty.job_id)
    await psql.run("set session_replication_role = origin")
    await rescue(database)

    found = {each["job_id"]: each["payload"]["error"]["kind"] for each in await psql.deliveries()}

    assert found == {by_hand: None, unclaimable: "Unusable", guilty.job_id: "LeaseLost"}


async def test_what_is_rolled_back_is_not_told(psql: Psql) -> None:
    await psql.hook(URL)
    job = await psql.job()
    await psql.run("begin")
    await psql.fail(job)
    await psql.run("rollback")

    assert await psql.deliveries() == []


async def test_other_moves_are_not_told(psql: Psql) -> None:
    await psql.hook(URL)
    job = await psql.job()
    for status in ("SCHEDULED", "PENDING", "CANCELLED", "PENDING"):
        await psql.run("update blog_generations set status = %s where id = %s", status, job)
    await psql.fail(job)
    await psql.run("update blog_generations set error = 'another' where id = %s", job)

    assert [each["event"] for each in await psql.deliveries()] == ["failed"]


async def test_the_payload_is_that_of_the_moment(psql: Psql) -> None:
    await psql.hook(URL)
    job = await psql.job()
    await psql.fail(job)
    await psql.run("update blog_generations set status = 'PENDING' where id = %s", job)
    await psql.run("delete from blog_generations where id = %s", job)

    (found,) = await psql.deliveries()
    assert (found["payload"]["status"], found["payload"]["error"]["message"]) == ("FAILED", "e")


@pytest.mark.parametrize(
    "statement", ["delete from webhooks", "update webhooks set paused_at = now(), pause_reason = 'r'"]
)
async def test_an_open_transaction_on_an_endpoint_stops_no_settle(
    database: Database, psql: Psql, another_psql: Psql, statement: str
) -> None:
    await psql.hook(URL)
    settler, (done,) = await claimed(database, psql)
    await another_psql.run("begin")
    await another_psql.run(statement)

    with fail_after(5):
        await settle(settler, (done, Done()))

    await another_psql.run("rollback")
    assert len(await psql.deliveries()) == 1


async def test_many_jobs_that_end_in_one_statement(psql: Psql) -> None:
    """One update at psql may end thousands; it takes no longer per job."""
    await psql.hook(URL)
    await psql.hook(URL, name="second")
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 's' || n % 50, 'keyword', 'k' from generate_series(1, 3000) as n"
    )
    with fail_after(10):
        await psql.run("update blog_generations set status = 'FAILED', error = 'e'")

    assert await psql.value("select count(*) from webhook_deliveries") == 6000
    assert await psql.value("select count(distinct message_id) from webhook_deliveries") == 3000


async def test_a_plan_made_on_empty_tables_reads_no_table_later(psql: Psql) -> None:
    """Sessions of a worker are opened once: each would read all checkpoints ever made for each job that ends."""
    await psql.hook(URL)
    await psql.run("analyze generation_stages, generation_errors, blog_posts")
    for _ in range(8):
        await psql.fail(await psql.job())
    await psql.run(
        "insert into generation_stages (generation_id, stage, output, attempt) "
        "select g.id, 'content.x' || translate(n::text, '0123456789', 'abcdefghij'), '{}', 1 "
        "from blog_generations as g, generate_series(1, 500) as n"
    )
    job = await psql.job()

    await psql.run("begin")
    await psql.fail(job)
    read = await psql.run("select relname, seq_scan from pg_stat_xact_user_tables where seq_scan > 0")
    await psql.run("rollback")

    assert {row["relname"] for row in read} & {"generation_stages", "generation_errors", "blog_posts"} == set()


SITES = ["a", "b", "c"]
ENDPOINTS = st.lists(
    st.tuples(
        st.sets(st.sampled_from(["done", "failed", "alert"]), min_size=1),
        st.none() | st.sets(st.sampled_from(SITES), min_size=1),
        st.booleans(),  # paused
    ),
    max_size=4,
)


@given(
    endpoints=ENDPOINTS,
    ends=st.lists(st.tuples(st.sampled_from(SITES), st.sampled_from(["done", "failed"])), max_size=6),
)
@settings(max_examples=25)
def test_each_endpoint_is_told_what_it_asked_for(module_url: str, endpoints: Any, ends: Any) -> None:
    import psycopg

    with psycopg.connect(module_url) as connection:
        run: Callable[..., Any] = lambda text, *values: connection.execute(text.encode(), values)  # noqa: E731
        for number, (events, sites, paused) in enumerate(endpoints):
            run(
                "insert into webhooks (name, url, events, instance_ids, paused_at, pause_reason) "
                "values (%s, 'https://x.example.com', %s, %s, case when %s then now() end, case when %s then 'r' end)",
                f"e{number}",
                list(events),
                None if sites is None else list(sites),
                paused,
                paused,
            )
        jobs = {}
        for site, event in ends:
            (job,) = run(
                "insert into blog_generations (instance_id, source_type, source_id) values (%s, 'keyword', 'k') "
                "returning id",
                site,
            ).fetchone()
            jobs[job] = (site, event)
            if event == "done":
                run(
                    "update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = %s where id = %s",
                    uuid4(),
                    job,
                )
            run("update blog_generations set status = %s where id = %s", event.upper(), job)
        told = run(
            "select w.name, d.job_id, d.event from webhook_deliveries as d join webhooks as w using (webhook_id)"
        ).fetchall()
        connection.rollback()

    wanted = {
        (f"e{number}", job, event)
        for number, (events, sites, _) in enumerate(endpoints)
        for job, (site, event) in jobs.items()
        if event in events and (sites is None or site in sites)
    }
    assert sorted(told) == sorted(wanted)
