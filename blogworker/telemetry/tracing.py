"""Spans: what a worker measures of an attempt, of its stages, and of their calls to providers.

    attempt     one claim of one job, until its outcome is stored
      stage     one stage that ran
        call    one request to a provider; not the waits for its quota before it

Observers get each span when it begins and when it ends: `otel` exports traces, the worker's own metrics count. Without
an observer, a span costs one look at a variable. Observers run in the event loop, so they must not block. A fault of
one is logged, and ends no job.

Attributes have the names of OpenTelemetry where it has one. They are numbers, keys and codes: no text of a post, of a
prompt or of an error. Names of operations and kinds of errors are few, because metrics have them as labels.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from functools import wraps
from time import monotonic, time_ns
from typing import Any, ParamSpec, Protocol, TypeVar

from blogworker.telemetry.log import get_logger

P = ParamSpec("P")
R = TypeVar("R")
Value = str | int | float | bool

log = get_logger()

EVENT_WAIT_S = 0.1  # a shorter wait for quota is mostly the time of the database, and is no event
JOB, SITE, ATTEMPT, OUTCOME = "blogworker.job.id", "blogworker.site", "blogworker.attempt", "blogworker.outcome"
STAGE, STATUS, COST, WAIT = "blogworker.stage", "blogworker.status", "blogworker.cost_usd", "blogworker.quota.wait_s"
PROVIDER, OPERATION, MODEL = "blogworker.provider", "blogworker.operation", "gen_ai.request.model"
TOKENS_IN, TOKENS_OUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
HTTP_STATUS, ERROR, CODE, REQUEST_ID = (
    "http.response.status_code",
    "error.type",
    "blogworker.error.code",
    "blogworker.error.request_id",
)


class Kind(StrEnum):
    ATTEMPT = "attempt"
    STAGE = "stage"
    CALL = "call"


@dataclass(slots=True, eq=False)
class Span:
    """One piece of work. `exported`: what an observer keeps with it."""

    kind: Kind
    name: str
    parent: "Span | None"
    attributes: dict[str, Value]
    began_ns: int = field(default_factory=time_ns)
    began_at: float = field(default_factory=monotonic)
    duration_s: float = 0.0
    waited_s: float = 0.0  # for quotas
    unsent_wait_s: float = 0.0  # the part that belongs to its next call
    error: str | None = None  # the kind of the error that ended it
    events: list[tuple[str, int, dict[str, Value]]] = field(default_factory=list)
    exported: Any = None

    def describe(self, **attributes: Value | None) -> None:
        """Add attributes, by the names of the constants above in lower case. None is ignored."""
        self.attributes |= {NAMES[name]: value for name, value in attributes.items() if value is not None}

    def happened(self, event: str, **attributes: Value) -> None:
        """Note an event now."""
        self.events.append((event, time_ns(), {f"blogworker.{name}": value for name, value in attributes.items()}))

    def failed(self, error: BaseException) -> None:
        """Note the error that ends the span: its class and codes, not its text."""
        if not isinstance(error, Exception):  # cancelled, which is no failure
            self.attributes.setdefault(OUTCOME, "cancelled")
            return
        self.error = type(error).__name__
        self.describe(
            http_status=getattr(error, "status", None),
            code=getattr(error, "code", None),
            request_id=getattr(error, "request_id", None),
        )


NAMES = {
    "outcome": OUTCOME,
    "status": STATUS,
    "stage": STAGE,
    "cost_usd": COST,
    "wait_s": WAIT,
    "model": MODEL,
    "tokens": "blogworker.tokens",
    "tokens_in": TOKENS_IN,
    "tokens_out": TOKENS_OUT,
    "score": "blogworker.score",
    "http_status": HTTP_STATUS,
    "code": CODE,
    "request_id": REQUEST_ID,
}


class Claimed(Protocol):
    """A claim, as `queue.job` has it."""

    @property
    def job_id(self) -> int: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...


class Observer(Protocol):
    """Gets the spans of one process, and what belongs to no span."""

    def began(self, span: Span) -> None:
        """A span has begun."""

    def ended(self, span: Span) -> None:
        """A span has ended, and changes no more."""

    def waited(self, provider: str, seconds: float) -> None:
        """A call has waited for its quota. It may have been refused then."""

    def claimed(self, jobs: int, seconds: float) -> None:
        """The database has answered a claim."""

    def sized(self, slots: int) -> None:
        """The worker has so many slots from now on."""


_observers: ContextVar[tuple[Observer, ...]] = ContextVar("observers", default=())
_current: ContextVar[Span | None] = ContextVar("span", default=None)


class _Unseen(Span):
    """The span that nobody observes. It keeps nothing."""

    __slots__ = ()

    def describe(self, **attributes: Value | None) -> None:
        pass


_UNSEEN = _Unseen(Kind.ATTEMPT, "", None, {})


@contextmanager
def observed(*observers: Observer) -> Iterator[None]:
    """Give all spans of the block, and of the tasks that start in it, to these observers."""
    token = _observers.set((*_observers.get(), *observers))
    try:
        yield
    finally:
        _observers.reset(token)


@contextmanager
def span(
    kind: Kind, name: str, attributes: dict[str, Value], *, waits: Callable[[BaseException], bool] = lambda _: False
) -> Iterator[Span]:
    """One span. `waits`: whether an exception that ends it is no failure, because the job only waits."""
    if not _observers.get():
        yield _UNSEEN
        return
    current = _begun(Span(kind, name, _current.get(), attributes))
    token = _current.set(current)
    try:
        yield current
    except BaseException as error:
        if waits(error):
            current.attributes[OUTCOME] = "wait"
        else:
            current.failed(error)
        raise
    finally:
        _current.reset(token)
        if current.kind is Kind.CALL and current.error is None and (status := _status(current)) >= 400:
            current.error = str(status)
        _end(current)


def begin_attempt(claim: "Claimed") -> None:
    """Begin the span of one attempt. It is the parent of all spans in this context, until the next one begins."""
    if _observers.get():
        known: dict[str, Value] = {JOB: claim.job_id, SITE: claim.instance_id, ATTEMPT: claim.attempt}
        _current.set(_begun(Span(Kind.ATTEMPT, "attempt", None, known)))


def end_attempt(
    outcome: str, status: str | None, *, failure: object = None, delay_s: float | None = None, **facts: Value | None
) -> None:
    """End the span of the attempt that began in this context, or in the one that this is a copy of.

    `status`: of the job. `failure`: a `queue.job.Failure`. `delay_s`: until the next attempt.
    """
    if (current := _current.get()) is None:
        return
    current.describe(outcome=outcome, status=status, **facts)
    if delay_s is not None:
        current.happened("retry_scheduled", delay_s=round(delay_s, 3))
    if failure is not None:
        current.describe(stage=str(getattr(failure, "stage", "")), code=getattr(failure, "code", None))
        if outcome != "wait":
            current.error = str(getattr(failure, "kind", ""))
    _current.set(None)
    _end(current)


def _begun(begun: Span) -> Span:
    for observer in _observers.get():
        _tell(observer.began, begun)
    return begun


def _end(ended: Span) -> None:
    ended.duration_s = monotonic() - ended.began_at
    for observer in _observers.get():
        _tell(observer.ended, ended)


def stage(name: str, *, waits: Callable[[BaseException], bool]) -> AbstractContextManager[Span]:
    """The span of one stage. `waits`: see `span`."""
    return span(Kind.STAGE, f"stage {name}", {STAGE: str(name)}, waits=waits)


def call(provider: str, operation: str, **attributes: Value | None) -> AbstractContextManager[Span]:
    """The span of one request to a provider. `operation` is one of a few names, without ids of anything."""
    known: dict[str, Value] = {PROVIDER: provider, OPERATION: operation}
    if (parent := _current.get()) is not None and parent.unsent_wait_s:
        known[WAIT] = round(parent.unsent_wait_s, 3)
        parent.unsent_wait_s = 0.0
    known |= {NAMES[name]: value for name, value in attributes.items() if value is not None}
    return span(Kind.CALL, f"{provider} {operation}", known)


def called(provider: str, operation: str) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Decorate a function that makes one request."""

    def wrap(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @wraps(function)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with call(provider, operation):
                return await function(*args, **kwargs)

        return run

    return wrap


def describe_call(**attributes: Value | None) -> None:
    """Add attributes to the request that runs, if one does."""
    if (current := _current.get()) is not None and current.kind is Kind.CALL:
        current.describe(**attributes)


def waited(provider: str, quota: str, seconds: float) -> None:
    """Note that a call has waited for its quota."""
    for observer in (observers := _observers.get()):
        _tell(observer.waited, provider, seconds)
    if not observers or (current := _current.get()) is None:
        return
    current.unsent_wait_s += seconds
    current.waited_s += seconds
    if seconds >= EVENT_WAIT_S:
        current.happened("quota_waited", quota=quota, wait_s=round(seconds, 3))


def claimed(jobs: int, seconds: float) -> None:
    """Note a claim that the database has answered."""
    for observer in _observers.get():
        _tell(observer.claimed, jobs, seconds)


def sized(slots: int) -> None:
    """Note how many slots the worker has."""
    for observer in _observers.get():
        _tell(observer.sized, slots)


def _tell(listen: Callable[..., None], *facts: object) -> None:
    try:
        listen(*facts)
    except Exception:
        log.exception("tracing_failed")


def _status(found: Span) -> int:
    with suppress(TypeError, ValueError):
        return int(found.attributes.get(HTTP_STATUS, 0))
    return 0
