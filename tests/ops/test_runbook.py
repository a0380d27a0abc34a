"""The runbook: every command that it shows exists and works, before somebody needs it at night."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from blogworker.db.embedded import find_pg_bin
from tests.conftest import Databases
from tests.forks import LIMIT_S, Forks
from tests.pages import anchors, commands, commands_of, sections, shell_lines, text_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "sql" / "inspect" / "README.md"
SECTIONS = sections(PAGE)
TROUBLES = {
    *("the-queue-grows", "many-jobs-fail", "jobs-are-slow", "a-site-waits-longer-than-others", "a-provider-is-down"),
    *("the-key-is-wrong", "a-budget-is-reached", "a-site-is-paused", "the-database-is-away", "the-disk-is-full"),
    "messages-do-not-arrive",
    *("the-database-has-failed-over", "a-backup-is-restored", "postgres-is-upgraded"),
}
OF_THE_SYSTEM = ("systemctl", "journalctl")
SINCE = "2026-11-28T01:30Z"
READS = ("autoscale", "audit", "breakers", "costs", "doctor", "errors", "explain", "history", "list", "metrics")
READS += ("migrate --status", "prune --dry-run", "quotas", "show", "sites list", "status", "webhooks")
KEY = "0123456789abcdef" * 2

# What each section is about happens: some of its jobs, and a worker.
HISTORY = """
insert into workers (name, worker_id, host, pid, version, concurrency, in_flight, lease_until)
values ('w', '00000000-0000-0000-0000-000000000001', 'h', 7, '1.0', 50, 1, now() + interval '1 hour');
insert into blog_generations (instance_id, source_type, source_id)
select 'SITE', 'keyword', 'k' || n from generate_series(1, 4) as n;
update blog_generations
set status = 'PROCESSING', attempt = attempt + 1, worker_id = '00000000-0000-0000-0000-000000000001'
where id in (1, 2, 3);
insert into generation_errors (generation_id, attempt, stage, kind, message, retryable)
values (1, 1, 'content', 'Rejected', 'refused', false), (2, 1, 'content', 'Unavailable', 'status 503', true);
update blog_generations set status = 'FAILED', error = 'refused' where id in (1, 2);
insert into quotas (name, provider, requests_per_minute, tokens_per_minute, blocked_until)
values ('openai/gpt-6-luna', 'openai', 400, 400000, now() + interval '10 minutes');
"""
BUDGET = """
update fleet_budget set day_usd = 1;
update fleet_budget set stopped_until = now() + interval '9 h', stop_reason = 'no room', stopped_for = '4/1';
update sites
set own_budget_day_usd = 1, paused_at = now(), resume_at = now() + interval '9 h', paused_for = '4/1',
    pause_reason = 'its budget is used up';
"""
SYMPTOMS = {
    "the-queue-grows": "insert into stage_pauses (stage, reason) values ('image', 'maintenance'), ('publish', 'Wix');",
    "the-key-is-wrong": """
        update provider_health
        set state = 'open', reason = 'Incorrect API key', misconfigured = true, openings = 1, opened_at = now(),
            retry_at = now() + interval '1 minute'
        where provider = 'openai';
    """,
    "a-budget-is-reached": BUDGET,
    "a-site-is-paused": BUDGET,
    "messages-do-not-arrive": """
        update webhooks set disabled_at = now(), disabled_reason = 'it answered 410 Gone';
        insert into webhook_deliveries (webhook_id, message_id, event, payload, state, ended_at)
        select webhook_id, gen_random_uuid(), 'done', '{}', 'given_up', now() from webhooks;
    """,
    "the-database-has-failed-over": "select setval('blog_generations_id_seq', 1);",
    "postgres-is-upgraded": "select setval('blog_generations_id_seq', 1);",
    "the-disk-is-full": "update blog_generations set finished_at = now() - interval '40 days' where status = 'FAILED';",
}

# A command that writes, and what is true once it has had its effect, and not before.
NOTED = "select exists (select from restores)"
RETRIED = "select status = 'PENDING' from blog_generations where id = {}"
ADVANCED = "select s.last_value >= (select max(id) from blog_generations) from blog_generations_id_seq as s"
EFFECTS = {
    "resume": "select not exists (select from stage_pauses)",
    "resume --stage publish": "select not exists (select from stage_pauses where stage = 'publish')",
    "sites set SITE --max-pending 500": "select max_pending = 500 from sites",
    "sites set SITE --max-in-flight 50": "select max_in_flight = 50 from sites",
    "sites set SITE --weight 2": "select weight = 2 from sites",
    'sites set SITE --settings {"image_trouble": "skip"}': "select settings ->> 'image_trouble' = 'skip' from sites",
    "sites set SITE --budget-day 10": "select budget_day_usd = 10 and paused_at is null from sites",
    "sites pause SITE": "select paused_at is not null from sites",
    "sites resume SITE": "select paused_at is null from sites",
    "retry 1": RETRIED.format(1),
    "retry --kind Unavailable --within 12h": RETRIED.format(2),
    "quotas set openai/gpt-6-luna --rpm 900 --tpm 900000": "select requests_per_minute = 900 from quotas",
    "quotas unblock openai/gpt-6-luna": "select blocked_until <= now() from quotas where name = 'openai/gpt-6-luna'",
    "breakers close openai": "select state = 'closed' from provider_health where provider = 'openai'",
    "costs budget --day 100": "select stopped_until is null from fleet_budget",
    "webhooks resume shop": "select disabled_at is null from webhooks",
    "webhooks resume shop --given-up": "select state = 'waiting' from webhook_deliveries",
    "reconcile": ADVANCED,
    f"reconcile --since {SINCE}": NOTED,
    "prune --older-than 30d": "select count(*) = 2 from blog_generations",
}
CODES = {"doctor": 1, "status --check": 1}  # they find the symptom


@dataclass(frozen=True, slots=True)
class Shop:
    """A receiver of webhooks, and what it got."""

    url: str
    received: list[str]


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A receiver of webhooks that accepts everything, and counts it."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Shop(f"http://127.0.0.1:{server.server_port}/", received)
        server.shutdown()
        thread.join()


@pytest.fixture
def history(database_url: str, shop: Shop) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(HISTORY.encode())
        connection.execute("insert into webhooks (name, url, events) values ('shop', %s, '{done}')", [shop.url])
    return database_url


def test_the_runbook_has_a_section_for_each_trouble() -> None:
    assert anchors(PAGE) - {"runbook"} == TROUBLES


@pytest.mark.parametrize("section", SECTIONS)
def test_each_command_of_a_section_works_and_each_remedy_has_its_effect(
    section: str, history: str, shop: Shop, databases: Databases, forks: Forks, tmp_path: Path
) -> None:
    """The commands run in their order, and each that writes in a copy of the database with the symptom."""
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "BLOGWORKER_ENV_FILE": ""}
    environment |= {"BLOGWORKER_WEBHOOK_KEY": KEY, "BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK": "true"}
    name = psycopg.conninfo.conninfo_to_dict(history)["dbname"]
    with psycopg.connect(history, autocommit=True) as connection:
        connection.execute(SYMPTOMS.get(section, "select").encode())

    for words in commands_of(SECTIONS[section]):
        line = " ".join(words)
        effect = EFFECTS.get(line)
        with databases.copy(str(name)) as url:
            before = effect and holds(url, effect)
            ran = forks.run(tuple(words), folder=tmp_path, environment=environment | {"DATABASE_URL": url})
            after = effect and holds(url, effect)

        assert (ran.code, ran.err) == (CODES.get(line, 0), ""), (line, ran)
        assert ran.out or effect, line
        assert effect is None or (before, after) == (False, True), (line, before, after, ran.out)

    assert bool(shop.received) == (section == "messages-do-not-arrive")


def holds(url: str, query: str) -> bool:
    with psycopg.connect(url) as connection:
        return bool(connection.execute(query.encode()).fetchone()[0])


def test_each_command_that_writes_has_an_effect_that_is_tested() -> None:
    shown = {" ".join(words) for words in commands(PAGE)}
    reads = {line for line in shown if line.startswith(READS) and line not in EFFECTS}

    assert shown - reads == {*EFFECTS}


def test_while_the_database_is_away_the_commands_say_so(forks: Forks, tmp_path: Path) -> None:
    away = {"PATH": os.defpath, "HOME": str(tmp_path), "BLOGWORKER_ENV_FILE": ""}
    away |= {"DATABASE_URL": "postgresql://127.0.0.1:1/blogs"}
    codes = {}
    for words in commands_of(SECTIONS["the-database-is-away"]):
        ran = forks.run(tuple(words), folder=tmp_path, environment=away)
        codes[words[0]] = ran.code
        assert "cannot connect" in ran.out + ran.err

    assert codes == {"doctor": 1, "metrics": 75}


def test_each_file_that_the_runbook_runs_with_psql_answers(history: str) -> None:
    psql = str(find_pg_bin() / "psql")
    lines = [line.partition("#")[0].strip() for line in shell_lines(PAGE) if line.startswith("psql ")]

    for line in lines:
        ran = subprocess.run(
            ["sh", "-ec", line.replace("psql ", f"{psql} -X -v ON_ERROR_STOP=1 ", 1)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": history},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert (ran.returncode, ran.stderr) == (0, ""), line

    shown = {path.name for path in PAGE.parent.glob("*.sql") if path.name in text_of(PAGE)}
    assert len(lines) >= 5
    assert shown == {path.name for path in PAGE.parent.glob("*.sql")} - {"seed.sql"}


def test_the_other_commands_are_those_of_the_system() -> None:
    others = [line for line in shell_lines(PAGE) if not line.startswith(("psql ", "blogworker "))]

    assert all(line.startswith(OF_THE_SYSTEM) for line in others), others
