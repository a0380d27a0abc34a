"""A model of the queue in plain Python: what must be true of each job."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from blogworker.queue.job import Outcome
from blogworker.queue.rescue import MOST, MOST_LONE
from blogworker.queue.settle import move

STAGES = ("source", "ideas", "content", "image", "publish")
SUSPECT = 2  # rescues
ENDED = ("DONE", "FAILED", "CANCELLED")
WAITING = ("PENDING", "SCHEDULED")
FORGOTTEN = ("Rejected", "Refused", "Truncated")


@dataclass
class Job:
    """The expected state of a job."""

    id: int
    site: str
    status: str
    priority: int = 0
    max_attempts: int = 5
    key: str | None = None
    due: bool = True
    attempt: int = 0
    failures: int = 0
    rescues: int = 0
    lone_rescues: int = 0
    lost_in: int | None = None  # the round of rescues that requeued it last
    stage: str = "source"
    worker: UUID | None = None
    unwanted: bool = False
    last_error: str | None = None
    checkpoints: dict[str, int] = field(default_factory=dict)  # and the attempt that saved each

    def take(self, worker: UUID) -> None:
        self.status, self.worker, self.attempt = "PROCESSING", worker, self.attempt + 1

    def go(self, status: str) -> None:
        """Any other move, as the database is to make it."""
        if self.status == "PROCESSING" and self.unwanted and status in WAITING:
            status = "CANCELLED"
        if self.status in ENDED and status in WAITING:
            self.failures = self.rescues = self.lone_rescues = 0
            self.unwanted = False
            if self.last_error in FORGOTTEN and self.stage in {"ideas", "content", "image"}:
                self.checkpoints = {k: v for k, v in self.checkpoints.items() if not k.startswith(f"{self.stage}.")}
        unwritten = self.stage in {"ideas", "content"} and not any(k.startswith("content") for k in self.checkpoints)
        if status == "CANCELLED" and self.status != status and unwritten:  # it releases its title
            self.checkpoints.pop("ideas", None)
            self.stage = "ideas"
        if status == "PENDING" and self.status != "PROCESSING":
            self.due = True  # requested now; only an attempt that ended may rest first
        self.status, self.worker = status, None

    def settle(self, outcome: Outcome) -> None:
        made = move(outcome)
        self.failures += made.spent
        self.due = made.delay_s == 0
        self.go("FAILED" if made.spent and self.failures >= self.max_attempts else made.status)
        if made.failure:
            self.last_error = made.failure.kind

    def rescue(self, *, alone: bool, explained: bool) -> None:
        self.rescues += 1
        self.lone_rescues += alone and not explained
        self.due = not alone or self.rescues < SUSPECT
        guilty = alone and (self.lone_rescues >= MOST_LONE or self.rescues >= MOST)
        self.go("FAILED" if guilty else "PENDING")
        self.last_error = "LeaseLost"

    @property
    def line(self) -> int | None:
        """Its place among the jobs of its site; -1: a suspect; None: it cannot be claimed now."""
        if self.status != "PENDING" or not self.due:
            return None
        return STAGES.index(self.stage) if self.rescues < SUSPECT else -1

    @property
    def in_line(self) -> bool:
        return self.line is not None and self.line >= 0

    @property
    def order(self) -> tuple[int, int, int]:
        """Started jobs go before new ones, later stages first."""
        assert self.line is not None
        return -self.line, -self.priority, self.id

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "site": self.site,
            "status": self.status,
            "attempt": self.attempt,
            "failures": self.failures,
            "rescues": self.rescues,
            "lone_rescues": self.lone_rescues,
            "stage": self.stage,
            "worker": self.worker,
            "priority": self.priority,
            "unwanted": self.unwanted,
            "ended": self.status in ENDED,
            "max_attempts": self.max_attempts,
            "claimed": self.attempt > 0,
            "due": self.due,
            "line": self.line,
        }


@dataclass
class Site:
    cap: int | None = None
    weight: float = 1.0
    paused: bool = False
    virtual_time: float = 0.0
