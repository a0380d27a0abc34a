"""What can go wrong, by what the caller must do about it.

BlogworkerError
|-- SettingsError                    settings or usage: show every fault at once, exit 2
|-- DatabaseUnready                  not migrated, or newer than this program: exit 2
|   `-- DatabaseAway                 cannot be reached: try again later, as systemd does with a worker, exit 75
|-- QueueFull        retry_after_s   intake is closed for now: exit 75, HTTP 503
|-- InvalidInput     faults          rows a producer brought are wrong: nothing was enqueued, exit 2
|-- LeaseLost        job_id attempt  the claim is another worker's: stop, write nothing
`-- ProviderError    provider status code request_id
    |-- RateLimited  retry_after_s   wait; costs no attempt
    |-- ProviderDown retry_after_s   its breaker is open: wait; costs no attempt
    |-- Unavailable                  retry with backoff
    |   `-- Unsent                   the same: the vendor never heard of the call
    |-- OutcomeUnknown               sent, never answered: look it up before repeating it
    |-- Misconfigured                our key, credit or model: wait, a person must act; costs no attempt
    |-- SiteUnavailable              this site revoked or lacks what we need: pause the site
    `-- Rejected                     our request or its content is refused: fail the job
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from blogworker.redact import SECRETS


class BlogworkerError(Exception):
    """Every error this package raises on purpose. Secrets in its message are hidden."""

    def __init__(self, *facts: object) -> None:
        super().__init__(*(SECRETS.hide(fact, shapes=False) if isinstance(fact, str) else fact for fact in facts))


class SettingsError(BlogworkerError):
    """Settings or arguments are unusable; the message names each fault on a line of its own."""


class DatabaseUnready(BlogworkerError):
    """The database cannot be used as it is; the message says what to do."""


class DatabaseAway(DatabaseUnready):
    """The database cannot be reached: it may be back in a moment, or its address may be wrong."""


class QueueFull(BlogworkerError):
    """The queue, or one site's share of it, takes no more for now."""

    def __init__(self, message: str, *, queue_size: int, limit: int, estimated_wait_minutes: int) -> None:
        super().__init__(message)
        self.queue_size = queue_size
        self.limit = limit
        self.estimated_wait_minutes = estimated_wait_minutes

    @property
    def retry_after_s(self) -> float:
        return 60.0 * max(1, self.estimated_wait_minutes)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one row a producer brought."""

    line: int  # the first line of the row in its file, from 1
    reason: str


class InvalidInput(BlogworkerError):
    """Rows that cannot be enqueued, each with its line and reason."""

    def __init__(self, source: str, faults: Sequence[Fault], *, more: int = 0) -> None:
        super().__init__(f"{source}: {len(faults) + more} bad row(s)")
        self.source = source
        self.faults = tuple(faults)
        self.more = more  # bad rows beyond those in `faults`


class LeaseLost(BlogworkerError):
    """The attempt is no longer ours. Nothing was written."""

    def __init__(self, job_id: int, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of job {job_id} is no longer ours")
        self.job_id = job_id
        self.attempt = attempt


class ProviderError(BlogworkerError):
    """A remote call failed. `code` is the vendor's error code, if it gave one.

    A vendor may echo a key in any of these texts, and they are shown and stored: secrets in them are hidden here.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(SECRETS.hide(str(message)))
        self.provider = provider
        self.status = status
        self.code = None if code is None else SECRETS.hide(str(code))  # a vendor's code may be a number
        self.request_id = None if request_id is None else SECRETS.hide(str(request_id))

    def __str__(self) -> str:
        facts = [f"{name} {value}" for name, value in self.facts().items() if value is not None]
        return f"{self.args[0]} ({', '.join(facts)})"

    def facts(self) -> dict[str, str | int | None]:
        return {"provider": self.provider, "status": self.status, "code": self.code, "request_id": self.request_id}


class RateLimited(ProviderError):
    """The vendor, or our own quota, says not yet."""

    retry_after_s: float = 30.0
    requests_per_minute: int | None = None  # the limit the vendor says is in force now, where it names one
    headers: Mapping[str, str] = MappingProxyType({})  # of the vendor's answer; they say how full its buckets are

    def after(self, seconds: float) -> "RateLimited":
        """The same error, with the wait the vendor named."""
        self.retry_after_s = seconds
        return self


class ProviderDown(ProviderError):
    """The provider's breaker is open. Its cause, where it has one, is the failure that was met."""

    retry_after_s: float = 5.0

    def after(self, seconds: float) -> "ProviderDown":
        """The same error, with the time until the provider is worth another look."""
        self.retry_after_s = seconds
        return self


class Unavailable(ProviderError):
    """Connection, timeout, 5xx: likely to work later."""


class Unsent(Unavailable):
    """No connection could be made: the vendor has neither counted nor done anything."""


class OutcomeUnknown(Unavailable):
    """The request was sent and no answer came back, so its effect may exist."""


class Misconfigured(ProviderError):
    """Wrong key, no credit, unknown model: no job can succeed until a person acts."""


class SiteUnavailable(ProviderError):
    """This one site cannot be served: app removed, token revoked, blog not installed."""


class Rejected(ProviderError):
    """The vendor refuses this request or its content for good."""
