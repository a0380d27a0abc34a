"""Unreadable rows: each ends its own job, and breaks no claim and no list."""

import pytest

from blogworker.db.loaders import Unreadable
from blogworker.ops.jobs import JobFilter, list_jobs, show_job
from blogworker.queue.job import Done, Failure, Reject, Retry, Stage
from blogworker.stages.checkpoint import load
from blogworker.stages.checkpoint_schema import invalid_checkpoints

pytestmark = pytest.mark.anyio

HUGE = '{"keyword": "a", "n": 1' + "0" * 5_000 + "}"
DEEP = '{"keyword": "a", "n": ' + "[" * 3_000 + "]" * 3_000 + "}"


async def without_bounds(psql, table: str) -> None:
    """The table without its bounds, as a restore or a replication may leave it."""
    for row in await psql.run(
        "select conname from pg_constraint where conrelid = %s::regclass and contype = 'c' and conname ~ "
        "'readable|date_time|bounded|_mb|incremented'",
        table,
    ):
        await psql.run(f"alter table {table} drop constraint {row['conname']}")
    await psql.run("alter domain source_document drop constraint if exists source_data_is_readable")


@pytest.mark.parametrize(("data", "reason"), [(HUGE, "digits"), (DEEP, "nested too deeply")])
async def test_a_job_whose_data_cannot_be_read_is_claimed_with_what_to_do(psql, claimer, settler, data, reason):
    await without_bounds(psql, "blog_generations")
    await psql.insert("odd", source_data=data)
    await psql.insert("plain")

    claims = {c.instance_id: c for c in (await claimer()).claims}
    odd = claims["odd"]
    status = await settler.settle(odd, Reject(Failure(odd.stage, "Unreadable", odd.unreadable)))

    assert claims["plain"].unreadable is None
    assert odd.source_data == {}
    assert reason in odd.unreadable
    assert odd.unreadable.endswith(f"then `blogworker retry {odd.job_id}`")
    assert (status, (await psql.job(odd.job_id))["error"]) == ("FAILED", odd.unreadable)


async def test_unreadable_settings_of_a_site_affect_that_site_only(psql, claimer):
    await without_bounds(psql, "sites")
    await psql.run("insert into sites (instance_id, settings) values ('odd shop', %s::jsonb)", DEEP)
    await psql.insert("odd shop")
    await psql.insert("plain")

    claims = {c.instance_id: c for c in (await claimer()).claims}

    assert (claims["plain"].site_unreadable, claims["odd shop"].site) == (None, {})
    assert "nested too deeply" in claims["odd shop"].site_unreadable
    assert claims["odd shop"].site_unreadable.endswith("then `blogworker sites resume 'odd shop'`")


async def test_a_stage_of_a_newer_version_is_left_to_that_version(psql, claimer):
    await psql.run("alter table blog_generations drop constraint blog_generations_stage_check")
    await psql.insert("odd")
    await psql.run("update blog_generations set stage = 'translate', line = 0")
    await psql.run("alter table blog_generations disable trigger all")
    await psql.run("update blog_generations set line = 0")
    await psql.run("alter table blog_generations enable trigger all")
    await psql.run("insert into site_arrivals (instance_id, notified) values ('odd', true)")
    await psql.insert("plain")

    claims = {c.instance_id: c for c in (await claimer()).claims}

    assert claims["plain"].unreadable is None
    assert "stage 'translate' is unknown to this version" in claims["odd"].unreadable


async def test_an_unreadable_checkpoint_is_reported_for_its_own_job(psql, database, claimer):
    await without_bounds(psql, "generation_stages")
    await psql.insert("odd", 2)
    for job, output in ((1, DEEP), (2, '{"text": "a"}')):
        await psql.run(
            "insert into generation_stages (generation_id, stage, output, attempt) values (%s, 'ideas.draft', %s, 1)",
            job,
            output,
        )

    saved = await load(database, [1, 2])

    assert invalid_checkpoints(saved[2]) == ({}, {})
    assert invalid_checkpoints(saved[1]) == ({"ideas.draft": "it cannot be read: it is nested too deeply"}, {})


async def test_unreadable_fields_of_a_job_hide_no_others(psql, database):
    await without_bounds(psql, "blog_generations")
    await without_bounds(psql, "generation_stages")
    await psql.insert("odd", source_data=HUGE, created_at="infinity")
    await psql.run(
        "insert into generation_stages (generation_id, stage, output, attempt) values (1, 'ideas', %s, 1)", DEEP
    )

    found = await show_job(database, 1)
    listed = await list_jobs(database, JobFilter(), most=10)

    assert (found.job["status"], found.job["created_at"]) == ("PENDING", "infinity")
    assert isinstance(found.job["source_data"], Unreadable)
    assert isinstance(found.checkpoints[0]["output"], Unreadable)
    assert found.checkpoints[0]["stage"] == "ideas"
    assert [job.source for job in listed] == ["a"]


@pytest.mark.parametrize(
    "needs",
    [
        '{"leads": ["a", null, {}, 1e400], "buckets": ["x"], "tokens": ["a", 1e400], "blog_s": "b", "site_rpm": []}',
        '{"leads": 1, "buckets": ["x"], "tokens": 1}',
        '{"leads": {"a": 1}, "buckets": {}, "tokens": []}',
    ],
)
async def test_unknown_worker_figures_break_neither_claims_nor_estimates(psql, database, claimer, needs):
    await without_bounds(psql, "workers")
    await psql.run(
        "update workers set stats = jsonb_build_object('needs', %s::jsonb, 'waiting', '{\"a\": \"b\"}'::jsonb)", needs
    )
    await psql.run("insert into quotas (name, provider, requests_per_minute) values ('a', 'openai', 1)")

    (added,) = await psql.run("select * from enqueue_blog('plain', 'keyword', 'k')")

    assert added["created"]
    assert [c.instance_id for c in (await claimer()).claims] == ["plain"]
    assert (await database.one("ops/quotas", name="a", every=False))["queue_length"] == 0


async def test_counters_at_their_limit_break_no_claim_and_no_settle(psql, claimer, settler):
    await psql.run("set session_replication_role = replica")
    await psql.run(
        "insert into sites (instance_id, ready, virtual_time) values ('odd', true, 1e15), ('plain', true, 0)"
    )
    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id, line, attempt, failures, max_attempts) "
        "values ('odd', 'keyword', 'k', 0, 2000000000, 0, 1), ('plain', 'keyword', 'k', 0, 0, 1000000000, 2147483647)"
    )
    await psql.run("reset session_replication_role")

    (taken,) = (await claimer()).claims
    status = await settler.settle(taken, Retry(Failure(Stage.SOURCE, "Unavailable", "x" * 100_000), 0.0))

    assert (taken.instance_id, status) == ("plain", "PENDING")
    assert await psql.value("select failures from blog_generations where instance_id = 'plain'") == 1_000_000_000
    assert await psql.value("select max(length(message)) from generation_errors") == 2_000


async def test_an_ordinary_job_is_not_reported_as_unreadable(psql, claimer, settler):
    await psql.insert("plain")

    (taken,) = (await claimer()).claims

    assert (taken.unreadable, taken.site_unreadable) == (None, None)
    assert await settler.settle(taken, Done()) == "DONE"
