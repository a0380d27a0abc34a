"""A scrape reads a bounded part of the tables that grow, also with more history than a planner expects."""

import re
from pathlib import Path

import psycopg
import pytest

from blogworker.db.sql import query, sql_dir
from blogworker.ops.metrics import MOST_JOBS

NAMES = sorted(path.stem for path in (Path(str(sql_dir())) / "queries" / "ops").glob("metrics_*.sql"))
PARAMETERS = {"most": MOST_JOBS, "sample": 200, "top": 20, "late_s": 600}
JOBS = 20_000
LOAD = f"""
insert into sites (instance_id, ready) select 'site-' || n, true from generate_series(0, 199) as n;
alter table blog_generations disable trigger user;
insert into blog_generations
    (instance_id, source_type, source_id, status, stage, line, attempt, claimed_at, finished_at)
select
    'site-' || n % 200, 'keyword', 'k' || n, case when n % 2 = 0 then 'DONE' else 'PENDING' end,
    case when n % 2 = 0 then 'publish' else 'source' end, case when n % 2 = 1 then 0 end, n % 2 + 1,
    now() - interval '31 days', case when n % 2 = 0 then now() - interval '30 days' * (n / {JOBS}.0) end
from generate_series(1, {JOBS}) as n;
alter table blog_generations enable trigger user;
insert into generation_stages (generation_id, stage, output, attempt, duration_s)
select g.id, s, '{{}}', 1, 1
from blog_generations as g, unnest(array['source', 'ideas', 'content', 'image', 'publish']) as s
where g.finished_at is not null;
insert into generation_errors (generation_id, attempt, stage, kind, message, retryable, created_at)
select g.id, 1, 'ideas', 'Rejected', '', false, g.finished_at
from blog_generations as g
where g.finished_at is not null;
vacuum analyze blog_generations; vacuum analyze generation_stages; vacuum analyze generation_errors; analyze sites
"""


@pytest.fixture(scope="module")
def large(module_url: str) -> str:
    with psycopg.connect(module_url, autocommit=True) as connection:
        for statement in LOAD.split(";"):
            connection.execute(statement.encode())
    return module_url


@pytest.mark.parametrize("name", NAMES)
def test_no_statement_of_a_scrape_reads_a_whole_table_of_jobs(large: str, name: str) -> None:
    with psycopg.connect(large) as connection:
        connection.execute("set jit = off")
        rows = connection.execute(f"explain {query(f'ops/{name}')}".encode(), PARAMETERS).fetchall()

    plan = "\n".join(str(row[0]) for row in rows)
    assert re.findall(r"Seq Scan on (?:blog_generations|generation_stages|generation_errors)\b", plan) == [], plan


def test_every_statement_of_a_scrape_is_planned_here() -> None:
    assert len(NAMES) == 10
