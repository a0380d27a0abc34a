"""CPU time of processes, from /proc. Linux only."""

import os
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
# Positions in /proc/PID/stat after the name, which is in brackets and may contain anything. See proc_pid_stat(5).
PARENT, OWN, REAPED = 1, (11, 12), (13, 14)


def used_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds of these processes so far, without those that have exited."""
    return sum(_seconds(fields, OWN) for pid in pids if (fields := _fields(pid)))


def server_s(backend_pid: int) -> float:
    """Return the CPU seconds of the whole Postgres server of a backend, with the backends that have exited."""
    postmaster = int(_fields(backend_pid)[PARENT])
    processes = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    children = [pid for pid in processes if (fields := _fields(pid)) and int(fields[PARENT]) == postmaster]
    return used_s([postmaster, *children]) + _seconds(_fields(postmaster), REAPED)


def machine_s() -> float:
    """Return the CPU seconds of all processes since the machine was booted."""
    user, nice, system = (PROC / "stat").read_text().split(maxsplit=4)[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS_PER_S


def _seconds(fields: list[str], positions: tuple[int, ...]) -> float:
    return sum(int(fields[position]) for position in positions) / TICKS_PER_S


def _fields(pid: int) -> list[str]:
    """Return an empty list if there is no such process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
