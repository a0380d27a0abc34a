"""The units on a booted machine: installed, started while the database is away, searched in the journal, removed."""

from pathlib import Path

import pytest

from tests.e2e.conftest import until

from .machine import booted, reason_not_to_boot

REASON = reason_not_to_boot()
WITHIN_S = 60.0
UNREACHABLE = "postgresql://blogworker:hunter2-hunter2@127.0.0.1:9/blogs"


@pytest.mark.slow
@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_a_worker_waits_for_its_database_without_a_restart(tmp_path: Path) -> None:
    """Each start costs more than a second of CPU, and Postgres may be away for hours."""
    with booted(tmp_path) as machine:
        machine.run("blogworker", "systemd", "install", "--workers", "1", "--no-migrate")
        machine.settings({"DATABASE_URL": UNREACHABLE, "OPENAI_API_KEY": "sk-1", "REPLICATE_API_TOKEN": "r8-1"})
        machine.run("systemctl", "start", "--no-block", "blogworker.target")

        def status() -> str:
            return machine.show("blogworker@1.service", "StatusText")

        until(lambda: "waiting for the database" in status(), within_s=WITHIN_S, of=machine.told)
        (entry,) = machine.entries("BLOGWORKER_EVENT=database_awaited", "PRIORITY=4")
        assert entry["_SYSTEMD_UNIT"] == "blogworker@1.service"
        assert machine.show("blogworker@1.service", "ActiveState") == "activating"
        assert machine.show("blogworker@1.service", "NRestarts") == "0"

        machine.run("blogworker", "systemd", "uninstall")
        assert not machine.is_active("blogworker@1.service")
        assert machine.said("find", "/etc/systemd", "/etc/sysusers.d", "-name", "*blogworker*") == ""
