"""What a caller process gets as its argument, and what it prints at the end. Both are JSON."""

from dataclasses import dataclass

OURS, SEED = "ours", "seed"


@dataclass(frozen=True, slots=True)
class CallerConfig:
    limiter: str  # OURS or SEED
    dsn: str
    base_url: str
    model: str
    number: int  # of the process, so that no two processes have the same topics
    jobs: int
    slots: int
    requests_per_minute: int
    tokens_per_minute: int
    burst_s: float
    minute_s: float  # a minute of the provider's clock in real seconds
    ideas_tokens: int
    content_tokens: int


@dataclass(slots=True)
class CallerReport:
    calls: int = 0
    refused: int = 0  # by the provider
    parked: int = 0  # by the limiter, because the wait would have been too long
    lost: int = 0  # calls that failed in another way
    cpu_s: float = 0.0
    statements: int = 0
