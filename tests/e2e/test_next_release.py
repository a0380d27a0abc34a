"""Workers of this release and of the next one, side by side while the database is migrated."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.db.next_release import installed_next_release, next_migrations

from .conftest import Program, Queue, Start, Vendors, bare_environment, until

pytestmark = [pytest.mark.proof, pytest.mark.timeout(120)]


def test_both_releases_work_during_and_after_a_migration(
    vendors: Vendors, queue: Queue, start: Start, site: str, database_url: str, tmp_path: Path
) -> None:
    """Expand, then contract: the old worker goes on, the new one waits for the migration, and nothing fails."""
    release = str(installed_next_release(tmp_path / "next"))
    environment = {"DATABASE_URL": database_url, "PYTHONPATH": release, **vendors.environment}

    def new(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "blogworker", *arguments],
            env=bare_environment(tmp_path) | environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    queue.add(site, *(f"before {n}" for n in range(10)))
    old = start(vendors, "--name", "old")
    until(lambda: queue.count("status = 'DONE'") > 2, of=old.said)

    early = new("run", "--name", "new")
    assert (early.returncode, "lacks 2 migration(s): run `blogworker migrate`" in early.stderr) == (2, True), early

    queue.add(site, *(f"during {n}" for n in range(10)))
    migrated = new("migrate")
    assert migrated.returncode == 0, migrated.stderr
    queue.add(site, *(f"after {n}" for n in range(20)))
    later = Program(
        ("run", "--name", "new"),
        folder=tmp_path,
        environment={**environment, "BLOGWORKER_LOG_FORMAT": "json"},
    )
    try:
        later.logged("worker_started")
        until(queue.queue_is_empty, of=queue.told)
        assert len(vendors.posts(site)) == 40
        assert queue.count("failures > 0") == 0
        assert old.events("schema_mismatch_found") == []
        assert {row["name"] for row in queue.run("select name from workers where lease_until > now()")} == {
            "old",
            "new",
        }
    finally:
        later.tell(signal.SIGTERM)
        assert later.ended() == 0, later.said()
    old.tell(signal.SIGTERM)
    assert old.ended() == 0, old.said()

    again = start(vendors, "--name", "old")
    assert again.ended() == 2, again.said()
    newest = len(next_migrations())
    assert (
        f"the database is newer than this program (it has migration {newest}): upgrade blogworker"
        in again.errors.read_text()
    )
    assert vendors.duplicates(site) == []
