"""A provider call as its circuit breaker sees it: the call, the probe, and the results not yet reported."""

from dataclasses import dataclass, field
from uuid import UUID

from anyio import Lock

from blogworker.errors import ProviderError, RateLimited, Rejected, SiteUnavailable, Unavailable
from blogworker.quota.limiter import OWN_QUOTA

OUTAGE_STATUSES = (408, 425)  # statuses below 500 that a provider in an outage gives


@dataclass(slots=True, eq=False)
class Tally:
    """Results of calls that this process has not reported to the database yet."""

    successes: int = 0
    succeeded: str | None = None  # the site of the last success
    succeeded_at: float = -1e9  # when successes were last reported
    failed: list[str | None] = field(default_factory=list)  # the site of each failure
    refused: bool = False  # the provider refused our key, credit, model or input
    main: bool = False  # a main call was refused
    reason: str = ""
    report_lock: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True)
class Probe:
    """Permission to make one test call while the breaker is open."""

    id: UUID
    provider: str
    good_until: float
    is_kept: bool = False  # by a call that proved nothing, for the next one


@dataclass(frozen=True, slots=True)
class Call:
    """One running call, and the state of the breaker when it started."""

    provider: str
    site: str | None
    epoch: int
    probe: Probe | None
    secondary: bool


def is_answer(error: ProviderError, provider: str) -> bool:
    """Return whether the provider works and refused only this call, this site or this rate.

    An error with another provider's name is one of our own checks, which may have been made before any call.
    """
    if isinstance(error, Unavailable):
        return error.status is not None and error.status < 500 and error.status not in OUTAGE_STATUSES
    is_refusal = isinstance(error, RateLimited | Rejected | SiteUnavailable)
    return is_refusal and error.provider == provider and error.code != OWN_QUOTA
