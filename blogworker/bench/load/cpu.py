"""What processes have used of the CPU, from /proc: Linux only."""

import os
from collections.abc import Iterable
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
# Positions in /proc/PID/stat after the name, which is in brackets and may hold anything. See proc_pid_stat(5).
PARENT, OWN, REAPED = 1, (11, 12), (13, 14)


def used_s(pids: Iterable[int]) -> float:
    """CPU seconds of these processes so far; those that have exited count nothing."""
    return sum(_seconds(fields, OWN) for pid in pids if (fields := _fields(pid)))


def server_s(backend_pid: int) -> float:
    """CPU seconds of the whole Postgres server that this backend belongs to, with the backends that have exited."""
    postmaster = int(_fields(backend_pid)[PARENT])
    processes = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    children = [pid for pid in processes if (fields := _fields(pid)) and int(fields[PARENT]) == postmaster]
    return used_s([postmaster, *children]) + _seconds(_fields(postmaster), REAPED)


def machine_s() -> float:
    """CPU seconds of everything that runs here since it was booted."""
    user, nice, system = (PROC / "stat").read_text().split(maxsplit=4)[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS_A_SECOND


def _seconds(fields: list[str], places: tuple[int, ...]) -> float:
    return sum(int(fields[place]) for place in places) / TICKS_A_SECOND


def _fields(pid: int) -> list[str]:
    """Empty when there is no such process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
