"""Memory of processes, from /proc. Linux only."""

from pathlib import Path

from blogworker.errors import BlogworkerError

KB_PER_MB = 1024


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process now. Raises BlogworkerError if it has exited."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """Return the most resident memory that a process has had. Raises BlogworkerError if it has exited."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, key: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        values = {name: value for name, _, value in (line.partition(":") for line in lines)}
        return int(values[key].split()[0]) / KB_PER_MB
    except (FileNotFoundError, ProcessLookupError, KeyError):  # a zombie has a status without memory
        raise BlogworkerError(f"the process {pid} has exited") from None
