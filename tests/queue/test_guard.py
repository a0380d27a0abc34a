"""The rules of the queue, which the database enforces: here for a person at psql."""

import json
from uuid import UUID, uuid4

import pytest

pytestmark = pytest.mark.anyio

ALLOWED = {
    "SCHEDULED": {"PENDING", "FAILED", "CANCELLED"},
    "PENDING": {"SCHEDULED", "PROCESSING", "FAILED", "CANCELLED"},
    "PROCESSING": {"PENDING", "SCHEDULED", "DONE", "FAILED", "CANCELLED"},
    "DONE": set(),
    "FAILED": {"PENDING", "SCHEDULED", "CANCELLED"},
    "CANCELLED": {"PENDING", "SCHEDULED"},
}
HOLDER = UUID(int=7)


async def put(psql, status: str, *, job_id: int = 1, attempt: int = 1, failures: int = 0) -> None:
    """A job as years of history may have left it: past the guards, which are what is tested."""
    await psql.run("insert into sites (instance_id) values ('shop') on conflict do nothing")
    await psql.run("set session_replication_role = replica")
    await psql.run(
        "insert into blog_generations "
        "(id, instance_id, source_type, source_id, status, attempt, failures, worker_id, finished_at, error) "
        "overriding system value "
        "values (%s, 'shop', 'keyword', 'k', %s, %s, %s, %s, %s, 'what went wrong')",
        job_id,
        status,
        attempt,
        failures,
        HOLDER if status == "PROCESSING" else None,
        "2025-01-01Z" if status in {"DONE", "FAILED", "CANCELLED"} else None,
    )
    await psql.run("set session_replication_role = origin")


@pytest.mark.parametrize("before", ALLOWED)
async def test_a_job_makes_only_the_moves_of_the_state_diagram(passing_psql, before):
    """The state machine is the database's, so that no writer can invent a move."""
    await put(passing_psql, before)
    made = set()

    for after in ALLOWED.keys() - {before}:
        claiming = ", attempt = attempt + 1, worker_id = gen_random_uuid()" if after == "PROCESSING" else ""
        move = f"update blog_generations set status = '{after}'{claiming}"
        async with passing_psql.connection.transaction(force_rollback=True):
            if after in ALLOWED[before]:
                await passing_psql.run(move)
                made.add((await passing_psql.job())["status"])
            else:
                assert (await passing_psql.refused(move)).sqlstate == "BW409", after

    assert made == ALLOWED[before]


async def test_a_refusal_names_the_job_and_the_move(passing_psql):
    await put(passing_psql, "DONE")

    refusal = await passing_psql.refused("update blog_generations set status = 'PENDING'")

    assert refusal.diag.message_primary == "job 1 cannot go from DONE to PENDING"


@pytest.mark.parametrize("status", ALLOWED)
async def test_the_attempt_number_never_decreases(passing_psql, status):
    """It is the fencing token: if a number were used twice, a dead worker could write."""
    await put(passing_psql, status, attempt=3)

    assert (await passing_psql.refused("update blog_generations set attempt = 2")).sqlstate == "BW409"
    assert (await passing_psql.job())["attempt"] == 3


async def test_no_move_permits_a_lower_attempt_number(passing_psql):
    await put(passing_psql, "PROCESSING", attempt=3)

    refusal = await passing_psql.refused("update blog_generations set status = 'PENDING', attempt = 0")

    assert refusal.sqlstate == "BW409"


@pytest.mark.parametrize(
    "change",
    [
        "worker_id = gen_random_uuid()",
        "attempt = attempt + 1",
        "attempt = attempt + 2, worker_id = gen_random_uuid()",
        "attempt = attempt, worker_id = gen_random_uuid()",
    ],
)
async def test_only_a_claim_sets_processing(passing_psql, change):
    """A job in PROCESSING without a worker or a new attempt would neither run nor be rescued."""
    await put(passing_psql, "PENDING")

    assert (
        await passing_psql.refused(f"update blog_generations set status = 'PROCESSING', {change}")
    ).sqlstate == "BW409"


@pytest.mark.parametrize("change", ["worker_id = gen_random_uuid()", "worker_id = null", "attempt = attempt + 1"])
async def test_a_claim_cannot_move_to_another_worker(passing_psql, change):
    await put(passing_psql, "PROCESSING")

    assert (await passing_psql.refused(f"update blog_generations set {change}")).sqlstate == "BW409"


async def test_only_a_job_being_processed_names_a_worker(passing_psql):
    await put(passing_psql, "PENDING")

    assert (await passing_psql.refused("update blog_generations set worker_id = gen_random_uuid()")).sqlstate == "23514"


async def test_a_claim_sets_claimed_at_and_its_end_clears_the_worker(passing_psql):
    """Operators read which worker runs a job since when; nothing outdated may remain."""
    await put(passing_psql, "PENDING")

    await passing_psql.run(
        "update blog_generations set status = 'PROCESSING', attempt = attempt + 1, worker_id = %s", uuid4()
    )
    claimed = await passing_psql.job()
    await passing_psql.run("update blog_generations set status = 'DONE'")
    done = await passing_psql.job()

    assert claimed["claimed_at"] is not None
    assert claimed["finished_at"] is None
    assert done["worker_id"] is None
    assert done["finished_at"] is not None


@pytest.mark.parametrize(
    ("status", "columns"),
    [
        ("DONE", {"finished_at": "2025-01-01Z"}),
        ("FAILED", {"finished_at": "2025-01-01Z", "error": "e"}),
        ("CANCELLED", {"finished_at": "2025-01-01Z"}),
        ("PROCESSING", {"worker_id": HOLDER, "attempt": 1}),
        ("SCHEDULED", {"run_at": "2100-01-01Z"}),
    ],
)
async def test_jobs_can_be_imported_in_any_status(passing_psql, status, columns):
    """An imported job keeps its history; one in PROCESSING without a live worker is rescued."""
    await passing_psql.insert("shop", 1, status=status, **columns)

    (job,) = await passing_psql.run("select status, line from blog_generations")
    assert (job["status"], job["line"]) == (status, None)


@pytest.mark.parametrize("status", ["PROCESSING", "DONE", "FAILED", "CANCELLED"])
async def test_a_row_that_contradicts_itself_is_refused(passing_psql, status):
    """An ended job has its time, and a running job has its worker."""
    refusal = await passing_psql.refused(
        "insert into blog_generations (instance_id, source_type, source_id, status) values ('s', 'keyword', 'k', %s)",
        status,
    )

    assert refusal.sqlstate == "23514"
    assert await passing_psql.value("select count(*) from sites") == 0


async def test_a_job_with_a_future_run_at_is_scheduled_whatever_status_it_was_given(passing_psql):
    """PENDING means ready now: a claim does not look at run_at. What is due counts against the limits at once."""
    await passing_psql.run(
        "insert into blog_generations (instance_id, source_type, source_id, status, run_at) values "
        "('s', 'keyword', 'later', 'PENDING', now() + interval '1 hour'), "
        "('s', 'keyword', 'now', 'PENDING', now() - interval '1 hour'), "
        "('s', 'keyword', 'parked', 'SCHEDULED', now() - interval '1 hour')"
    )

    statuses = [row["status"] for row in await passing_psql.run("select status from blog_generations order by id")]

    assert statuses == ["SCHEDULED", "PENDING", "PENDING"]


async def test_the_reset_statement_of_the_former_system_works(psql, another_psql, claimer):
    """`UPDATE ... SET status = 'PENDING' WHERE status = 'FAILED'`: a full set of attempts, and a worker wakes."""
    await put(psql, "FAILED", attempt=5, failures=5)
    await put(psql, "DONE", job_id=2)
    await psql.run("update blog_generations set rescues = 2 where id = 1")
    await another_psql.run("listen blogworker_jobs")

    await psql.run("UPDATE blog_generations SET status = 'PENDING' WHERE status = 'FAILED'")

    woken = [n async for n in another_psql.connection.notifies(timeout=5, stop_after=1)]
    job = await psql.job()
    found = await claimer()
    assert len(woken) == 1
    assert (job["failures"], job["rescues"], job["error"], job["finished_at"]) == (0, 0, None, None)
    assert [(c.job_id, c.attempt) for c in found.claims] == [(1, 6)]


async def test_a_bulk_insert_wakes_the_workers_once(psql, another_psql):
    """One coalesced wake: a thousand notifications would be a thousand claims."""
    await another_psql.run("listen blogworker_jobs")

    async with psql.connection.transaction():
        for n in range(3):
            await psql.insert(f"shop{n}", 50)

    woken = [n async for n in another_psql.connection.notifies(timeout=0.3)]
    assert len(woken) == 1


async def test_a_scheduled_job_wakes_nobody(psql, another_psql):
    await another_psql.run("listen blogworker_jobs")

    await psql.run(
        "insert into blog_generations (instance_id, source_type, source_id, run_at) "
        "values ('s', 'keyword', 'later', now() + interval '1 hour')"
    )

    assert [n async for n in another_psql.connection.notifies(timeout=0.2)] == []


async def test_deleting_a_job_deletes_its_dependent_rows(passing_psql):
    """Pruning is a plain DELETE, and nothing is orphaned by it."""
    await put(passing_psql, "DONE")
    await passing_psql.run(
        "insert into generation_stages (generation_id, stage, output, attempt) values (1, 'ideas', '{}', 1)"
    )
    await passing_psql.run(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "values (1, 1, 'ideas', 'Unavailable', 'm', true)"
    )
    await passing_psql.run("insert into scheduled_blogs (blog_generation_id, publish_at) values (1, now())")
    await passing_psql.run(
        "insert into blog_posts (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, "
        "seo_description, word_count) values (1, 'shop', 't', 't', 'e', 'm', 'h', 's', 'd', 1)"
    )

    await passing_psql.run("delete from blog_generations")

    for table in ("generation_stages", "generation_errors", "scheduled_blogs", "blog_posts"):
        assert await passing_psql.value(f"select count(*) from {table}") == 0, table


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"source_type": "video"}, "blog_generations_source_type_check"),
        ({"source_type": "keyword"}, "keyword_is_given"),
        ({"source_type": "keyword", "source_id": "   "}, "keyword_is_given"),
        ({"source_type": "keyword", "source_id": "k", "source_data": '{"keyword": " "}'}, "keyword_is_given"),
        ({"source_type": "product"}, "product_is_named"),
        ({"source_type": "product", "source_data": '{"name": ""}'}, "product_is_named"),
        ({"source_type": "text"}, "text_is_given"),
        ({"source_type": "text", "source_id": "only an id"}, "text_is_given"),
        ({"source_type": "text", "source_data": '{"text": "\\n"}'}, "text_is_given"),
        ({"source_id": "k" * 501}, "blog_generations_source_id_check"),
        ({"source_id": "k", "source_data": "[]"}, "source_data_is_an_object"),
        ({"source_id": "k", "source_data": '"words"'}, "source_data_is_an_object"),
        ({"source_id": "k", "stage": "rewrite"}, "blog_generations_stage_check"),
        ({"source_id": "k", "max_attempts": 0}, "blog_generations_max_attempts_check"),
        ({"source_id": "k", "idempotency_key": ""}, "blog_generations_idempotency_key_check"),
        ({"source_id": "k", "idempotency_key": "k" * 201}, "blog_generations_idempotency_key_check"),
        ({"source_id": "k", "instance_id": ""}, "sites_instance_id_check"),
        ({"source_id": "k", "worker_id": HOLDER}, "held_exactly_while_processing"),
        ({"source_id": "k", "finished_at": "2025-01-01Z"}, "finished_exactly_when_ended"),
    ],
)
async def test_an_unusable_row_is_refused_by_a_named_constraint(passing_psql, columns, constraint):
    """Each constraint is named as the sentence that a producer should read."""
    row = {"instance_id": "shop", "source_type": "keyword"} | columns
    insert = (
        f"insert into blog_generations ({', '.join(row)}) values ({', '.join('%s' for _ in row)})",
        *row.values(),
    )

    if constraint is None:
        await passing_psql.run(*insert)
    else:
        refusal = await passing_psql.refused(*insert)
        assert (refusal.sqlstate, refusal.diag.constraint_name) == ("23514", constraint)


async def test_source_data_ends_at_64_kb(passing_psql):
    """As jsonb prints it: the keyword with its quotes, braces and blank."""
    frame = len('{"keyword": ""}')
    insert = "insert into blog_generations (instance_id, source_type, source_data) values ('s', 'keyword', %s)"

    await passing_psql.run(insert, json.dumps({"keyword": "k" * (65_536 - frame)}))
    refusal = await passing_psql.refused(insert, json.dumps({"keyword": "k" * (65_537 - frame)}))

    assert refusal.diag.constraint_name == "source_data_is_at_most_64_kb"


async def test_an_idempotency_key_is_unique_per_site(passing_psql):
    """Two shops number their products alike."""
    await passing_psql.insert("a", 1, idempotency_key="order 1")
    await passing_psql.insert("b", 1, idempotency_key="order 1")

    refusal = await passing_psql.refused(
        "insert into blog_generations (instance_id, source_type, source_id, idempotency_key) "
        "values ('a', 'keyword', 'other', 'order 1')"
    )

    assert refusal.diag.constraint_name == "blog_generations_idempotency_key"
