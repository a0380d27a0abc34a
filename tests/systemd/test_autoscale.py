"""Autoscale under a real systemd: a real backlog starts workers, and once it is drained they are stopped."""

from collections.abc import Iterator

import pytest

from blogworker.ops.scale import WINDOW_S
from tests.e2e.conftest import until
from tests.forks import Forks

from .fleet import WITHIN_S, Fleet, running_fleet
from .machine import reason_not_to_boot

REASON = reason_not_to_boot()
pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(600),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
MOST = 5
BACKLOG = 150
SCALER = "blogworker-autoscale.service"
COMMAND = f"/opt/blogworker/bin/blogworker autoscale --min 1 --max {MOST} --apply"
DRAINED_S = 300.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Fleet]:
    """A machine with one worker of one slot, and the unit of the autoscaler."""
    with running_fleet(tmp_path_factory.mktemp("machine"), forks) as running:
        running.change(BLOGWORKER_CONCURRENCY="1")
        running.machine.run("blogworker", "systemd", "install", "--workers", "1", "--now")
        text = f"[Service]\nExecStart=\nExecStart={COMMAND}\n"
        running.machine.write(f"/etc/systemd/system/{SCALER}.d/test.conf", text)
        running.machine.run("systemctl", "daemon-reload")
        yield running


def decide(fleet: Fleet) -> str:
    """Let the unit decide once. Its line in the journal."""
    fleet.machine.run("systemctl", "start", SCALER)
    return str(fleet.machine.entries("--unit", SCALER, "_COMM=python3", "--lines=1")[-1]["MESSAGE"])


def decide_quietly(fleet: Fleet) -> str:
    """Decide as if nothing had arrived lately. It may, if a worker has just recorded another minute of the history."""
    with fleet.queue() as queue:
        queue.run("truncate history, history_stages")
    return decide(fleet)


def decide_later(fleet: Fleet) -> str:
    """The same as if nine minutes had passed."""
    with fleet.queue() as queue:
        queue.run("update scalings set at = at - make_interval(secs => %s)", WINDOW_S - 60)  # the oldest of the window
        queue.run("delete from scalings where wanted > 1")
    return decide_quietly(fleet)


def active(fleet: Fleet) -> list[int]:
    return [number for number in range(1, MOST + 2) if fleet.machine.is_active(fleet.unit(number))]


def test_a_backlog_starts_workers_and_a_drained_queue_stops_them(fleet: Fleet) -> None:
    machine = fleet.machine
    until(lambda: active(fleet) == [1], within_s=WITHIN_S, of=machine.told)
    assert decide(fleet) == "1 worker (as now): no job waits for a slot; at least 1 must run"
    assert active(fleet) == [1]

    # Slow texts, so that the average of a job stays what a new worker assumes.
    fleet.vendors.set("faults", kind="latency", vendor="openai", delay_s=10.0)
    with fleet.queue() as queue:
        for n in range(BACKLOG):
            queue.add(fleet.sites[n % len(fleet.sites)], f"topic {n}")
    until(lambda: fleet.held() == {"machine/1": 1}, within_s=WITHIN_S, of=machine.told)

    assert decide(fleet).endswith(f"1 of 1 slots are busy; started {', '.join(map(str, range(2, MOST + 1)))}")
    until(
        lambda: fleet.held() == {f"machine/{number}": 1 for number in range(1, MOST + 1)},
        within_s=WITHIN_S,
        of=machine.told,
    )
    assert decide(fleet).startswith(f"{MOST} workers (as now): ")

    fleet.vendors.forgive()
    with fleet.queue() as queue:
        until(queue.queue_is_empty, within_s=DRAINED_S, of=queue.told)
    drained = f"{MOST} workers (as now): no job waits for a slot; down to 1 when the need has been low for 10 min"
    until(lambda: decide_quietly(fleet) == drained, within_s=WITHIN_S, of=machine.told)
    assert active(fleet) == list(range(1, MOST + 1))
    stopped = f"; stopped {', '.join(map(str, range(MOST, 1, -1)))}"
    until(lambda: decide_later(fleet).endswith(stopped), within_s=WITHIN_S, of=machine.told)
    until(lambda: active(fleet) == [1], within_s=WITHIN_S, of=machine.told)
    assert [machine.show(fleet.unit(number), "Result") for number in range(1, MOST + 1)] == ["success"] * MOST
    assert [int(machine.show(fleet.unit(number), "NRestarts")) for number in range(1, MOST + 1)] == [0] * MOST
    with fleet.queue() as queue:
        assert queue.count("failures > 0 or rescues > 0") == 0, queue.told()
    assert len(fleet.vendors.posts(*fleet.sites)) == BACKLOG
    assert fleet.vendors.duplicates(*fleet.sites) == []
