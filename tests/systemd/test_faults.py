"""Four workers under a real systemd: every fault that a machine meets, under load, one after the other.

Nothing is lost and nothing is published twice; the seconds until all slots work again are printed as a table.
"""

import signal
from collections.abc import Callable, Iterator
from time import monotonic

import httpx2
import pytest

from blogworker.db.embedded.postgres import free_port
from tests.e2e.conftest import until
from tests.forks import Forks

from .fleet import (
    LEASE_S,
    OPENAI_KEY,
    REPLICATE_TOKEN,
    SLOTS,
    STOP_S,
    WATCHDOG_S,
    WITHIN_S,
    WORKERS,
    Fleet,
    running_fleet,
)
from .machine import reason_not_to_boot

REASON = reason_not_to_boot()
pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(600),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
NEW_KEY = "sk-second-1234567890"
QUICK_S = 20.0  # of a restart of one worker, on a machine that others use too


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("machine"), forks) as running:
        yield running


@pytest.fixture
def recovered(fleet: Fleet, record_property: Callable[[str, object], None]) -> Callable[[str], float]:
    """Waits until all slots work again, and notes how long that took."""

    def wait(fault: str, since: float | None = None) -> float:
        began = monotonic() if since is None else since
        fleet.until_full_speed()
        record_property("recovered", [fault, round(monotonic() - began, 1)])
        return monotonic() - began

    return wait


def test_install_starts_four_workers_which_migrate_first_and_are_ready_after_a_claim(
    fleet: Fleet, recovered: Callable[..., float]
) -> None:
    began = monotonic()
    fleet.machine.run("blogworker", "systemd", "install", "--workers", str(WORKERS), "--now")
    until(lambda: all(map(fleet.machine.is_active, fleet.units)), within_s=WITHIN_S, of=fleet.machine.told)

    assert fleet.machine.is_active("blogworker-migrate.service")
    assert set(fleet.held()) == {f"machine/{number}" for number in range(1, WORKERS + 1)}
    recovered("cold start of four workers and the schema", began)
    assert f"of {SLOTS} slots in use" in fleet.machine.show(fleet.unit(1), "StatusText")
    assert "nothing to change" in fleet.machine.said("blogworker", "systemd", "install", "--workers", str(WORKERS))


def test_the_jobs_of_a_killed_worker_run_again_within_seconds(fleet: Fleet, recovered: Callable[..., float]) -> None:
    fleet.until_full_speed()
    before, jobs, began = fleet.restarts(), fleet.running(1), monotonic()
    fleet.kill(1, signal.SIGKILL)

    until(lambda: fleet.run_again(jobs), within_s=WITHIN_S, of=fleet.machine.told)
    assert recovered("kill -9 of one: its jobs run again", began) < QUICK_S
    assert len(jobs) >= SLOTS - 1
    assert fleet.restarts()[1:] == before[1:]


def test_the_watchdog_restarts_a_worker_that_hangs(fleet: Fleet, recovered: Callable[..., float]) -> None:
    fleet.until_full_speed()
    before, worker, began = fleet.restarts(), fleet.incarnations()["machine/2"], monotonic()
    fleet.kill(2, signal.SIGSTOP)

    until(lambda: fleet.restarts()[1] == before[1] + 1, within_s=WITHIN_S, of=fleet.machine.told)
    until(lambda: fleet.incarnations()["machine/2"] != worker, within_s=WITHIN_S, of=fleet.machine.told)
    assert recovered(f"SIGSTOP of one (WatchdogSec={WATCHDOG_S})", began) < QUICK_S + WATCHDOG_S


def test_an_outage_of_the_database_that_outlasts_the_leases_restarts_nothing(
    fleet: Fleet, recovered: Callable[..., float]
) -> None:
    """Also not at the moment of a new lease. The status says what the worker waits for."""
    fleet.until_full_speed()
    before = fleet.restarts()
    fleet.postgres.stop()
    status = lambda: fleet.machine.show(fleet.unit(3), "StatusText")  # noqa: E731
    until(lambda: "waiting for a new lease" in status() and "unavailable for" in status(), within_s=WITHIN_S, of=status)
    outlasted_at = monotonic() + WATCHDOG_S + 1
    until(lambda: monotonic() > outlasted_at, within_s=WITHIN_S)
    fleet.postgres.start()

    recovered("Postgres away for longer than lease and watchdog", monotonic())
    assert fleet.restarts() == before


def test_a_reload_changes_slots_and_keys_and_ends_no_job(fleet: Fleet, recovered: Callable[..., float]) -> None:
    fleet.until_full_speed()
    pids, began = [fleet.machine.main_pid(unit) for unit in fleet.units], monotonic()
    fleet.change(BLOGWORKER_CONCURRENCY=str(SLOTS + 1), BLOGWORKER_LEASE=str(LEASE_S + 1))
    fleet.machine.write("/etc/credstore/blogworker.openai_api_key", NEW_KEY)
    fleet.vendors.set("options", openai_key="")  # both keys are good while they are exchanged
    fleet.machine.run("systemctl", "reload", "blogworker@*.service")
    recovered("systemctl reload of all", began)
    with fleet.queue() as queue:
        assert queue.value("select min(concurrency) from workers where name not like '%/suspects'") == SLOTS + 1
    before = [job for number in range(1, WORKERS + 1) for job in fleet.running(number)]
    until(lambda: fleet.have_ended(before), within_s=WITHIN_S, of=fleet.machine.told)
    fleet.vendors.set("options", openai_key=NEW_KEY)

    (entry,) = fleet.events("settings_reloaded", f"_SYSTEMD_UNIT={fleet.unit(4)}")
    assert '"OPENAI_API_KEY": "replaced"' in entry["BLOGWORKER_CHANGED"]
    assert f'"BLOGWORKER_CONCURRENCY": "{SLOTS} -> {SLOTS + 1}"' in entry["BLOGWORKER_CHANGED"]
    assert "BLOGWORKER_LEASE" in entry["BLOGWORKER_NEEDS_RESTART"]
    until(lambda: fleet.top_up() or max(fleet.held().values()) > SLOTS, within_s=WITHIN_S, of=fleet.machine.told)
    assert [fleet.machine.main_pid(unit) for unit in fleet.units] == pids

    fleet.change(BLOGWORKER_CONCURRENCY="many")
    failed = fleet.machine.run("systemctl", "reload", fleet.unit(4), check=False)
    assert failed.returncode != 0
    (entry,) = fleet.events("reload_failed", f"_SYSTEMD_UNIT={fleet.unit(4)}")
    assert "BLOGWORKER_CONCURRENCY" in entry["BLOGWORKER_ERROR"]
    assert fleet.machine.is_active(fleet.unit(4))
    assert fleet.events("breaker_opened") == []  # no call was made with the old key
    fleet.change(BLOGWORKER_CONCURRENCY=str(SLOTS), BLOGWORKER_LEASE=str(LEASE_S))


def scale(fleet: Fleet, workers: int) -> None:
    """Let the unit of the autoscaler bring the machine to this number of workers."""
    command = f"/opt/blogworker/bin/blogworker autoscale --min {workers} --max {workers} --apply"
    text = f"[Service]\nExecStart=\nExecStart={command}\n"
    fleet.machine.write("/etc/systemd/system/blogworker-autoscale.service.d/t.conf", text)
    fleet.machine.run("systemctl", "daemon-reload")
    fleet.machine.run("systemctl", "start", "blogworker-autoscale.service")


def test_the_other_units_work_in_their_sandbox(fleet: Fleet) -> None:
    """HTTP on the socket of systemd, also while the service restarts; prune; and an autoscaler without capabilities."""
    machine, port, fifth = fleet.machine, free_port(), fleet.unit(WORKERS + 1)
    listens = f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n"
    machine.write("/etc/systemd/system/blogworker-serve.socket.d/t.conf", listens)
    scale(fleet, WORKERS + 1)

    machine.run("systemctl", "start", "blogworker-serve.socket", "blogworker-serve.service")
    machine.run("systemctl", "restart", "--no-block", "blogworker-serve.service")
    assert httpx2.get(f"http://127.0.0.1:{port}/healthz", timeout=WITHIN_S).status_code == 200
    machine.run("systemctl", "start", "blogworker-prune.service")
    assert machine.show("blogworker-prune.service", "Result") == "success"
    machine.run("systemctl", "stop", "blogworker-serve.socket", "blogworker-serve.service")

    until(lambda: machine.is_active(fifth), within_s=WITHIN_S, of=machine.told)
    scale(fleet, WORKERS)
    until(lambda: machine.show(fifth, "ActiveState") == "inactive", within_s=WITHIN_S, of=machine.told)
    assert all(map(machine.is_active, fleet.units))


def test_a_rolling_restart_under_load_waits_for_each_worker(fleet: Fleet, recovered: Callable[..., float]) -> None:
    """A drain takes longer than TimeoutStopSec, so it asks for more time, and running jobs end."""
    fleet.until_full_speed()
    began, released = monotonic(), len(fleet.events("job_settled", "BLOGWORKER_OUTCOME=release"))
    for numbers in ([1], [2], [3, 4]):
        fleet.machine.run("systemctl", "restart", *map(fleet.unit, numbers))
        assert {f"machine/{number}" for number in numbers} <= set(fleet.held())
        fleet.top_up()

    recovered("rolling restart of four", began)
    assert fleet.events("drain_interrupted") == []
    assert len(fleet.events("job_settled", "BLOGWORKER_OUTCOME=release")) == released, "by leases that ended before"


def test_a_drain_of_long_jobs_outlasts_the_stop_timeout(fleet: Fleet, recovered: Callable[..., float]) -> None:
    fleet.until_full_speed()
    for site in fleet.sites:
        fleet.vendors.set("faults", kind="latency", operation="drafts.create", site=site, delay_s=STOP_S + 1.5)
    with fleet.queue() as queue:
        drafting = lambda: queue.count("status = 'PROCESSING' and stage = 'publish'")  # noqa: E731
        until(lambda: drafting() >= WORKERS, within_s=WITHIN_S, of=queue.told)
    began = monotonic()
    fleet.machine.run("systemctl", "stop", "blogworker.target")

    assert monotonic() - began > STOP_S
    assert [fleet.machine.show(unit, "Result") for unit in fleet.units] == ["success"] * WORKERS
    with fleet.queue() as queue:
        assert queue.count("status = 'PROCESSING'") == 0
        assert queue.value("select count(*) from workers") == 0
    fleet.vendors.forgive()
    began = monotonic()
    fleet.machine.run("systemctl", "start", "blogworker.target")
    recovered("systemctl start after a stop", began)


def test_the_journal_can_be_searched_by_field_and_priority_and_contains_no_secret(fleet: Fleet) -> None:
    killed = fleet.events("worker_started", f"_SYSTEMD_UNIT={fleet.unit(1)}")
    # A killed worker's jobs may be suspects, which its unit runs in a process of their own.
    assert {"machine/1"} <= {entry["BLOGWORKER_WORKER"] for entry in killed} <= {"machine/1", "machine/1/suspects"}
    assert len(killed) >= 3

    (lost, *_) = fleet.events("database_lost", "PRIORITY=4")
    job = fleet.events("job_settled", "PRIORITY=6")[0]
    assert fleet.machine.entries(f"BLOGWORKER_JOB_ID={job['BLOGWORKER_JOB_ID']}")
    assert lost["SYSLOG_IDENTIFIER"] == "blogworker"
    everything = fleet.machine.said("journalctl", "--no-pager", "-o", "export")
    for secret in (OPENAI_KEY, NEW_KEY, REPLICATE_TOKEN, fleet.url):
        assert secret not in everything


def test_every_job_is_published_once_and_uninstall_leaves_only_what_is_the_operators(fleet: Fleet) -> None:
    with fleet.queue() as queue:
        until(queue.queue_is_empty, within_s=2 * WITHIN_S, of=queue.told)
        assert queue.count("true") == fleet.added
        assert queue.count("failures > 0") == 0, queue.told()
    assert fleet.vendors.duplicates(*fleet.sites) == []
    assert len(fleet.vendors.posts(*fleet.sites)) == fleet.added

    fleet.machine.run("blogworker", "systemd", "uninstall")

    assert not any(map(fleet.machine.is_active, fleet.units))
    left = fleet.machine.said("find", "/etc", "/run/systemd", "-name", "*blogworker*").splitlines()
    assert sorted(left) == [
        "/etc/blogworker",
        "/etc/blogworker/blogworker.env",
        "/etc/credstore.encrypted/blogworker.replicate_api_token.cred",
        "/etc/credstore/blogworker.openai_api_key",
        "/etc/systemd/system/blogworker-autoscale.service.d",
        "/etc/systemd/system/blogworker-serve.socket.d",
        "/etc/systemd/system/blogworker@.service.d",
    ]
