"""The runbook: every command that it shows exists and works, before somebody needs it at night."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from blogworker.db.embedded import find_pg_bin
from tests.forks import LIMIT_S, Forks
from tests.pages import anchors, commands, shell_lines, text_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "sql" / "inspect" / "README.md"
TROUBLES = {
    *("the-queue-grows", "many-jobs-fail", "jobs-are-slow", "a-site-waits-longer-than-others", "a-provider-is-down"),
    *("the-key-is-wrong", "a-budget-is-reached", "a-site-is-paused", "the-database-is-away", "the-disk-is-full"),
    "messages-do-not-arrive",
    *("the-database-has-failed-over", "a-backup-is-restored", "postgres-is-upgraded"),
}
READS = {"status", "autoscale", "list", "show", "quotas", "breakers", "costs", "metrics", "review", "sites list"}
READS |= {"migrate --status", "prune --dry-run", "webhooks", "webhooks deliveries"}
GROUPS = {"sites", "quotas", "breakers", "costs", "webhooks"}
WRITES = {"set", "unblock", "close", "budget", "test", "resume"}  # commands of the groups in READS
OF_THE_SYSTEM = ("systemctl", "journalctl")
HISTORY = """
insert into workers (name, worker_id, host, pid, version, concurrency, in_flight, lease_until)
values ('w', '00000000-0000-0000-0000-000000000001', 'h', 7, '1.0', 50, 1, now() + interval '1 hour');
insert into blog_generations (instance_id, source_type, source_id)
select 'SITE', 'keyword', 'k' || n from generate_series(1, 3) as n;
update blog_generations
set status = 'PROCESSING', attempt = attempt + 1, worker_id = '00000000-0000-0000-0000-000000000001'
where id in (1, 2);
update blog_generations set status = 'FAILED', error = 'refused' where id = 1;
insert into generation_errors (generation_id, attempt, stage, kind, message, retryable)
values (1, 1, 'content', 'Rejected', 'refused', false);
insert into webhooks (name, url, events) values ('shop', 'https://shop.example.com/hooks', '{done}');
insert into blog_posts
    (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, seo_description, word_count)
values (1, 'SITE', 'Mugs', 'mugs', 'e', 'm', 'h', 't', 'd', 1);
"""


@pytest.fixture
def history(database_url: str) -> str:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(HISTORY.encode())
    return database_url


def only_reads(words: list[str]) -> bool:
    return " ".join(words[:2]) in READS or (words[0] in READS and not set(words[1:2]) & WRITES)


def test_the_runbook_has_a_section_for_each_trouble() -> None:
    assert anchors(PAGE) - {"runbook"} == TROUBLES


def test_each_command_of_the_runbook_works(history: str, forks: Forks, tmp_path: Path) -> None:
    """Commands that change something, and doctor, which finds faults here, are asked for their help;
    `tests/test_docs.py` parses them as they are written."""
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "DATABASE_URL": history, "BLOGWORKER_ENV_FILE": ""}
    found = commands(PAGE)
    not_run = [words for words in found if not only_reads(words)]

    for words in found:
        depth = 2 if words[0] in GROUPS else 1
        asked = [*words[:depth], "--help"] if words in not_run else words
        ran = forks.run(tuple(asked), folder=tmp_path, environment=environment)
        assert (ran.code, ran.err) == (0, ""), (words, ran.err)
        assert ran.out, words

    assert len(found) - len(not_run) >= 20
    assert {words[0] for words in not_run} == {
        *("sites", "retry", "quotas", "breakers", "costs", "prune", "reconcile", "webhooks", "doctor"),
    }


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
