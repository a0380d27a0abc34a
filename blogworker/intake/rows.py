"""What reading a row can give."""

from dataclasses import dataclass
from typing import Any

from blogworker.errors import Fault
from blogworker.queue.validation import NewJob


@dataclass(frozen=True, slots=True)
class Accepted:
    """A blog the queue will take."""

    line: int
    blog: NewJob


@dataclass(frozen=True, slots=True)
class Skipped:
    """A good row without a blog of its own: repeated, of a variant, or of a product not visible in its shop."""

    line: int
    reason: str
    kind: str = "repeated"  # or variant, draft, archived, unlisted, hidden, inactive, unpublished, scheduled


@dataclass(frozen=True, slots=True)
class Draft:
    """The fields of NewJob that a row itself gives; the rest comes from the caller."""

    line: int
    fields: dict[str, Any]


Row = Accepted | Skipped | Fault
Drafted = Draft | Skipped | Fault
