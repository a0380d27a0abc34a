"""A dump of a used database is restored unchanged: with triggers, without them, and above the limit."""

import json
import re
import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from blogworker.db.embedded.programs import find_pg_bin
from blogworker.db.pool import Database
from blogworker.queue.admit import admit
from blogworker.queue.claim import claim
from blogworker.queue.promote import promote
from blogworker.queue.rescue import rescue
from blogworker.queue.sweep import Sweep
from blogworker.settings import DatabaseSettings

from .conftest import Psql, register

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
SEEDED = "provider_health, fleet_budget, queue_gauge, turns, stage_clocks, plans, database_history, {}"
LIFE = """
insert into plans (name, weight, max_pending, budget_day_usd) values ('trial', 0.5, 40, 1);
update plans set budget_month_usd = 90 where name = 'premium';
insert into sites (instance_id, plan, own_weight, max_in_flight, max_pending, paused_at, settings) values
    ('busy', 'premium', 1, 2, 50, null, '{"language": "de"}'), ('paused', 'trial', null, null, null, now(), '{}');
insert into blog_generations (instance_id, source_type, source_id, stage)
select (array['busy', 'quiet', 'paused'])[n % 3 + 1], 'keyword', 'k' || n, (array['source', 'image'])[n % 2 + 1]
from generate_series(1, 40) as n;
insert into blog_generations (instance_id, source_type, source_id, run_at)
values ('quiet', 'keyword', 'later', '2100-01-01Z');
insert into scheduled_blogs (blog_generation_id, publish_at) values (1, '2100-01-01Z');
insert into generation_stages (generation_id, stage, output, attempt, cost_usd)
select n, 'ideas', '{"titles": []}', 1, 0.01 from generate_series(1, 20) as n;
insert into generation_errors (generation_id, attempt, stage, kind, message, retryable)
values (2, 1, 'ideas', 'Unavailable', 'm', true);
insert into blog_posts (
    generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, seo_description, word_count
) values (3, 'busy', 'ein "Titel" \\ %', 't', 'e', 'm', 'h', 's', 'd', 1);
insert into site_titles (instance_id, key, title, generation_id) values ('busy', 'ein titel', 'Ein Titel', 3);
insert into site_slugs (instance_id, slug, generation_id) values ('busy', 'ein-titel', 3);
insert into site_posts (instance_id, generation_id, title, angle, terms)
values ('busy', 3, 'Ein Titel', 'a', '{titel}');
insert into site_terms (instance_id, term, generation_id) values ('busy', 'titel', 3);
insert into site_reviews (instance_id, passed) values ('busy', 3);
insert into provider_usage (hour, provider, model, instance_id, requests, cost_usd, posts, score_sum)
select date_trunc('hour', now()) - make_interval(hours => n), 'openai', 'm', 'busy', 1, 0.25, 1, 90
from generate_series(0, 40) as n;
insert into quotas (name, provider, requests_per_minute) values ('openai/small', 'openai', 450);
insert into cache (key, value, expires_at) values ('k', '{}', '2100-01-01Z');
update fleet_budget set day_usd = 50, month_usd = 500;
update provider_health set state = 'open', reason = 'down', opened_at = now(), retry_at = now(), openings = 1, epoch = 1
where provider = 'openai';
insert into history (minute, done, failed, cancelled) values (date_trunc('minute', now()), 1, 0, 0);
insert into history_stages (minute, stage, jobs, p50_s, p95_s) select minute, 'image', 1, 1, 1 from history;
insert into api_tokens (name, hash, scopes) values ('n', sha256('t'), '{read}');
insert into audit (actor, via, action) values ('a', 'cli', 'b');
insert into quiet_workers (name, reason) values ('w', 'r');
insert into stage_pauses (stage, reason) values ('image', 'r');
insert into scalings (host, workers, wanted, target) values ('h', 1, 2, 2);
insert into restores (since, reason) values (now(), 'by hand');
insert into site_bills (instance_id, correction) values ('busy', 0.5);
insert into webhooks (name, url, events) values ('w', 'https://x.example.com', '{done,failed,alert}');
insert into webhook_deliveries (webhook_id, message_id, event, payload)
select webhook_id, gen_random_uuid(), 'alert', '{}' from webhooks;
insert into alerts (rule, severity, value, summary, fired_at, sent_at) values ('r', 'warning', 1, 's', now(), now());
insert into alert_evaluations (evaluation) values (7);
"""


async def lead_a_life(psql, database, worker_id) -> None:
    """Jobs of every status, and a row in every table."""
    await psql.run(LIFE)
    await register(database, worker_id, "gone")
    found = await claim(database, worker_id, slots=12, site_window=4)
    assert len(found.claims) >= 6
    for claimed, status in zip(found.claims, ["DONE", "FAILED", "CANCELLED", "PENDING", "SCHEDULED"], strict=False):
        await psql.run("update blog_generations set status = %s where id = %s", status, claimed.job_id)
    await psql.run(
        "update blog_generations set status = 'PENDING', run_at = now() + interval '1 hour' where id = %s",
        found.claims[5].job_id,
    )
    await psql.run("update workers set lease_until = now() - interval '1 second'")


async def tables(psql) -> list[str]:
    rows = await psql.run("select tablename from pg_tables where schemaname = current_schema() order by 1")
    return [row["tablename"] for row in rows]


async def figures(psql) -> dict[str, list[str]]:
    """Every row of every table, and the views of the operators."""
    found = {}
    for table in [*await tables(psql), "site_service", "service_fairness"]:
        rows = await psql.run(f"select to_jsonb(t) - 'longest_wait' as row from {table} as t")
        found[table] = sorted(json.dumps(row["row"], sort_keys=True) for row in rows)
    return found


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(find_pg_bin() / program), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def restored_url(databases, template):
    with databases.copy(template) as url:
        yield url


@pytest.mark.parametrize("triggers", ["firing", "disabled"])
async def test_a_dump_comes_back_as_it_was(psql, database, database_url, restored_url, worker_id, tmp_path, triggers):
    """The sums are not added to a second time, nothing that ended is begun again, what waits is waiting."""
    await lead_a_life(psql, database, worker_id)
    before = await figures(psql)
    assert all(before[table] for table in await tables(psql) if table not in {"quota_waits", "quota_rounds"})
    dump = str(tmp_path / "dump.sql")
    options = ["--disable-triggers"] if triggers == "disabled" else []
    run("pg_dump", "--data-only", *options, "-f", dump, database_url)

    connection = await psycopg.AsyncConnection.connect(restored_url, autocommit=True, row_factory=psycopg.rows.dict_row)
    async with connection:
        restored = Psql(connection)
        if triggers == "disabled":  # what the migrations made would collide, as the README says
            migrations = next(table for table in await tables(psql) if table.endswith("migrations"))
            await restored.run(f"truncate {SEEDED.format(migrations)}")
        run("psql", "-1", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, restored_url)
        after = await figures(restored)

        assert after == before
        await restored.insert("quiet", 1)  # the sequences go on where they were
        await restored.insert("brand new", 1)


async def test_restored_jobs_are_processed(psql, database, database_url, restored_url, worker_id, tmp_path):
    """Also where the dump has no site in line: a worker's keepers find what waits, what is due and what was running."""
    await lead_a_life(psql, database, worker_id)
    await psql.run("update sites set ready = false, max_in_flight = null, paused_at = null")
    await psql.run("delete from site_arrivals")
    dump = str(tmp_path / "dump.sql")
    run("pg_dump", "--data-only", "-f", dump, database_url)
    run("psql", "-1", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, restored_url)

    async with Database(DatabaseSettings(url=restored_url, _env_file=None)) as restored:
        me = await register(restored, uuid4(), "new")
        await rescue(restored)
        await promote(restored)
        await Sweep().run_once(restored)
        await admit(restored)
        found = await claim(restored, me, slots=100, site_window=100)

    waiting = await psql.value(
        "select count(*) from blog_generations "
        "where status in ('PENDING', 'PROCESSING', 'SCHEDULED') and run_at <= now()"
    )
    assert len(found.claims) == waiting


# The limit of the queue.


async def test_a_bare_insert_is_refused_at_the_limit(psql):
    await psql.run("set blogworker.queue_size_limit = 100")
    await psql.insert("shop", 90)

    refusal = await psql.refused(
        "insert into blog_generations (instance_id, source_type, source_id) "
        "select 's' || n, 'keyword', 'k' from generate_series(1, 11) as n"
    )

    detail = json.loads(refusal.diag.message_detail)
    assert (refusal.sqlstate, detail["queueSize"], detail["limit"]) == ("BW503", 90, 100)
    await psql.insert("shop", 10)
    assert (await psql.refused(ONE)).sqlstate == "BW503"


ONE = "insert into blog_generations (instance_id, source_type, source_id) values ('one', 'keyword', 'k')"


async def test_many_small_inserts_reach_the_limit_too(psql):
    """Each within a second of the last count: what came since counts as well."""
    await psql.run("set blogworker.queue_size_limit = 60")
    refused = 0
    for _ in range(100):
        try:
            await psql.run(ONE)
        except psycopg.Error as error:
            refused += error.sqlstate == "BW503"

    assert refused == 40
    assert await psql.value("select count(*) from blog_generations") == 60


async def test_a_bare_insert_is_refused_at_the_limit_of_its_site(psql):
    await psql.run("insert into sites (instance_id, max_pending) values ('noisy', 5)")
    await psql.insert("noisy", 5)

    refusal = await psql.refused(
        "insert into blog_generations (instance_id, source_type, source_id) values ('noisy', 'keyword', 'k')"
    )

    detail = json.loads(refusal.diag.message_detail)
    assert (refusal.sqlstate, detail["instanceId"], detail["queueSize"], detail["limit"]) == ("BW503", "noisy", 5, 5)
    await psql.insert("quiet", 6)


@pytest.mark.parametrize("status", ["SCHEDULED", "DONE"])
async def test_only_waiting_jobs_are_counted(psql, status):
    await psql.run("set blogworker.queue_size_limit = 1")
    columns = {"finished_at": "2025-01-01Z"} if status == "DONE" else {"run_at": "2100-01-01Z"}

    await psql.insert("shop", 10, status=status, **columns)


async def test_the_limit_given_with_one_job_is_not_kept(psql):
    """It does not apply to the next statement of the producer's transaction."""
    await psql.run("set blogworker.queue_size_limit = 3")
    async with psql.connection.transaction():
        await psql.run("select enqueue_blog('shop', 'keyword', 'k', queue_size_limit => 100)")

        assert await psql.value("select current_setting('blogworker.queue_size_limit')") == "3"


async def test_producers_count_the_queue_while_another_has_locked_the_counter(psql, another_psql):
    """A transaction left open at psql stops nobody."""
    async with another_psql.connection.transaction():
        await another_psql.run(ONE)

        await psql.run("set lock_timeout = '1s'")
        await psql.insert("two", 1)


async def test_a_producer_with_an_old_snapshot_is_served(psql, another_psql):
    async with psql.connection.transaction():
        await psql.run("set transaction isolation level repeatable read")
        await psql.value("select count(*) from sites")
        await another_psql.run(ONE)

        await psql.run(
            "insert into blog_generations (instance_id, source_type, source_id) values ('b', 'keyword', 'k')"
        )


@pytest.mark.parametrize("page", ["sql/README.md", "sql/inspect/README.md"])
async def test_the_pages_name_the_tables_that_migrations_fill(psql, page):
    """Whoever restores or replicates data alone truncates them first."""
    (told,) = re.findall(r"^truncate (.+);$", (ROOT / page).read_text(), re.MULTILINE)

    filled = await psql.run(
        "select tgrelid::regclass::text as name from pg_trigger where tgname = 'replace_seeded_row'"
    )

    assert sorted(told.split(", ")) == sorted(row["name"] for row in filled)
