"""What a calling process is told, and what it tells."""

from dataclasses import dataclass

OURS, SEED = "ours", "seed"


@dataclass(frozen=True, slots=True)
class Order:
    """What one process is to do."""

    limiter: str
    dsn: str
    base_url: str
    model: str
    number: int  # of the process, so that no two write about the same things
    blogs: int
    slots: int
    requests_per_minute: int
    tokens_per_minute: int
    burst_s: float
    minute_s: float  # of the vendor, in real time
    ideas_tokens: int
    content_tokens: int


@dataclass(slots=True)
class Report:
    """What it came to."""

    calls: int = 0
    refused: int = 0  # by the vendor
    parked: int = 0  # by ourselves: the wait would have been long
    lost: int = 0  # calls that failed otherwise
    cpu_s: float = 0.0
    statements: int = 0
