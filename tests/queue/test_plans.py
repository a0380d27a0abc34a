"""The plans of the hot statements: at 100,000 jobs none of them reads a whole table."""

import re
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from blogworker.db.sql import query
from blogworker.queue.claim import ClaimFilter

from .hot_statements import BUCKETS, FLEET, HOT, PACING, Hot, a_claim, plan, plan_for_any_parameters, prepare
from .large_database import LARGE, load, scans, session

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
async def large_url(module_url: str) -> str:
    async with await session(module_url) as connection:
        await load(connection)
        await connection.execute("vacuum analyze")
    return module_url


@pytest.fixture
async def large(large_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await session(large_url) as connection, connection.transaction(force_rollback=True):
        await connection.execute("set blogworker.queue_size_limit = 100000")
        yield connection


ROOMS = """
select *
from
    stage_rooms(
        %(buckets)s::text[], %(tokens)s::integer[], %(leads)s::double precision[], %(patience_s)s::double precision,
        now()
    )"""


async def test_what_may_start_is_computed_by_indexes(large):
    """Every claim starts with it. It reads only running and started jobs."""
    await large.execute(FLEET.encode())
    before = await scans(large)

    for _ in range(7):  # the sixth may have a plan of its own, for any parameters
        await large.execute(ROOMS.encode(), a_claim(ClaimFilter(pacing=PACING)))

    assert await scans(large) == before


@pytest.mark.parametrize("hot", HOT, ids=lambda hot: hot.name)
async def test_a_hot_statement_uses_its_indexes(large, hot):
    """A plan that reads the table works in every test and fails the first customer with a backlog."""
    if hot.before:
        await large.execute(hot.before.encode())

    plans = [await plan(large, hot)]
    if not hot.name.startswith("ops/"):  # a worker sends it
        plans.append(await plan_for_any_parameters(large, hot))

    for nodes in plans:
        used = {node["Index Name"] for node in nodes if "Index Name" in node}
        whole = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} & set(LARGE)
        assert whole == set()
        assert used >= set(hot.indexes)


async def test_a_claim_finds_each_job_by_its_id_also_after_a_quiet_night(large):
    """Statistics that know of no waiting job made each job of a claim read the index of all waiting jobs: with 100,000
    of them, a claim took 0.4 s instead of 0.01."""
    await large.execute("set local session_replication_role = replica")
    await large.execute("delete from blog_generations where status in ('PENDING', 'PROCESSING')")
    await large.execute("set local session_replication_role = origin")
    await large.execute("analyze blog_generations")

    for hot in (hot for hot in HOT if hot.name == "queue/claim"):
        for nodes in (await plan(large, hot), await plan_for_any_parameters(large, hot)):
            locked = [node for node in nodes if str(node.get("Alias", "")).startswith("by_id")]
            assert locked
            assert {node["Index Name"] for node in locked} == {"blog_generations_pkey"}


FENCED = [hot for hot in HOT if "is_attempt(" in query(hot.name)]
FENCE_CALL = re.compile(r"is_attempt\(g, ([^,]+), ([^,]+), ([^)]+\)s)\)")
SPELLED = r"g.id = \1::bigint and g.attempt = \2::integer and g.worker_id = \3::uuid and g.status = 'PROCESSING'"


@pytest.mark.parametrize("hot", FENCED, ids=lambda hot: hot.name)
async def test_the_fence_is_inlined_into_the_plan(large, hot):
    """A function that is called for each row hides its conditions from the planner, and it reads the whole table."""
    called, spelled = [
        await explained(large, text, hot.parameters)
        for text in (query(hot.name), FENCE_CALL.sub(SPELLED, query(hot.name)))
    ]

    assert called == spelled
    assert "is_attempt" not in called
    assert "blog_generations_pkey" in called or "blog_generations_held_idx" in called


async def explained(connection, text: str, parameters: dict[str, Any]) -> str:
    cursor = await connection.execute(f"explain (verbose) {text}".encode(), parameters)
    lines = [row["QUERY PLAN"] for row in await cursor.fetchall()]
    return "\n".join(line for line in lines if not line.startswith("Query Identifier"))


@pytest.mark.parametrize("hot", HOT, ids=lambda hot: hot.name)
async def test_triggers_and_functions_of_a_hot_statement_use_indexes_too(large, hot):
    """Functions, triggers and foreign keys have plans of their own, which EXPLAIN does not show."""
    if hot.before:
        await large.execute(hot.before.encode())
    await prepare(large, hot)
    before = await scans(large)

    await large.execute(query(hot.name).encode(), hot.parameters)

    assert await scans(large) == before


async def test_figures_of_buckets_that_are_not_shown_are_not_computed(large):
    """An operator who looks at four buckets must not wait for the figures of 50,000 sites."""
    await large.execute(BUCKETS.encode())
    await large.execute("update quotas set blocked_until = now() + interval '1 hour' where name in ('wix/7', 'wix/8')")

    nodes = await plan(large, Hot("ops/quotas", {"name": None, "every": False}), how="analyze, format json")

    # The waiting calls of a bucket are counted over the workers, once for each row that the statement works out.
    assert [node["Actual Loops"] for node in nodes if node.get("Relation Name") == "workers"] == [2]
