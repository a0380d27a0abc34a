"""A machine that a test boots: a real systemd as PID 1, with this checkout installed in /opt/blogworker."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg

from tests.e2e.conftest import until

ROOT = Path(__file__).parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
SETTINGS = "/etc/blogworker/blogworker.env"
BOOT_S = 20.0
COMMAND_S = 60.0


def reason_not_to_boot() -> str | None:
    """Why no machine can be booted here; None: it can."""
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if os.geteuid() != 0:
        return "only root can make the namespaces of a machine"
    missing = [name for name in ("unshare", "nsenter", "pivot_root", "journalctl") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    tried = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount", "--ipc", "--uts", "--cgroup", "bash", "-c", TRIAL],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()[-200:]}"


# What the script needs of the kernel, without booting.
TRIAL = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/{upper,work,root,groups}
mount -t overlay overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work /run/root
mount -t cgroup2 cgroup2 /run/groups
"""


class Machine:
    """A booted machine. Commands run in it as root."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--pid", "--mount", "--ipc", "--uts", "--cgroup", "--wd=/"]

    def run(self, *command: str, given: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [*self._inside, *command],
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=COMMAND_S,
            env={"PATH": "/opt/blogworker/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "COLUMNS": "200"},
        )
        assert not check or ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}\n{self.told()}"
        return ran

    def said(self, *command: str, **options: Any) -> str:
        return self.run(*command, **options).stdout.strip()

    def write(self, path: str, text: str, *, mode: str = "600") -> None:
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, given=text)

    def settings(self, values: Mapping[str, str]) -> None:
        self.write(SETTINGS, "".join(f"{name}={value}\n" for name, value in values.items()))

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.said("systemctl", "show", "--value", "--property", name, unit)

    def is_active(self, unit: str) -> bool:
        return self.run("systemctl", "is-active", "--quiet", unit, check=False).returncode == 0

    def main_pid(self, unit: str) -> int:
        """As processes of the machine see it."""
        return int(self.show(unit, "MainPID"))

    def entries(self, *matches: str) -> list[dict[str, Any]]:
        """Entries of the journal."""
        lines = self.said("journalctl", "--no-pager", "--output=json", *matches).splitlines()
        return [json.loads(line) for line in lines]

    def told(self) -> str:
        """What a failed test shows."""
        journal = subprocess.run(
            [*self._inside, "journalctl", "--no-pager", "-n", "60", "-o", "cat"],
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )
        return journal.stdout[-8_000:]


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a machine, and end it with everything in it."""
    with (folder / "boot.log").open("wb") as log:
        process = subprocess.Popen(
            [Path(__file__).with_name("boot.sh"), sys.base_prefix, sysconfig.get_path("purelib"), ROOT],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        pid = until(lambda: _first_process(process.pid), within_s=BOOT_S, of=(folder / "boot.log").read_text)
        machine = Machine(pid)
        until(lambda: _is_up(machine), within_s=BOOT_S, of=(folder / "boot.log").read_text)
        yield machine
    finally:
        if (pid := _first_process(process.pid)) is not None:
            os.kill(pid, signal.SIGKILL)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _first_process(script: int) -> int | None:
    """The machine's PID 1, once it is systemd: the descendant of the script that is number 1 in its own namespace."""
    for child in _children(script):
        try:
            status = Path(f"/proc/{child}/status").read_text(encoding="utf-8")
            name = Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip()
        except OSError:
            continue
        numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        if len(numbers) > 1 and numbers[-1] == "1":
            return child if name == "systemd" else None
        if (found := _first_process(child)) is not None:
            return found
    return None


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_up(machine: Machine) -> bool:
    state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
    return state in ("running", "degraded")


def timed(fact: Any, *, within_s: float, of: Any) -> float:
    """How long it takes until something is true, in seconds."""
    began = monotonic()
    until(fact, within_s=within_s, of=of)
    return monotonic() - began


__all__ = ["Machine", "booted", "psycopg", "reason_not_to_boot", "sleep", "timed"]
