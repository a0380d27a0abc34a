"""The questions operators ask, run as they run them: by psql, against a database with some history."""

import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from blogworker.db.embedded import find_pg_bin
from blogworker.db.sql import sql_dir

INSPECT = Path(str(sql_dir())) / "inspect"

HISTORY = """
insert into workers (name, worker_id, host, pid, version, concurrency, in_flight, lease_until) values
    ('alive/1', '00000000-0000-0000-0000-000000000001', 'alive', 7, '1.0', 50, 1, now() + interval '10 seconds'),
    ('lost/1', '00000000-0000-0000-0000-000000000002', 'lost', 8, '1.0', 50, 0, now() - interval '10 seconds');
insert into sites (instance_id, name, weight, max_in_flight) values
    ('shop-a', 'Tidewrack', 2, 1), ('shop-b', null, 1, null);
insert into blog_generations (instance_id, source_type, source_id)
select 'shop-' || case when n % 2 = 0 then 'a' else 'b' end, 'keyword', 'k' || n from generate_series(1, 8) as n;
insert into blog_generations (instance_id, source_type, source_id, run_at)
values ('shop-a', 'keyword', 'later', now() + interval '1 hour');
update blog_generations
set status = 'PROCESSING', attempt = attempt + 1, worker_id = '00000000-0000-0000-0000-000000000001'
where id in (1, 2, 3);
update blog_generations set status = 'DONE' where id = 2;
update blog_generations set status = 'FAILED', error = 'the text was refused' where id = 3;
update sites set paused_at = now(), pause_reason = 'the token was revoked' where instance_id = 'shop-b';
insert into generation_errors (generation_id, attempt, stage, kind, message, provider, code, retryable)
values (3, 1, 'content', 'Rejected', 'the text was refused', 'openai', 'content_policy', false);
insert into generation_stages (generation_id, stage, output, attempt)
values (2, 'content', '{"repaired": ["footnotes", "footnotes"], "returned": ["unknown price"]}', 1),
    (3, 'content', '{"repaired": ["footnotes"], "returned": null}', 1);
insert into provider_usage (hour, provider, model, instance_id, requests, tokens_in, tokens_out, cost_usd)
values (date_trunc('hour', now()), 'openai', 'mini', 'shop-a', 3, 900, 300, 0.0125);
"""

# What of it an answer must show.
FACTS = {
    "costs.sql": ["mini", "0.0125", "shop-a"],
    "defects.sql": ["footnotes", "unknown price"],
    "failures.sql": ["content_policy", "the text was refused"],
    "running.sql": ["alive/1", "lost", "held_for"],
    "seed.sql": ["pending_count", "completed_count", "error_rate"],
    "sites.sql": ["Tidewrack", "the token was revoked", "jain"],
    "waiting.sql": ["SCHEDULED", "next_due_in", "its site is paused: the token was revoked", "in line"],
}
NAMES = sorted(path.name for path in INSPECT.glob("*.sql"))

# As an operator of the earlier system has them in shell history and dashboards.
KNOWN = [
    "SELECT COUNT(*) FROM blog_generations WHERE status = 'PENDING'",
    "SELECT COUNT(*) FROM blog_generations WHERE status = 'FAILED' AND created_at > NOW() - INTERVAL '1 hour'",
    """-- Queue size over time
SELECT{blank}
  date_trunc('minute', created_at) as time,
  COUNT(*) as pending_count
FROM blog_generations
WHERE status = 'PENDING'
GROUP BY time
ORDER BY time DESC;""",
    """-- Processing rate (blogs completed per minute)
SELECT{blank}
  date_trunc('minute', finished_at) as time,
  COUNT(*) as completed_count
FROM blog_generations
WHERE status = 'DONE' AND finished_at IS NOT NULL
GROUP BY time
ORDER BY time DESC;""",
    """-- Error rate
SELECT{blank}
  date_trunc('hour', created_at) as time,
  COUNT(CASE WHEN status = 'FAILED' THEN 1 END) as failed,
  COUNT(*) as total,
  ROUND(100.0 * COUNT(CASE WHEN status = 'FAILED' THEN 1 END) / COUNT(*), 2) as error_rate
FROM blog_generations
GROUP BY time
ORDER BY time DESC;""",
]


@pytest.fixture(scope="module")
def history(module_url: str) -> str:
    """The DSN of a database in which a few things went well and a few did not."""
    with psycopg.connect(module_url, autocommit=True) as connection:
        connection.execute(HISTORY.encode())
    return module_url


def run(dsn: str, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_pg_bin() / "psql", "-X", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-f", file],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_query_gives_rows(history, name):
    """Read in the middle of the night: an error or an empty page is no answer."""
    ran = run(history, INSPECT / name)

    assert (ran.returncode, ran.stderr) == (0, "")
    headings = re.findall(r"^\\echo '(.+)'$", (INSPECT / name).read_text(encoding="utf-8"), re.MULTILINE)
    for words in [*headings, *FACTS.get(name, [])]:
        assert words.replace("''", "'") in ran.stdout, words


def test_a_defect_counts_once_for_each_post(history):
    with psycopg.connect(history) as connection:
        rows = connection.execute("select defect, repaired, returned from post_defects order by defect").fetchall()

    assert rows == [("footnotes", 2, 0), ("unknown price", 0, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_each_query_works_on_an_empty_database(database_url, name):
    """No rows yet: no division by zero, no null that breaks a format."""
    ran = run(database_url, INSPECT / name)

    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_each_file_says_how_to_run_it(name):
    first = (INSPECT / name).read_text(encoding="utf-8").splitlines()[0]

    assert first.startswith("-- ")
    assert f'psql "$DATABASE_URL" -f sql/inspect/{name}' in first


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.splitlines()[0])
def test_the_queries_of_the_former_system_are_included_unchanged(known):
    """A blank at the end of a line included: what is compared by a tool must not differ."""
    assert known.format(blank=" ") in (INSPECT / "seed.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.splitlines()[0])
def test_the_queries_of_the_former_system_still_give_rows(history, known):
    with psycopg.connect(history) as connection:
        assert connection.execute(known.format(blank=" ").encode()).fetchall() != []


def test_short_columns_come_before_long_ones(history):
    """A reason of two hundred characters would push the next try off the screen."""
    with psycopg.connect(history, autocommit=True) as connection:
        connection.execute(
            "update provider_health set state = 'open', opened_at = now(), retry_at = now(), reason = 'works' "
            "where provider = 'openai'"
        )

    lines = run(history, INSPECT / "waiting.sql").stdout.splitlines()

    heads = [line for line in lines if "reason" in line]
    assert len(heads) == 1
    assert all(line.split("|")[-1].strip() == "reason" for line in heads)
