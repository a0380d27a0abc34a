"""A database of 100,000 jobs, and the plans of statements on it."""

from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

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


async def session(url: str) -> psycopg.AsyncConnection[Any]:
    # Bound on the client's side, so that EXPLAIN sees the values as the planner of the real call does.
    return await psycopg.AsyncConnection.connect(
        url, autocommit=True, row_factory=dict_row, cursor_factory=psycopg.AsyncClientCursor
    )


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
