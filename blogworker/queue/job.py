"""Jobs, claims, and the outcomes of an attempt.

Each outcome is one change of the job's row: `move` in `settle.py` defines it, `sql/queries/queue/settle.sql` makes it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import Any


class Status(StrEnum):
    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Stage(StrEnum):
    """The steps of a job, in order."""

    SOURCE = "source"
    IDEAS = "ideas"
    CONTENT = "content"
    IMAGE = "image"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at one job, valid while our worker's lease is extended."""

    job_id: int
    instance_id: str
    attempt: int  # the fencing token: it only increases, and a write with an older attempt changes nothing
    failures: int  # earlier attempts that counted against max_attempts
    max_attempts: int
    stage: Stage  # the first one without a checkpoint
    source_type: str
    source_id: str | None
    source_data: dict[str, Any]
    site: dict[str, Any]  # the site's settings: language, tone, member_id ...
    created_at: datetime
    publish_in_s: float | None  # seconds until the post may be published, by the database clock at the claim
    publish_mode: str | None = None  # of this job; None: as in the site's settings
    turn: float = 0.0  # the virtual time of its site at the claim; calls that wait for quota start in this order
    known_at: float = field(
        default_factory=monotonic, compare=False
    )  # when publish_in_s was valid, by this process's clock
    unreadable: str | None = None  # why the row cannot be read, and what to do; unreadable fields are empty then
    site_unreadable: str | None = None  # the same for its site's settings

    @property
    def key(self) -> tuple[int, int]:
        """Return the job and the attempt, which no other claim has."""
        return self.job_id, self.attempt

    @property
    def names(self) -> dict[str, int | str]:
        """Return what identifies the attempt in log lines."""
        return {"job_id": self.job_id, "instance_id": self.instance_id, "attempt": self.attempt}

    @property
    def publish_left_s(self) -> float:
        """Return the seconds from now until the post may be published; 0 if it may be."""
        return max(0.0, (self.publish_in_s or 0.0) - (monotonic() - self.known_at))


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of an attempt, as stored in `generation_errors`."""

    stage: str
    kind: str  # the error's class
    message: str
    provider: str | None = None
    status: int | None = None
    code: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The post is stored, and published if the site can be reached."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A transient failure: PENDING again after `delay_s`, one attempt used. FAILED after the last attempt."""

    failure: Failure
    delay_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """The job cannot continue now: PENDING again, no attempt used.

    It rests for `delay_s`. With a delay of 0 it keeps its place in line, and is claimed again when its quota allows.
    `failure`: the error, if an error is the reason.
    """

    delay_s: float
    reason: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class PutOff:
    """The post was generated ahead of its publishing time: SCHEDULED for `delay_s`, until that time."""

    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A permanent failure: FAILED at once, with a message that a person can act on."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class PauseSite:
    """The site, not the job, is at fault: the site is paused, and the job is PENDING again, no attempt used."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A budget has no room for the job's cost: PENDING again, no attempt used. The site, or every site, is stopped."""

    reason: str
    everywhere: bool  # the total budget is used up, not the site's


@dataclass(frozen=True, slots=True)
class Release:
    """Stopped before its end, for example at shutdown: PENDING at once, no attempt used."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A person cancelled the running job."""


Outcome = Done | Retry | Wait | PutOff | Reject | PauseSite | OverBudget | Release | Cancel
