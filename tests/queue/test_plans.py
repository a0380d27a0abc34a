"""The plans of the hot statements: at 100,000 blogs none of them reads a table from end to end.

Of 20,000 sites, 1,000 have blogs: as in life, most are idle. Each statement runs in a transaction that is rolled back.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Json

from blogworker.db.sql import query
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, Scan, _filter_parameters
from blogworker.queue.job import Stage

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

JOBS = 100_000
BUSY, SITES = 1_000, 20_000
ME, DEAD = UUID(int=1), UUID(int=2)
LARGE = ("blog_generations", "sites", "generation_stages", "provider_usage", "site_spend", "quotas")

LOAD = f"""
insert into sites (instance_id, ready, ready_at, virtual_time)
select 's' || n, n < {BUSY}, now(), n % 10 from generate_series(0, {SITES} - 1) as n;

insert into workers (name, worker_id, host, pid, version, concurrency, lease_until)
values ('me', '{ME}', 'h', 1, '0', 50, now() + interval '1 hour');

insert into blog_generations (
    instance_id, source_type, source_id, idempotency_key, status, attempt, worker_id, run_at, finished_at, claimed_at,
    stage, line
)
select
    's' || n % {BUSY}, 'keyword', 'k' || n, 'key' || n, l.status, 1,
    case when l.status = 'PROCESSING' then (case when n % 400 < 200 then '{ME}' else '{DEAD}' end)::uuid end,
    case when l.status = 'SCHEDULED' or l.rests then now() + make_interval(secs => n % 4000 - 2000) else now() end,
    case when l.status in ('DONE', 'FAILED') then now() - make_interval(secs => {JOBS} - n) end,
    case when l.status = 'PROCESSING' then now() end,
    l.stage,
    case when l.status = 'PENDING' and not l.rests then stage_number(l.stage) end
from generate_series(1, {JOBS}) as n
cross join lateral (
    select
        case
            when n <= 60000 then case when n % 50 = 0 then 'FAILED' else 'DONE' end
            when n % 100 = 7 then 'PROCESSING'
            when n % 20 = 1 then 'SCHEDULED'
            else 'PENDING'
        end as status,
        n > 60000 and n % 20 = 3 as rests,
        case when n > 60000 and n % 50 < 3 then (array['content', 'image', 'publish'])[n % 50 + 1] else 'source' end
            as stage
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


BRIEF = {
    "queue/claim",
    "queue/claim_turn",
    "queue/admit_sites",
    "queue/reopen_sites",
    "queue/reconcile_sites",
    "queue/retire_sites",
    "queue/promote",
    "queue/sweep_sites",
    "queue/sweep_jobs",
}


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
        await connection.execute("set blogworker.queue_size_limit = 100000")
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
    "wasted": False,
    "replaces": [],
    "tokens_in": 1,
    "tokens_cached": 0,
    "tokens_out": 1,
    "cost_usd": 0.1,
    "duration_s": 1.0,
    "provider": "openai",
    "made_of": None,
}
POST = dict.fromkeys(("title", "slug", "excerpt", "markdown", "html", "seo_title", "seo_description"), "t")
POST |= {"word_count": 1}
ARRIVALS = (
    "insert into site_arrivals (instance_id, notified) select 's' || n, false from generate_series(5000, 5020) as n"
)
BILLS = (
    "insert into site_bills (instance_id, correction, blog_cost) select 's' || n, 1, 2 from generate_series(1, 50) as n"
)


SHUT = """
update sites
set at_cap = true, max_in_flight = 3, capped_until = case when instance_id <> 's9' then now() end
where instance_id = any (array(select 's' || n from generate_series(1, 20) as n))"""

BUDGETS = """
update sites set budget_day_usd = 5, budget_month_usd = 50 where instance_id = any (array(
    select g.instance_id from blog_generations as g where g.status = 'PROCESSING'
));
update fleet_budget set day_usd = 500, month_usd = 5000"""

PACING = Pacing(
    buckets=[None, "openai/small", "openai/large", "replicate/predictions", None],
    tokens=[0, 1_000, 4_000, 0, 0],
    leads=[0, 0, 4, 20, 25, 30],
    patience_s=5,
    site_rpm=150,
    site_calls=10,
)


def a_claim(only: ClaimFilter, *, slots: int = 50) -> dict[str, Any]:
    return {"worker_id": ME, "slots": slots, "site_window": 20} | _filter_parameters(only, Scan())


BUCKETS = """
insert into quotas (name, provider, requests_per_minute)
select 'wix/' || n, 'wix', 150 from generate_series(1, 5000) as n;
analyze quotas"""

FLEET = f"""
insert into quotas (name, provider, requests_per_minute, tokens_per_minute)
values
    ('openai/small', 'openai', 6000, 6000000),
    ('openai/large', 'openai', 6000, 6000000),
    ('replicate/predictions', 'replicate', 600, null);
insert into quota_waits (call_id, bucket, client_id, turn, tokens, asked_at, seen_at)
select gen_random_uuid(), 'openai/large', gen_random_uuid(), n, 10, now(), now() from generate_series(1, 3) as n;
{BUCKETS}"""


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
        a_claim(ALL),
        ("sites_in_line_idx", "blog_generations_pending_idx", "blog_generations_pkey"),
    ),
    Hot(
        "queue/claim",
        a_claim(ClaimFilter((Stage.IMAGE, Stage.PUBLISH), "wait", shop=False)),
        (
            "sites_in_line_idx",
            "blog_generations_part_done_idx",
            "blog_generations_pending_idx",
            "blog_generations_pkey",
        ),
    ),
    Hot(
        "queue/claim",
        a_claim(ClaimFilter(pacing=PACING)),
        (
            "sites_in_line_idx",
            "sites_pkey",
            "blog_generations_part_done_idx",
            "blog_generations_pending_idx",
            "blog_generations_pkey",
            "quotas_pkey",
        ),
        before=FLEET,
    ),
    Hot(
        "queue/claim",
        a_claim(ClaimFilter((Stage.SOURCE,), shop=True, pacing=PACING), slots=1),
        ("sites_in_line_idx", "blog_generations_pending_idx", "blog_generations_pkey", "quotas_pkey"),
        before=FLEET,
    ),
    Hot("queue/claim_turn"),
    Hot(
        "queue/admit_sites",
        {"batch": 500, "only": None, "skipped": []},
        ("site_arrivals_pkey", "sites_pkey"),
        before=ARRIVALS,
    ),
    Hot(
        "queue/admit_sites",
        {"batch": 500, "only": None, "skipped": []},
        ("sites_at_cap_idx", "sites_pkey"),
        before=SHUT,
    ),
    Hot("queue/reopen_sites", {"after": "s1", "batch": 500}, ("sites_at_cap_idx", "sites_pkey"), before=SHUT),
    Hot(
        "queue/reconcile_sites",
        {"batch": 500, "only": None, "skipped": []},
        ("site_bills_pkey", "sites_pkey"),
        before=BILLS,
    ),
    Hot("queue/sweep_sites", {"after": "s1", "batch": 100}, ("blog_generations_pending_idx", "sites_pkey")),
    Hot("queue/sweep_jobs", {"after": 100, "batch": 1000}, ("blog_generations_pkey",)),
    Hot("queue/retire_sites", {"instance_ids": ["s1", "s2", "s3"], "ahead": 100}, ("sites_pkey",)),
    Hot("queue/settle", {"worker_id": ME, "outcomes": outcomes()}, ("blog_generations_pkey",)),
    Hot(
        "queue/promote",
        {"batch": 1000, "only": None, "skipped": []},
        ("blog_generations_scheduled_idx", "blog_generations_resting_idx", "blog_generations_pkey"),
    ),
    Hot(
        "queue/rescue",
        {"batch": 500, "most_lone": 3, "most": 12, "only": None, "skipped": []},
        ("blog_generations_pkey",),
    ),
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
        "queue/release_lost_claims",
        {"worker_id": ME, "known": mine(), "older_than_s": 20, "only": None, "skipped": []},
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
    Hot("spend/usage", {"days": 30, "most": 2_000}, ("blog_generations_finished_idx", "generation_stages_pkey")),
    Hot("queue/create_sites", {"instance_ids": ["s1", "brand new"]}),
    Hot("queue/enqueue_many", {"blogs": new_blogs()}),
    Hot("queue/pause_site", {"instance_id": "s5", "reason": "r"}, ("sites_pkey",)),
    Hot("spend/hold_budget", FENCE | {"usd": 0.02, "now": None}),
    Hot("spend/hold_budget", FENCE | {"usd": 0.02, "now": None}, before=BUDGETS),
    Hot("spend/hold_budget", FENCE | {"usd": 9000, "now": None}, before=BUDGETS),
    Hot(
        "spend/check_budgets",
        {"now": None},
        ("sites_resume_idx", "sites_pkey"),
        before="update sites set paused_at = now(), resume_at = now() where instance_id in ('s1', 's2')",
    ),
    Hot("stages/load_checkpoints", {"job_ids": mine()}, ("generation_stages_pkey",)),
    Hot("stages/save_checkpoint", CHECKPOINT),
    Hot("stages/confirm", FENCE),
    Hot("stages/store_post", FENCE | {"post": Json(POST), "image": None}),
    Hot(
        "quota/round",
        {
            "name": "openai/large",
            "call_ids": [uuid4(), uuid4()],
            "turns": [1.0, 2.0],
            "tokens": [1, 1],
            "waited_s": [0.0, 0.0],
            "unused_tokens": [50.0],
            "unused_token_s": [0.01],
            "refund_requests_s": 0.0,
            "refund_tokens_s": 0.0,
            "refund_epoch": 0,
            "longest_wait_s": 1.0,
            "ahead_s": 1.0,
            "reported_s": [1.0],
            "reported_requests": [1],
            "reported_tokens": [1],
            "client_id": uuid4(),
            "number": 2,
        },
        before=FLEET,
    ),
    Hot(
        "ops/heartbeat",
        indexes=(
            "blog_generations_finished_idx",
            "blog_generations_pending_idx",
            "quotas_of_the_fleet_idx",
            "quotas_of_sites_blocked_idx",
        ),
        before=BUCKETS,
    ),
    Hot("ops/quotas", {"name": "wix/7", "every": False}, ("quotas_pkey",), before=BUCKETS),
]


async def prepare(connection, hot: Hot) -> None:
    """What Database.briefly runs before these statements says how they are planned."""
    if hot.name in BRIEF:
        await connection.execute(query("db/wait_briefly"))


async def plan(connection, hot: Hot, *, how: str = "format json") -> list[dict[str, Any]]:
    """Every node of the plan of the statement itself; the insides of functions do not show."""
    await prepare(connection, hot)
    cursor = await connection.execute(f"explain ({how}) {query(hot.name)}".encode(), hot.parameters)
    (row,) = await cursor.fetchall()
    return nodes_of(row)


def nodes_of(row: dict[str, Any]) -> list[dict[str, Any]]:
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


ROOMS = """
select *
from
    stage_rooms(
        %(buckets)s::text[], %(tokens)s::integer[], %(leads)s::double precision[], %(patience_s)s::double precision,
        now()
    )"""


async def test_what_may_start_is_worked_out_by_indexes(large):
    """It is the first thing that every claim asks. Of the jobs it reads those that run and those that are part done."""
    await large.execute(FLEET.encode())
    before = await scans(large)

    cursor = await large.execute(
        f"explain (analyze, format json) {ROOMS}".encode(), a_claim(ClaimFilter(pacing=PACING))
    )
    (row,) = await cursor.fetchall()

    used = {node["Index Name"] for node in nodes_of(row) if "Index Name" in node}
    assert "quotas_pkey" in used
    assert used & {"blog_generations_unmade_idx", "blog_generations_part_done_idx"}, "one is as good as the other"
    assert used & {"blog_generations_held_idx", "blog_generations_in_flight_idx"}, "one is as good as the other"
    assert await scans(large) == before


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


FENCED = [hot for hot in HOT if "is_attempt(" in query(hot.name)]
FENCE_CALL = re.compile(r"is_attempt\(g, ([^,]+), ([^,]+), ([^)]+\)s)\)")
SPELLED = r"g.id = \1::bigint and g.attempt = \2::integer and g.worker_id = \3::uuid and g.status = 'PROCESSING'"


@pytest.mark.parametrize("hot", FENCED, ids=lambda hot: hot.name)
async def test_the_fence_is_planned_as_if_it_were_spelled_out(large, hot):
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
async def test_what_a_hot_statement_sets_off_goes_by_indexes_too(large, hot):
    """Functions, triggers and foreign keys have plans of their own, which EXPLAIN does not show."""
    if hot.before:
        await large.execute(hot.before.encode())
    await prepare(large, hot)
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


CLAIMS = [hot for hot in HOT if hot.name == "queue/claim"][::2]
BATCHES = [hot for hot in HOT if hot.name in BRIEF and "batch" in hot.parameters]


@pytest.fixture(scope="module", params=[False, True], ids=["never analyzed", "analyzed while empty"])
async def misjudged_url(databases, template, request, anyio_backend) -> AsyncIterator[str]:
    """The DSN of a large database whose statistics know nothing of it."""
    with databases.copy(template) as url:
        async with await session(url) as connection:
            for table in LARGE:
                await connection.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
            if request.param:
                await connection.execute("analyze")
            await load(connection)
        yield url


@pytest.mark.parametrize("claim", CLAIMS + BATCHES, ids=lambda hot: hot.name)
async def test_it_goes_by_its_indexes_whatever_the_statistics_say(misjudged_url, claim):
    """The first big import comes long before the first ANALYZE, or right after one of empty tables."""
    async with await session(misjudged_url) as connection, connection.transaction(force_rollback=True):
        if claim.before:
            await connection.execute(claim.before.replace("analyze quotas", "").encode())
        nodes = await plan(connection, claim)
        before = await scans(connection)
        await connection.execute(query(claim.name).encode(), claim.parameters)
        after = await scans(connection)

    assert {node["Index Name"] for node in nodes if "Index Name" in node} >= set(claim.indexes)
    assert "Seq Scan" not in {node["Node Type"] for node in nodes if node.get("Relation Name") in LARGE}
    assert after == before
