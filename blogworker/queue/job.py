"""A job, the claim on it, and the ways an attempt can end.

Every outcome has one database move: `move` in `settle.py` names it, `sql/queries/queue/settle.sql` makes it.
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
    """One attempt at one job, ours while our worker's lease is extended."""

    job_id: int
    instance_id: str
    attempt: int  # fencing token: a write with an older attempt writes nothing; never goes down
    failures: int  # attempts that counted against max_attempts, before this one
    max_attempts: int
    stage: Stage  # the first one without a checkpoint
    source_type: str
    source_id: str | None
    source_data: dict[str, Any]
    site: dict[str, Any]  # the site's settings: language, tone, member_id ...
    created_at: datetime
    publish_in_s: float | None  # seconds until the post may be published, by the database clock at the claim
    publish_mode: str | None = None  # the blog's own; None: as the site's settings say
    turn: float = 0.0  # where its site stood in the round robin: its calls wait for a quota in this order
    known_at: float = field(default_factory=monotonic, compare=False)  # when that was so, by this process's clock
    unreadable: str | None = (
        None  # why nothing can be made of the row, and what to do; then what was unreadable is empty
    )
    site_unreadable: str | None = None  # the same of its site's settings

    @property
    def publish_left_s(self) -> float:
        """Seconds from now until the post may be published; 0 where it may."""
        return max(0.0, (self.publish_in_s or 0.0) - (monotonic() - self.known_at))


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, as stored in `generation_errors`."""

    stage: str
    kind: str  # the error's class
    message: str
    provider: str | None = None
    status: int | None = None
    code: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The post is stored and, where the site can be reached, published."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A transient failure: PENDING again after `delay_s`, one attempt used; FAILED once all are used."""

    failure: Failure
    delay_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: PENDING, no attempt used. It rests for `delay_s`, or keeps its place in line where that is 0: it is
    claimed again when its quota allows. `failure` says why, where it was an error."""

    delay_s: float
    reason: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class PutOff:
    """Made ahead, as its owner asked: SCHEDULED until its time to be published, in `delay_s`."""

    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Refused for good: FAILED at once, with a message a person can act on."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class PauseSite:
    """The site, not the job, is at fault: the site is paused, the job stays PENDING, no attempt spent."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class OverBudget:
    """What the job may cost is not in a budget: PENDING again, nothing spent. The site is paused, or all are shut."""

    reason: str
    everywhere: bool  # it is the total budget


@dataclass(frozen=True, slots=True)
class Release:
    """Released unfinished, at shutdown: PENDING at once, no attempt used."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """A person asked for the running job to be stopped."""


Outcome = Done | Retry | Wait | PutOff | Reject | PauseSite | OverBudget | Release | Cancel
