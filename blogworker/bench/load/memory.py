"""Memory of processes, from /proc. Linux only."""

from pathlib import Path

KB_PER_MB = 1024


def resident_mb(pid: int) -> float | None:
    """Return the resident memory of a process now. None: it has exited."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float | None:
    """Return the most resident memory that a process has had so far. None: it has exited."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, key: str) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    values = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return int(values[key].split()[0]) / KB_PER_MB if key in values else None  # a zombie has no memory
