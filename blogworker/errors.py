"""The errors. Each class says what the caller must do.

BlogworkerError
|-- SettingsError                    wrong settings or usage: show all faults at once, exit 2; HTTP 400
|   |-- NotFound                     what is named does not exist: HTTP 404
|   `-- WrongState                   what is named is in another state already: HTTP 409
|-- DatabaseNotReady                  not migrated, or newer than this program: exit 2
|   `-- DatabaseUnavailable                 cannot be reached: try again later, as systemd does with a worker, exit 75
|-- QueueFull        retry_after_s   intake is closed for now: exit 75, HTTP 503
|-- InvalidInput     faults          rows of a producer are wrong: nothing was enqueued, exit 2
|-- LeaseLost        job_id attempt  another worker has the job: stop, write nothing
`-- ProviderError    provider status code request_id
    |-- RateLimited  retry_after_s   wait; costs no attempt
    |-- ProviderDown retry_after_s   the circuit breaker is open: wait; costs no attempt
    |-- Unavailable                  retry with backoff
    |   |-- Unsent                   retry with backoff: the call never reached the provider
    |   `-- OutcomeUnknown           sent, but not answered: check its effect before a retry
    |-- Misconfigured                wrong key, no credit, unknown model: wait for a person; costs no attempt
    |-- SiteUnavailable              this site cannot be served: pause it
    `-- Rejected                     the request or its content is refused: fail the job
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from blogworker.plurals import counted
from blogworker.redact import SECRETS


class BlogworkerError(Exception):
    """Every error this package raises on purpose. Secrets in its message are hidden."""

    def __init__(self, *facts: object) -> None:
        super().__init__(*(SECRETS.hide(fact, shapes=False) if isinstance(fact, str) else fact for fact in facts))


class SettingsError(BlogworkerError):
    """Settings or arguments are not valid. The message has one line per fault."""


class NotFound(SettingsError):
    """There is no such thing."""


class WrongState(SettingsError):
    """The thing is in another state, so there is nothing to do."""


class DatabaseNotReady(BlogworkerError):
    """The database cannot be used in its current state. The message says what to do."""


class DatabaseUnavailable(DatabaseNotReady):
    """The database cannot be reached: it may be restarting, or its address may be wrong."""


class QueueFull(BlogworkerError):
    """The queue, or the part of one site, accepts no more jobs for now."""

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
    """One fault of one row of a producer."""

    line: int  # the first line of the row in its file, from 1
    reason: str
    earlier: int | None = None  # the line of an earlier row that seemed good and is not, because of this one


class InvalidInput(BlogworkerError):
    """Some rows cannot be enqueued. Each fault has its line and reason."""

    def __init__(self, source: str, faults: Sequence[Fault], *, more: int = 0) -> None:
        super().__init__(f"{source}: {counted(len(faults) + more, 'bad row')}")
        self.source = source
        self.faults = tuple(faults)
        self.more = more  # bad rows beyond those in `faults`


class LeaseLost(BlogworkerError):
    """Another worker has claimed the job, or it was settled. Nothing was written."""

    def __init__(self, job_id: int, attempt: int) -> None:
        super().__init__(f"attempt {attempt} of job {job_id} is no longer current")
        self.job_id = job_id
        self.attempt = attempt


class ProviderError(BlogworkerError):
    """A remote call failed. `code` is the error code of the provider, if there is one.

    A provider may echo a key in any of these texts. They are shown and stored, so secrets in them are hidden here.
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
        self.code = None if code is None else SECRETS.hide(str(code))  # a provider's code may be a number
        self.request_id = None if request_id is None else SECRETS.hide(str(request_id))

    def __str__(self) -> str:
        facts = [f"{name} {value}" for name, value in self.facts().items() if value is not None]
        return f"{self.args[0]} ({', '.join(facts)})"

    def facts(self) -> dict[str, str | int | None]:
        return {"provider": self.provider, "status": self.status, "code": self.code, "request_id": self.request_id}


class RateLimited(ProviderError):
    """The provider, or our own quota, allows no call yet."""

    retry_after_s: float = 30.0
    requests_per_minute: int | None = None  # the current limit, if the provider names it
    headers: Mapping[str, str] = MappingProxyType(
        {}
    )  # of the response; they report the state of the provider's buckets

    def after(self, seconds: float) -> "RateLimited":
        """Set the time until the next call, and return this error."""
        self.retry_after_s = seconds
        return self


class ProviderDown(ProviderError):
    """The circuit breaker of the provider is open. `__cause__` is the failure that opened it, if known."""

    retry_after_s: float = 5.0

    def after(self, seconds: float) -> "ProviderDown":
        """Set the time until the next probe, and return this error."""
        self.retry_after_s = seconds
        return self


class Unavailable(ProviderError):
    """A connection error, a timeout or a 5xx. A retry is likely to work."""


class Unsent(Unavailable):
    """No connection could be made, so the provider has not received the call."""


class OutcomeUnknown(Unavailable):
    """The request was sent, but no response arrived. It may have had its effect."""


class Misconfigured(ProviderError):
    """Wrong key, no credit or unknown model: no job can succeed until a person acts."""


class SiteUnavailable(ProviderError):
    """This site cannot be served: its owner removed the app or revoked the token, or it has no blog."""


class Rejected(ProviderError):
    """The provider refuses this request or its content permanently."""
