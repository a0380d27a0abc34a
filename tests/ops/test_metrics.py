"""Metrics: what Prometheus gets is what the database holds, in a format that every parser reads."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from anyio import run_process

from blogworker.db.pool import Database
from blogworker.db.sql import sql_dir
from blogworker.ops.exposition import Kind, Metric, Sample, render
from blogworker.ops.metrics import CATALOG, MOST_TOP_SITES, read_metrics
from blogworker.redact import SECRETS

pytestmark = pytest.mark.anyio
HISTORY = """
insert into workers (name, worker_id, host, pid, version, concurrency, in_flight, draining, lease_until) values
    ('a', '00000000-0000-0000-0000-000000000001', 'a', 7, '1.0', 50, 3, false, now() + interval '10 seconds'),
    ('b', '00000000-0000-0000-0000-000000000002', 'b', 8, '1.0', 50, 1, true, now() + interval '10 seconds'),
    ('c', '00000000-0000-0000-0000-000000000003', 'c', 9, '1.0', 50, 9, false, now() - interval '10 seconds');
insert into blog_generations (instance_id, source_type, source_id)
select 'shop-' || case when n <= 5 then 'a' else 'b' end, 'keyword', 'k' || n from generate_series(1, 8) as n;
insert into blog_generations (instance_id, source_type, source_id, run_at)
values ('shop-a', 'keyword', 'later', now() + interval '1 hour');
update blog_generations
set status = 'PROCESSING', attempt = attempt + 1, worker_id = '00000000-0000-0000-0000-000000000001'
where id in (1, 2, 3, 6);
update blog_generations set status = 'DONE' where id = 2;
update blog_generations set status = 'FAILED', error = 'the text was refused' where id = 3;
update sites set ready = true where instance_id = 'shop-a';
update sites set paused_at = now(), pause_reason = 'the token was revoked' where instance_id = 'shop-b';
insert into generation_errors (generation_id, attempt, stage, kind, message, retryable, created_at) values
    (3, 1, 'content', 'Rejected', 'refused', false, now()),
    (3, 2, 'content', 'Rejected', 'refused', false, now()),
    (3, 3, 'content', 'Unavailable', 'down', true, now()),
    (3, 4, 'content', 'RateLimited', 'slow', true, now() - interval '2 hours');
insert into generation_stages (generation_id, stage, output, attempt, duration_s)
values (2, 'content', '{}', 1, 10), (3, 'content', '{}', 1, 20), (2, 'image.prediction', '{}', 1, 5);
insert into quotas (name, provider, requests_per_minute, tokens_per_minute) values
    ('openai/text', 'openai', 450, 450000),
    ('replicate/predictions', 'replicate', 600, null),
    ('wix/s', 'wix', 200, null);
update quotas
set
    newest_slot = floor(extract(epoch from now()) / 5),
    slot_requests = array_fill(9, array[1]) || array_fill(0, array[12])
where name = 'replicate/predictions';
update provider_health set state = 'open', opened_at = now(), retry_at = now(), reason = 'down' where provider = 'wix';
insert into provider_usage (hour, provider, model, instance_id, requests, cost_usd, posts, score_sum)
values (date_trunc('hour', now()), 'openai', 'mini', 'shop-a', 3, 0.25, 2, 150);
update fleet_budget set day_usd = 5;
update workers
set stats = jsonb_build_object('pool_waiting', case name when 'a' then 3 when 'b' then 12 else 99 end);
"""


@pytest.fixture
def history(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(HISTORY.encode())
    return database_url


def values(metrics: list[Metric]) -> dict[str, float]:
    """Values by name and labels, as Prometheus shows them."""
    lines = [line for line in render(metrics).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_the_metrics_are_what_the_database_holds(history: str, database: Database) -> None:
    found = values(await read_metrics(database))

    expected = {
        'jobs{status="PENDING"}': 4,
        'jobs{status="PROCESSING"}': 2,
        'jobs{status="SCHEDULED"}': 1,
        'jobs_ended_last_minute{status="DONE"}': 1,
        'jobs_ended_last_hour{status="FAILED"}': 1,
        'jobs_ended_last_hour{status="CANCELLED"}': 0,
        "posts_written_total": 2,
        'sites{state="ready"}': 1,
        'sites{state="paused"}': 1,
        'workers{state="alive"}': 1,
        'workers{state="draining"}': 1,
        'workers{state="lost"}': 1,
        "slots": 50,
        "slots_in_use": 4,
        "pool_waiting_callers": 12,
        "workers_wanted": 1,
        'quota_limit{quota="openai/text",provider="openai",counts="tokens"}': 450_000,
        'quota_used_ratio{quota="replicate/predictions",provider="replicate",counts="requests"}': 0.015,
        'breaker_state{provider="wix",state="open"}': 1,
        'breaker_state{provider="wix",state="closed"}': 0,
        'spent_usd{period="day"}': 0.25,
        'budget_usd{period="day"}': 5,
        "budget_reached": 0,
        "cost_usd_total": 0.25,
        'attempt_errors_last_hour{kind="Rejected"}': 2,
        'attempt_errors_last_hour{kind="Unavailable"}': 1,
        'stage_duration_seconds{stage="content",percentile="50"}': 15,
    }
    assert {name: found[f"blogworker_{name}"] for name in expected} == expected
    assert 'blogworker_budget_usd{period="month"}' not in found
    assert not any("RateLimited" in name or "wix/s" in name or "image.prediction" in name for name in found)
    assert 0 <= found["blogworker_oldest_wait_seconds"] < 60
    assert not any("site=" in name for name in found)


async def test_a_pruned_job_is_still_counted_among_the_posts_ever_written(history: str, database: Database) -> None:
    with psycopg.connect(history, autocommit=True) as connection:
        connection.execute("delete from blog_generations where finished_at is not null")

    assert values(await read_metrics(database))["blogworker_posts_written_total"] == 2


async def test_the_busiest_sites_are_named_if_asked_for(history: str, database: Database) -> None:
    """shop-a has one job that runs and two that ended, shop-b one that runs."""
    one = [name for name in values(await read_metrics(database, top_sites=1)) if "site=" in name]
    both = values(await read_metrics(database, top_sites=MOST_TOP_SITES * 1000))

    assert one == [f'blogworker_site_jobs{{site="shop-a",status="{status}"}}' for status in ("PENDING", "PROCESSING")]
    assert both['blogworker_site_jobs{site="shop-a",status="PENDING"}'] == 2
    assert both['blogworker_site_jobs{site="shop-b",status="PROCESSING"}'] == 1


async def test_the_oldest_transaction_is_seen(database_url: str, database: Database) -> None:
    """An open transaction keeps vacuum from removing dead rows, and the claim slows down."""
    name = "blogworker_database_oldest_transaction_seconds"
    with psycopg.connect(database_url) as connection:
        connection.execute("select")
        found = values(await read_metrics(database))

        assert found[name] > 0
    assert values(await read_metrics(database))[name] == 0


async def test_an_empty_database_has_every_metric_that_needs_no_rows(database: Database) -> None:
    """An alert cannot tell a missing zero from a missing scrape."""
    found = await read_metrics(database, top_sites=5)

    empty = {metric.name.removeprefix("blogworker_") for metric in found if not metric.samples}
    assert [metric.name for metric in found] == [metric.name for metric in CATALOG]
    assert empty == {
        *("quota_limit", "quota_used_ratio", "quota_waiting_calls", "quota_blocked_seconds"),
        *("budget_usd", "attempt_errors_last_hour", "stage_duration_seconds", "site_jobs"),
    }


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in CATALOG:
        assert re.fullmatch(r"blogworker_[a-z][a-z_]*[a-z]", metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert metric.name.removesuffix("_total").endswith(metric.unit), metric.name
        assert metric.help.endswith(".")
    assert len({metric.name for metric in CATALOG}) == len(CATALOG)


async def test_the_table_of_metrics_is_complete(history: str, database: Database) -> None:
    page = (Path(str(sql_dir())) / "monitoring" / "README.md").read_text(encoding="utf-8")
    page = page[page.index("## Metrics") :]
    table = re.findall(r"^\| `(blogworker_\w+)` \| (.*?) \| (.*) \|$", page, re.MULTILINE)

    found = await read_metrics(database, top_sites=5)

    labels = [", ".join(dict.fromkeys(name for each in metric.samples for name in each.labels)) for metric in found]
    assert table == [(metric.name, names, metric.help) for metric, names in zip(found, labels, strict=True)]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
async def test_promtool_reads_the_metrics_and_finds_no_fault(history: str, database: Database) -> None:
    text = render(await read_metrics(database, top_sites=5))

    ran = await run_process(["promtool", "check", "metrics"], input=text.encode(), check=False)

    assert (ran.returncode, ran.stdout + ran.stderr) == (0, b"")


def sample(value: float = 1, **labels: str) -> list[Metric]:
    return [Metric("m", Kind.GAUGE, 'a "help" with \\ and\na line', "", (Sample(value, labels),))]


def test_labels_and_help_are_escaped() -> None:
    head = '# HELP m a "help" with \\\\ and\\\\na line\n# TYPE m gauge\n'

    assert render(sample(a='say "hi"', b="c:\\x", c="é")) == head + 'm{a="say \\"hi\\"",b="c:\\\\x",c="é"} 1\n'
    assert render(sample(a="two\nlines \x1b[31m \u202e")) == head + 'm{a="two\\\\nlines \\\\x1b[31m \\\\u202e"} 1\n'
    assert render(sample(a="é"), encoding="ascii") == head + 'm{a="\\\\xe9"} 1\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (10_000_000, "10000000"), (0.1, "0.1"), (float("inf"), "+Inf"), (-float("inf"), "-Inf")],
)
def test_numbers_are_written_in_full(value: float, text: str) -> None:
    assert render(sample(value)).splitlines()[-1] == f"m {text}"


def test_a_metric_without_samples_is_left_out() -> None:
    assert render([Metric("m", Kind.GAUGE, "help", "")]) == ""


def test_two_labels_that_look_the_same_are_one_sample() -> None:
    """A text with the same series twice is refused as a whole."""
    twice = Metric("m", Kind.GAUGE, "help", "", (Sample(1, {"a": "x"}), Sample(2, {"a": "x\ufe0f"})))

    assert render([twice]).splitlines()[2:] == ['m{a="x"} 2']


def test_no_secret_is_written_into_a_label() -> None:
    """A worker with other settings may have stored it as the kind of an error."""
    SECRETS.learn("sk-live-0123456789abcdef")

    assert "0123456789" not in render(sample(kind="sk-live-0123456789abcdef"))


@pytest.fixture
def crowded(database_url: str) -> Callable[[str], None]:
    def run(statement: str) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    return run


async def test_the_number_of_samples_is_bounded(crowded: Callable[[str], None], database: Database) -> None:
    """Accounts have quotas and breakers of their own, and any program may write kinds of errors."""
    crowded("insert into provider_health (provider) select 'openai@' || n from generate_series(1, 1000) as n")
    crowded(
        "insert into quotas (name, provider, requests_per_minute, tokens_per_minute) "
        "select 'openai@' || n, 'openai', 400, 400 from generate_series(1, 1000) as n"
    )
    crowded("insert into blog_generations (instance_id, source_type, source_id) values ('s', 'keyword', 'k')")
    crowded(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "select 1, 1, 'ideas', 'kind ' || n, '', true from generate_series(1, 1000) as n"
    )

    assert len(values(await read_metrics(database))) < 400
