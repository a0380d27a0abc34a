"""What reading a row can give."""

from dataclasses import dataclass
from typing import Any

from blogworker.errors import Fault
from blogworker.queue.newblog import NewBlog


@dataclass(frozen=True, slots=True)
class Accepted:
    """A blog the queue will take."""

    line: int
    blog: NewBlog


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that is right and still brings no blog: a repetition, or a product that cannot be seen in its shop."""

    line: int
    reason: str
    kind: str = "repeated"  # or variant, draft, archived, unlisted, hidden, inactive, unpublished, scheduled


@dataclass(frozen=True, slots=True)
class Draft:
    """The fields of NewBlog that a row itself gives; the rest comes from whoever imports the file."""

    line: int
    fields: dict[str, Any]


Row = Accepted | Skipped | Fault
Drafted = Draft | Skipped | Fault
