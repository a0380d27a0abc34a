"""The results of reading a row."""

from dataclasses import dataclass
from typing import Any

from blogworker.errors import Fault
from blogworker.queue.validation import NewJob


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that the queue accepts."""

    line: int
    job: NewJob


@dataclass(frozen=True, slots=True)
class Skipped:
    """A good row without a job: a repeated row, a part of a product, or a product that is not visible in its shop."""

    line: int
    reason: str
    # Also error, variant, store_view; draft, archived, unlisted, hidden, inactive, unpublished, scheduled.
    kind: str = "repeated"


@dataclass(frozen=True, slots=True)
class Draft:
    """The fields of NewJob that a row has; the caller adds the others."""

    line: int
    fields: dict[str, Any]


Row = Accepted | Skipped | Fault
Drafted = Draft | Skipped | Fault
