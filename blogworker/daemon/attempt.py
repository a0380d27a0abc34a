"""One attempt at one job: what it runs with, and its outcome."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from contextvars import Context
from dataclasses import dataclass, field
from time import monotonic

import psycopg
import structlog
from anyio import CancelScope

from blogworker.daemon.gate import Gate, ProbeClaim
from blogworker.daemon.occupancy import Key
from blogworker.db.messages import message_of
from blogworker.errors import LeaseLost
from blogworker.queue.job import Claim, Failure, Outcome, OverBudget, PauseSite, Reject, Retry, Stage
from blogworker.stages.records import Output
from blogworker.telemetry import get_logger, tracing
from blogworker.telemetry.facts import Facts

Enter = Callable[[Stage], bool]
Pipeline = Callable[[Claim, Mapping[str, Output], Enter], Awaitable[Outcome]]

log = get_logger()


@dataclass(slots=True, eq=False)
class Attempt:
    """One claimed job."""

    claim: Claim
    saved: Mapping[str, Output]  # its checkpoints
    probe_claim: ProbeClaim | None = None
    scope: CancelScope = field(default_factory=CancelScope)
    started_at: float = field(default_factory=monotonic)
    facts: Facts = field(default_factory=Facts)  # for the line about its end
    context: Context | None = None  # in which its end is logged and traced

    @property
    def key(self) -> Key:
        return self.claim.key

    def begin(self) -> None:
        """Log and trace as this attempt, in the current context."""
        structlog.contextvars.bind_contextvars(**self.claim.names)
        tracing.begin_attempt(self.claim)


async def outcome_of(
    attempt: Attempt, pipeline: Pipeline, *, gate: Gate, enter: Enter, retry_base_s: float
) -> Outcome | None:
    """Run the job. Return the outcome of the attempt, or None if the claim was lost."""
    claim = attempt.claim
    if claim.unreadable is not None:
        return Reject(Failure(claim.stage, "Unreadable", claim.unreadable))
    if claim.site_unreadable is not None:
        return PauseSite(Failure(claim.stage, "Unreadable", claim.site_unreadable))
    try:
        async with nullcontext() if attempt.probe_claim is None else gate.probing(attempt.probe_claim):
            outcome = await pipeline(claim, attempt.saved, enter)
    except LeaseLost:
        return None
    except (psycopg.DataError, psycopg.errors.CheckViolation) as error:
        # A retry would produce the same, and pay for it again.
        message = f"the database refuses the result: {message_of(error)}"
        return Reject(Failure(claim.stage, "Unstorable", message))
    except Exception as error:  # an unexpected error fails this attempt, not the worker
        log.exception("attempt_crashed")
        return Retry(Failure(claim.stage, type(error).__name__, message_of(error)), retry_base_s)
    if isinstance(outcome, OverBudget) and outcome.everywhere:
        # Before the job is PENDING again, otherwise it is claimed at once.
        gate.stop_spending(outcome.reason)
    return outcome
