"""systemd: the units are accepted by systemd itself, and sd_notify speaks its protocol."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest

from blogworker.daemon.report import AFTER_DRAIN_S, INTERVAL_S
from blogworker.telemetry.systemd import notify, watchdog_interval_s

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = sorted(
    path for path in FOLDER.glob("blogworker*") if path.suffix[1:] in ("service", "socket", "target", "timer")
)
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
WORKER = next(unit for unit in UNITS if unit.name == "blogworker@.service")
MOST_EXPOSED = 1.5
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def value(unit: Path, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    return found


def seconds(span: str) -> float:
    """A time span as the units write it: bare seconds."""
    return float(span)


def startable(unit: Path) -> str:
    """The text of a unit whose programs exist on every machine."""
    return re.sub(r"^(Exec\w+=).*$", r"\1/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)


@needs_systemd
def test_systemd_accepts_the_units(tmp_path):
    """A key it does not know is only warned about, and then does not protect."""
    for unit in UNITS:
        for name in (unit.name, unit.name.replace("@.", "@1.")):
            (tmp_path / name).write_text(startable(unit), encoding="utf-8")

    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(tmp_path / unit.name.replace("@.", "@1.") for unit in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )

    about_ours = [line for line in ran.stderr.splitlines() if "blogworker" in line or str(tmp_path) in line]
    assert (ran.returncode, about_ours) == (0, [])


@needs_systemd
def test_systemd_reports_low_exposure_of_each_service(tmp_path):
    """Apart from what a worker needs: the network, and the files that it runs from."""
    paths = [tmp_path / unit.name.replace("@.", "@1.") for unit in SERVICES]
    for unit, path in zip(SERVICES, paths, strict=True):
        path.write_text(startable(unit), encoding="utf-8")

    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    exposures = dict(re.findall(r"Overall exposure level for (\S+): ([0-9.]+)", ran.stdout))
    assert set(exposures) == {path.name for path in paths}
    assert {name: level for name, level in exposures.items() if float(level) > MOST_EXPOSED} == {}


def test_every_service_runs_in_the_same_sandbox():
    """A line that one of them lacks is a hole that nobody looks for."""

    def sandbox(unit: Path) -> str:
        text = unit.read_text(encoding="utf-8")
        return text[text.index("# A core dump") : text.index("UMask=")]

    assert {unit.name for unit in SERVICES if sandbox(unit) != sandbox(WORKER)} == set()


def test_a_refused_system_call_fails_and_kills_nothing():
    """An allocator asked for mbind, and each worker died of SIGSYS after some seconds."""
    assert {value(unit, "SystemCallErrorNumber") for unit in SERVICES} == {"EPERM"}


def test_only_the_service_that_starts_and_stops_workers_runs_as_root():
    users = {unit.name: value(unit, "User") for unit in SERVICES}

    assert users.pop("blogworker-autoscale.service") == "root"
    assert set(users.values()) == {"blogworker"}


def test_a_reload_reads_the_same_settings_and_credentials_as_a_start():
    """Otherwise a reload would change what the next start changes back."""

    def sources(unit: Path) -> list[str]:
        lines = unit.read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith(("EnvironmentFile=", "Environment=", "LoadCredential"))]

    assert sources(FOLDER / "blogworker-reload@.service") == sources(WORKER)


@pytest.mark.parametrize("key", ["MemoryMax", "PrivateUsers", "PrivateMounts", "DevicePolicy", "LimitCORE"])
def test_the_unit_limits_memory_and_core_dumps(key):
    """A memory leak kills one worker only; a core dump would contain keys. `security` does not check all of these."""
    assert value(WORKER, key) in {"2G", "yes", "closed", "0"}


def test_stopping_the_target_waits_until_the_workers_have_drained():
    """Units stop in the reverse order of starting: without the order the target stops at once."""
    assert value(WORKER, "PartOf") == "blogworker.target"
    orders = re.findall(r"^After=(.*)$", WORKER.read_text(encoding="utf-8"), re.MULTILINE)
    assert "blogworker.target" in " ".join(orders).split()


def test_the_worker_notifies_when_it_is_ready():
    assert value(WORKER, "Type") == "notify"


def test_a_draining_worker_asks_for_time_before_systemd_gives_up():
    """However long the drain timeout is: otherwise KILL arrives while jobs are finished and released."""
    assert seconds(value(WORKER, "TimeoutStopSec")) >= INTERVAL_S + AFTER_DRAIN_S


def test_wrong_settings_do_not_restart_the_worker():
    """Exit 2 is for a person; a restart every two seconds would bury the message."""
    assert "2" in value(WORKER, "RestartPreventExitStatus").split()
    assert value(WORKER, "Restart") == "always"


def test_a_worker_keeps_its_name_over_restarts():
    """By its name it takes its own jobs back at once."""
    assert "Environment=BLOGWORKER_NAME=%H/%i" in WORKER.read_text(encoding="utf-8")


def test_only_the_worker_itself_gets_the_first_signal():
    """Its children would die in the middle of what it drains."""
    assert value(WORKER, "KillMode") == "mixed"


def receiver(address: str) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.settimeout(5)
    bound.bind(address)
    return bound


def test_notifications_are_one_datagram_of_lines(tmp_path, monkeypatch):
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with receiver(path) as systemd:
        notify("READY=1", "STATUS=50 slots")

        assert systemd.recv(4096) == b"READY=1\nSTATUS=50 slots"


def test_an_abstract_socket_is_reached(monkeypatch):
    """systemd writes its leading NUL as @; containers use these."""
    name = f"blogworker-test-{uuid4().hex}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with receiver(f"\0{name}") as systemd:
        notify("STOPPING=1")

        assert systemd.recv(4096) == b"STOPPING=1"


def test_a_missing_receiver_is_not_an_error(tmp_path, monkeypatch):
    """Work does not depend on being heard."""
    dead = tmp_path / "dead"
    receiver(str(dead)).close()

    for path in (str(dead), str(tmp_path / "never made"), "@nobody", "/" + "x" * 200, ""):
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("WATCHDOG=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("WATCHDOG=1")


def test_a_full_buffer_does_not_block(tmp_path, monkeypatch):
    """The event loop calls this: a full buffer must not stop every job."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with receiver(path):
        began = monotonic()
        for _ in range(2000):
            notify("WATCHDOG=1")

        assert monotonic() - began < 5


@pytest.mark.parametrize(
    ("usec", "pid", "interval_s"),
    [
        ("60000000", None, 30.0),
        pytest.param("60000000", str(os.getpid()), 30.0, id="ours"),
        ("60000000", "1", None),
        ("", None, None),
        (None, None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdog_is_notified_twice_per_interval(monkeypatch, usec, pid, interval_s):
    for name, given in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if given is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, given)

    assert watchdog_interval_s() == interval_s
