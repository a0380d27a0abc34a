"""A call to a provider as its breaker sees it: what it is, the leave to make it, and what came of several."""

from dataclasses import dataclass, field
from uuid import UUID

from anyio import Lock


@dataclass(slots=True, eq=False)
class Tally:
    """What this process has not told yet."""

    successes: int = 0
    succeeded: str | None = None  # the site of the last of them
    succeeded_at: float = -1e9  # when successes were last told
    failed: list[str | None] = field(default_factory=list)  # the site of each failure
    refused: bool = False
    main: bool = False  # the refused one was a main call
    why: str = ""
    telling: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True)
class Probe:
    """Leave to make one call."""

    id: UUID
    provider: str
    good_until: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call under way, and what the breaker was when it began."""

    provider: str
    site: str | None
    epoch: int
    probe: Probe | None
    lesser: bool
