"""The worker units of this machine: the only module that starts and stops them.

`blogworker@N.service` is worker N. A stop drains it, see systemd/README.md. Nothing here waits for systemd.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace

from blogworker.errors import BlogworkerError

TARGET = "blogworker.target"
UNIT = re.compile(r"blogworker@([1-9]\d{0,5})\.service")
LIMIT_S = 20.0
RUNNING = ("active", "activating", "reloading")


@dataclass(frozen=True, slots=True)
class Units:
    """The numbers of the workers by state. `wanted`: whether the target of all workers runs."""

    wanted: bool
    running: tuple[int, ...] = ()
    stopping: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()

    def without(self, quiet: Set[int]) -> "Units":
        """Return the units, with quiet ones among those that stop: they are not counted, and not stopped again."""
        claiming = tuple(number for number in self.running if number not in quiet)
        return replace(self, running=claiming, stopping=(*self.stopping, *sorted(quiet)))


@dataclass(frozen=True, slots=True)
class Change:
    """The workers to start and to stop."""

    start: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()


def change_to(target: int, units: Units) -> Change:
    """Return what to start and stop to reach this number: the lowest free numbers start, the highest stop. A worker
    that still drains, or has failed, keeps its number."""
    running = sorted(units.running)
    taken = {*units.running, *units.stopping, *units.failed}
    free = (number for number in range(1, target + len(taken) + 1) if number not in taken)
    start = tuple(number for number, _ in zip(free, range(target - len(running)), strict=False))
    return Change(start=start, stop=tuple(reversed(running[target:])))


def list_units() -> Units:
    """Return the state of the units. Raises BlogworkerError if systemd does not answer."""
    states = dict(
        line.split()[:4:2]
        for line in _systemctl(
            "list-units", "--all", "--plain", "--no-legend", "--no-pager", "blogworker@*.service", TARGET
        )
        if len(line.split()) >= 4
    )
    numbers: dict[str, list[int]] = {}
    for name, state in states.items():
        if match := UNIT.fullmatch(name):
            numbers.setdefault(state, []).append(int(match[1]))
    return Units(
        wanted=states.get(TARGET) in RUNNING,
        running=tuple(sorted(number for state in RUNNING for number in numbers.get(state, ()))),
        stopping=tuple(sorted(numbers.get("deactivating", ()))),
        failed=tuple(sorted(numbers.get("failed", ()))),
    )


def apply(change: Change) -> None:
    """Start and stop units. Raises BlogworkerError if systemd refuses."""
    for verb, numbers in (("start", change.start), ("stop", change.stop)):
        if numbers:
            _systemctl(verb, "--no-block", *_names(numbers))


def _names(numbers: Iterable[int]) -> list[str]:
    return [f"blogworker@{number}.service" for number in numbers]


def _systemctl(*words: str) -> list[str]:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise BlogworkerError("systemctl is not installed: --apply needs systemd; elsewhere use the number of --json")
    try:
        ran = subprocess.run([systemctl, *words], capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BlogworkerError(f"systemctl does not answer: {error}") from error
    if ran.returncode != 0:
        complaint = (ran.stderr.strip() or f"exit code {ran.returncode}").splitlines()[0]
        raise BlogworkerError(f"systemctl {words[0]}: {complaint}")
    return ran.stdout.splitlines()
