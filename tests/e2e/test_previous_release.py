"""The upgrade from the release before, under load: its workers and those of this release, over the last migration."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from blogworker.db.migrate import migrations
from tests.db.previous_release import installed_previous_release

from .conftest import Program, Queue, Vendors, bare_environment, until

pytestmark = [pytest.mark.proof, pytest.mark.timeout(180)]

LAST = len(migrations())


@pytest.fixture
def previous(tmp_path: Path) -> str:
    return str(installed_previous_release(tmp_path / "previous"))


@pytest.fixture
def old_queue(previous: str, empty_url: str, tmp_path: Path) -> Iterator[Queue]:
    """A queue in a database that the previous release has migrated."""
    migrated = command("migrate", release=previous, folder=tmp_path, url=empty_url)
    assert migrated.returncode == 0, migrated.stderr
    with psycopg.connect(empty_url, autocommit=True, row_factory=dict_row) as connection:
        yield Queue(connection)


def command(
    *arguments: str, release: str | None, folder: Path, url: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command of a release. None: this one."""
    environment = bare_environment(folder) | {"DATABASE_URL": url} | more
    return subprocess.run(
        [sys.executable, "-m", "blogworker", *arguments],
        env=environment if release is None else environment | {"PYTHONPATH": release},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_the_previous_release_is_upgraded_under_load(
    vendors: Vendors, previous: str, old_queue: Queue, empty_url: str, site: str, tmp_path: Path
) -> None:
    """Old workers go on during and after the migration; each blog is published once, and nothing fails."""
    settings = {**vendors.environment, "DATABASE_URL": empty_url, "BLOGWORKER_LOG_FORMAT": "json"}
    old_queue.add(site, *(f"before {n}" for n in range(10)))
    old = Program(("run", "--name", "old"), folder=tmp_path, environment=settings | {"PYTHONPATH": previous})
    new = None
    try:
        until(lambda: old_queue.count("status = 'DONE'") > 2, of=old.said)

        early = command("run", "--name", "new", release=None, folder=tmp_path, url=empty_url, **vendors.environment)
        assert early.returncode == 2, early
        assert "the database lacks 1 migration(s): run `blogworker migrate`" in early.stderr

        old_queue.add(site, *(f"during {n}" for n in range(20)))
        migrated = command("migrate", release=None, folder=tmp_path, url=empty_url)
        assert migrated.returncode == 0, migrated.stderr
        old_queue.add(site, *(f"after {n}" for n in range(20)))
        new = Program(("run", "--name", "new"), folder=tmp_path, environment=settings)
        new.logged("worker_started")
        until(old_queue.queue_is_empty, of=old_queue.told)

        assert len(vendors.posts(site)) == 50
        assert vendors.duplicates(site) == []
        assert old_queue.count("failures > 0") == 0
        assert old.events("schema_mismatch_found") == []
        assert old_queue.count("exists (select from workers where lease_until > now() having count(*) = 2)") == 50
        for program in (old, new):
            program.tell(signal.SIGTERM)
            assert program.ended() == 0, program.said()
    finally:
        for program in (old, new):
            if program is not None:
                program.kill()

    again = command("run", "--name", "old", release=previous, folder=tmp_path, url=empty_url, **vendors.environment)
    assert again.returncode == 2, again
    assert f"the database is newer than this program (it has migration {LAST}): upgrade blogworker" in again.stderr
