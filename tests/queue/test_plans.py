"""The plans of the hot statements: at 100,000 blogs none of them reads a table from end to end.

Of 20,000 sites, 1,000 have blogs: as in life, most are idle. Each statement runs in a transaction that is rolled back.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Json

from blogworker.db.sql import query

pytestmark = pytest.mark.anyio

JOBS = 100_000
BUSY, SITES = 1_000, 20_000
ME, DEAD = UUID(int=1), UUID(int=2)
LARGE = ("blog_generations", "sites", "generation_stages", "provider_usage", "site_spend")

LOAD = f"""
insert into sites (instance_id, ready, ready_at, virtual_time)
select 's' || n, n < {BUSY}, now(), n % 10 from generate_series(0, {SITES} - 1) as n;

insert into workers (name, worker_id, host, pid, version, concurrency, lease_until)
values ('me', '{ME}', 'h', 1, '0', 50, now() + interval '1 hour');

insert into blog_generations (
    instance_id, source_type, source_id, idempotency_key, status, attempt, worker_id, run_at, finished_at
)
select
    's' || n % {BUSY}, 'keyword', 'k' || n, 'key' || n, l.status, 1,
    case when l.status = 'PROCESSING' then (case when n % 400 < 200 then '{ME}' else '{DEAD}' end)::uuid end,
    case when l.status = 'SCHEDULED' then now() + make_interval(secs => n % 4000 - 2000) else now() end,
    case when l.status in ('DONE', 'FAILED') then now() - make_interval(secs => {JOBS} - n) end
from generate_series(1, {JOBS}) as n
cross join lateral (
    select case
        when n <= 60000 then case when n % 50 = 0 then 'FAILED' else 'DONE' end
        when n % 100 = 7 then 'PROCESSING'
        when n % 20 = 1 then 'SCHEDULED'
        else 'PENDING'
    end as status
) as l;

insert into generation_stages (generation_id, stage, output, attempt)
select n, 'ideas', '{{}}', 1 from generate_series(1, {JOBS}) as n;

insert into provider_usage (hour, provider, model, instance_id, cost_usd)
select now() - make_interval(hours => n / {BUSY}), 'openai', 'm', 's' || n % {BUSY}, 0.01
from generate_series(1, {JOBS}) as n;

insert into site_spend (instance_id, day, cost_usd)
select 's' || n % {BUSY}, current_date - n / {BUSY}, 0.01 from generate_series(1, {JOBS}) as n;
"""


async def load(connection: psycopg.AsyncConnection[Any]) -> None:
    """Past the triggers: what they would do is in the rows already."""
    await connection.execute("set session_replication_role = replica")
    await connection.execute(LOAD.encode())
    await connection.execute("set session_replication_role = origin")


async def session(url: str) -> psycopg.AsyncConnection[Any]:
    # Bound on the client's side, so that EXPLAIN sees the values as the planner of the real call does.
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.AsyncClientCursor
    )


@pytest.fixture(scope="module")
async def large_url(module_url: str) -> str:
    async with await session(module_url) as connection:
        await load(connection)
        await connection.execute("vacuum analyze")
    return module_url


@pytest.fixture
async def large(large_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await session(large_url) as connection, connection.transaction(force_rollback=True):
        yield connection


def mine() -> list[int]:
    """Jobs that `ME` holds."""
    return [n for n in range(60_001, 62_001) if n % 100 == 7 and n % 400 < 200]


def outcomes() -> Json:
    failure = {"stage": "ideas", "kind": "Unavailable", "message": "m"}
    return Json(
        [
            {"job_id": n, "attempt": 1, "status": "SCHEDULED", "delay_s": 9, "spent": True, "failure": failure}
            for n in mine()
        ]
    )


def new_blogs() -> Json:
    return Json(
        [
            {
                "instance_id": f"s{n % 700}",
                "source_type": "keyword",
                "source_id": "k",
                "source_data": {},
                "priority": 0,
                "idempotency_key": f"new{n}",
            }
            for n in range(500)
        ]
    )


FENCE = {"worker_id": ME, "job_id": mine()[0], "attempt": 1}
ONE_BLOG = {
    "instance_id": "s5",
    "source_type": "keyword",
    "source_id": "k",
    "source_data": Json({}),
    "priority": 0,
    "run_at": None,
    "publish_at": None,
    "idempotency_key": "a new key",
    "max_attempts": None,
    "queue_size_limit": 50_000,
    "publish_mode": None,
}
CHECKPOINT = FENCE | {
    "stage": "ideas",
    "output": Json({}),
    "next_stage": "content",
    "model": "m",
    "prompt_version": "1",
    "tokens_in": 1,
    "tokens_cached": 0,
    "tokens_out": 1,
    "cost_usd": 0.1,
    "duration_s": 1.0,
    "provider": "openai",
}
ARRIVALS = (
    "insert into site_arrivals (instance_id, notified) select 's' || n, false from generate_series(5000, 5020) as n"
)
BILLS = (
    "insert into site_bills (instance_id, correction, blog_cost) select 's' || n, 1, 2 from generate_series(1, 50) as n"
)


BUDGETS = """
update sites set budget_day_usd = 5, budget_month_usd = 50 where instance_id = any (array(
    select g.instance_id from blog_generations as g where g.status = 'PROCESSING'
));
update fleet_budget set day_usd = 500, month_usd = 5000"""

BUCKETS = """
insert into quotas (name, provider, requests_per_minute)
select 'wix/' || n, 'wix', 150 from generate_series(1, 5000) as n;
analyze quotas"""


@dataclass(frozen=True)
class Hot:
    """A statement, what it is called with, and the indexes that carry it. `before` sets the stage."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    indexes: tuple[str, ...] = ()
    before: str | None = None


HOT = [
    Hot(
        "queue/claim",
        {
            "worker_id": ME,
            "slots": 50,
            "site_window": 20,
            "by_tokens": True,
            "stages": None,
            "image_trouble": None,
            "shop": None,
        },
        ("sites_in_line_idx", "blog_generations_pending_idx", "blog_generations_pkey"),
    ),
    Hot(
        "queue/claim",
        {
            "worker_id": ME,
            "slots": 50,
            "site_window": 20,
            "by_tokens": False,
            "stages": ["image", "publish"],
            "image_trouble": "wait",
            "shop": False,
        },
        ("sites_in_line_idx", "blog_generations_pending_idx", "blog_generations_pkey"),
    ),
    Hot("queue/admit_sites", indexes=("sites_pkey",), before=ARRIVALS),
    Hot("queue/reconcile_sites", indexes=("sites_pkey",), before=BILLS),
    Hot("queue/retire_sites", {"instance_ids": ["s1", "s2", "s3"]}, ("sites_pkey",)),
    Hot("queue/settle", {"worker_id": ME, "outcomes": outcomes()}, ("blog_generations_pkey",)),
    Hot("queue/promote", {"batch": 1000}, ("blog_generations_scheduled_idx", "blog_generations_pkey")),
    Hot("queue/rescue", {"batch": 500, "most_rescues": 3}, ("blog_generations_pkey",)),
    Hot(
        "queue/outstanding",
        {"within_s": 60, "stages": None},
        ("blog_generations_pending_idx", "blog_generations_scheduled_idx"),
    ),
    Hot(
        "queue/extend_lease",
        {"worker_id": ME, "lease_s": 15, "in_flight": 1, "draining": False, "stats": Json({})},
        ("blog_generations_held_idx",),
    ),
    Hot(
        "queue/release_strays",
        {"worker_id": ME, "known": mine(), "older_than_s": 20},
        ("blog_generations_held_idx",),
    ),
    Hot("queue/require_room", {"queue_size_limit": 50_000, "instance_ids": ["s5", "s6"], "counts": [3, 4]}),
    Hot("queue/enqueue_blog", ONE_BLOG),
    Hot("queue/enqueue_blog", ONE_BLOG | {"instance_id": "s1", "idempotency_key": "key1"}),
    Hot(
        "queue/known_keys",
        {"instance_ids": [f"s{n}" for n in range(500)], "idempotency_keys": [f"key{n}" for n in range(500)]},
        ("blog_generations_idempotency_key",),
    ),
    Hot("queue/outlook", indexes=("blog_generations_finished_idx",)),
    Hot("stages/usage", {"days": 30, "most": 2_000}, ("blog_generations_finished_idx", "generation_stages_pkey")),
    Hot("queue/create_sites", {"instance_ids": ["s1", "brand new"]}),
    Hot("queue/enqueue_many", {"blogs": new_blogs()}),
    Hot("queue/pause_site", {"instance_id": "s5", "reason": "r"}, ("sites_pkey",)),
    Hot("queue/reserve_spend", FENCE | {"usd": 0.02, "now": None}),
    Hot("queue/reserve_spend", FENCE | {"usd": 0.02, "now": None}, before=BUDGETS),
    Hot("queue/reserve_spend", FENCE | {"usd": 9000, "now": None}, before=BUDGETS),
    Hot(
        "queue/budget_tick",
        {"now": None},
        ("sites_resume_idx", "sites_pkey"),
        before="update sites set paused_at = now(), resume_at = now() where instance_id in ('s1', 's2')",
    ),
    Hot("stages/load_checkpoints", {"job_ids": mine()}, ("generation_stages_pkey",)),
    Hot("stages/save_checkpoint", CHECKPOINT),
    Hot("stages/confirm", FENCE),
    Hot(
        "quota/round",
        {
            "name": "q",
            "tokens": [1, 1],
            "unused_s": 0.5,
            "back_requests_s": 0.0,
            "back_tokens_s": 0.0,
            "back_epoch": 0,
            "longest_wait_s": 1.0,
            "told_s": [1.0],
            "told_requests": [1],
            "told_tokens": [1],
            "desk_id": uuid4(),
            "number": 2,
        },
        before="""
        insert into quotas (name, provider, requests_per_minute) values ('q', 'p', 60)""",
    ),
    Hot("ops/heartbeat", indexes=("blog_generations_finished_idx", "blog_generations_pending_idx")),
    Hot("ops/heartbeat", indexes=("quotas_of_the_fleet_idx", "quotas_of_sites_blocked_idx"), before=BUCKETS),
    Hot("ops/quotas", {"name": "wix/7", "every": False}, ("quotas_pkey",), before=BUCKETS),
]


async def plan(connection, hot: Hot, *, how: str = "format json") -> list[dict[str, Any]]:
    """Every node of the plan of the statement itself; the insides of functions do not show."""
    cursor = await connection.execute(f"explain ({how}) {query(hot.name)}".encode(), hot.parameters)
    (row,) = await cursor.fetchall()
    found, waiting = [], [row["QUERY PLAN"][0]["Plan"]]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting += node.get("Plans", [])
    return found


async def scans(connection) -> dict[str, int]:
    cursor = await connection.execute(
        "select relname, seq_scan from pg_stat_xact_user_tables where relname = any (%s)", [list(LARGE)]
    )
    return {row["relname"]: row["seq_scan"] for row in await cursor.fetchall()}


@pytest.mark.parametrize("hot", HOT, ids=lambda hot: hot.name)
async def test_a_hot_statement_goes_by_its_indexes(large, hot):
    """A plan that reads the table works in every test and fails the first customer with a backlog."""
    if hot.before:
        await large.execute(hot.before.encode())

    nodes = await plan(large, hot)

    used = {node["Index Name"] for node in nodes if "Index Name" in node}
    whole = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} & set(LARGE)
    assert whole == set()
    assert used >= set(hot.indexes)


@pytest.mark.parametrize("hot", HOT, ids=lambda hot: hot.name)
async def test_what_a_hot_statement_sets_off_goes_by_indexes_too(large, hot):
    """Functions, triggers and foreign keys have plans of their own, which EXPLAIN does not show."""
    if hot.before:
        await large.execute(hot.before.encode())
    before = await scans(large)

    await large.execute(query(hot.name).encode(), hot.parameters)

    assert await scans(large) == before


async def test_the_figures_of_buckets_that_are_not_shown_are_not_worked_out(large):
    """An operator at 3 a.m. does not wait for those of 50,000 sites to see four buckets."""
    await large.execute(BUCKETS.encode())
    await large.execute("update quotas set blocked_until = now() + interval '1 hour' where name in ('wix/7', 'wix/8')")

    nodes = await plan(large, Hot("ops/quotas", {"name": None, "every": False}), how="analyze, format json")

    # The waiting calls of a bucket are counted over the workers, once for each row that the statement works out.
    assert [node["Actual Loops"] for node in nodes if node.get("Relation Name") == "workers"] == [2]


async def test_a_claim_goes_by_its_indexes_whatever_the_statistics_say(database_url):
    """The first big import comes long before the first ANALYZE."""
    claim = HOT[0]
    async with await session(database_url) as connection:
        for table in LARGE:
            await connection.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
        await connection.execute("analyze")
        await load(connection)

        nodes = await plan(connection, claim)
        async with connection.transaction(force_rollback=True):
            before = await scans(connection)
            await connection.execute(query(claim.name).encode(), claim.parameters)
            after = await scans(connection)

    assert {node["Index Name"] for node in nodes if "Index Name" in node} >= set(claim.indexes)
    assert "Seq Scan" not in {node["Node Type"] for node in nodes if node.get("Relation Name") in LARGE}
    assert after == before
