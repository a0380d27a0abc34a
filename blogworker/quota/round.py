"""What a round of a bucket client carries to the database: requests of callers, refunds, and reports of usage."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from anyio import current_time

from blogworker.quota.bucket import Reservation


@dataclass(slots=True, eq=False)
class Request:
    """One caller's request for quota and, after a round, the answer to it."""

    tokens: int
    turn: float  # of the caller's site in the round robin; the lowest turn is served first
    asked_at: float = field(default_factory=current_time)  # unchanged when the caller asks again
    spares: int = 0  # calls that may follow it at once
    call_id: UUID = field(default_factory=uuid4)  # a new one each time the caller asks again
    answered: bool = False
    abandoned: bool = False
    in_line: bool = False  # the database knows the request and has not granted it yet
    reservation: Reservation | None = None  # None after the answer: refused
    refused_s: float = 0.0  # the wait that was too long, when refused


@dataclass(frozen=True, slots=True)
class UsageReport:
    """A correction to the usage statistics of the last minute."""

    at: float  # when the call started, by this process's monotonic clock
    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Unused:
    """The tokens that a call reserved and did not use."""

    tokens: int  # negative: the call used more than its estimate
    token_s: float  # how far each token moved the clock


@dataclass(slots=True, eq=False)
class Refund:
    """What the next round gives back and reports."""

    unused: list[Unused] = field(default_factory=list)
    requests_s: float = 0.0  # of calls that the provider never received
    tokens_s: float = 0.0  # of calls that have not started
    reports: list[UsageReport] = field(default_factory=list)
    caller_left: bool = False  # a caller has left the line; a round without its call_id informs the database

    def __bool__(self) -> bool:
        return self.caller_left or bool(self.reports or self.unused) or any((self.requests_s, self.tokens_s))
