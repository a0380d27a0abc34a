"""Run one attempt at one job: its stages in order, from the first without a checkpoint, and the outcome."""

from collections.abc import Awaitable, Callable, Collection
from time import monotonic

import psycopg
from anyio import fail_after
from psycopg_pool import PoolTimeout

from blogworker.backoff import backoff_s
from blogworker.db.messages import message_of
from blogworker.db.retrying import is_transient
from blogworker.errors import (
    Misconfigured,
    ProviderDown,
    ProviderError,
    RateLimited,
    Rejected,
    SiteUnavailable,
    Unavailable,
    Unsent,
)
from blogworker.prices import highest_token_price
from blogworker.queue.job import Done, Failure, Outcome, OverBudget, PauseSite, PutOff, Reject, Retry, Stage, Wait
from blogworker.quota.limiter import OWN_QUOTA, waits_of_attempt
from blogworker.stages import content, ideas, image, publish, source
from blogworker.stages.catalog import text_calls
from blogworker.stages.records import Record
from blogworker.stages.work import STAGE_DEADLINE_S, Later, MadeAhead, Work
from blogworker.telemetry import get_logger, tracing
from blogworker.telemetry.facts import gathered

STAGES: dict[Stage, Callable[[Work], Awaitable[Record]]] = {
    Stage.SOURCE: source.run,
    Stage.IDEAS: ideas.run,
    Stage.CONTENT: content.run,
    Stage.IMAGE: image.run,
    Stage.PUBLISH: publish.run,
}
MISCONFIGURED_WAIT_S = 60.0
DATABASE_WAIT_S = 5.0
PAUSED_WAIT_S = 1.0  # then the job is in line, and is claimed when its stage is resumed
LONGEST_WAIT_S = 300.0  # a block may end or a limit may rise meanwhile, and a waiting job is not notified of it

log = get_logger()


async def attempt(
    work: Work,
    *,
    retry_base_s: float,
    retry_cap_s: float,
    timed: Callable[[Stage, float], None] | None = None,
    paused: Callable[[], Collection[str]] = tuple,
    enter: Callable[[Stage], bool] = lambda _: True,
) -> Outcome:
    """Run the remaining stages of the job, if the budgets allow. `timed` is called with each successful stage and its
    duration in seconds, without waits for quotas. `paused`: returns the stages that a person has paused; the job waits
    before the first of them. `enter` takes a slot for a stage; where it returns False, the job goes back to the line.
    Raises LeaseLost, and unexpected errors."""
    stage = work.claim.stage
    waits: list[float] = []
    waits_of_attempt.set(waits)
    try:
        if (usd := still_to_pay(work)) is not None and (refusal := await work.checkpoints.hold_budget(usd)) is not None:
            if refusal.newly:
                log.warning("budget_reached", scope=refusal.scope, error=refusal.reason)
            return OverBudget(refusal.reason, everywhere=refusal.scope == "fleet")
        for stage, run in STAGES.items():
            if work.checkpoints.get(stage) is not None:
                continue
            if stage in paused():
                return Wait(PAUSED_WAIT_S, f"stage {stage} is paused")
            if not enter(stage):
                return Wait(0.0, f"waits for a slot of stage {stage}")
            started, waited_s = monotonic(), sum(waits)
            with gathered() as paid, tracing.stage(stage, waits=_waits) as span:
                with fail_after(STAGE_DEADLINE_S):
                    record = await run(work)
                await work.checkpoints.save(stage, record.dump())
                span.describe(**{key: paid[key] for key in ("model", "tokens", "cost_usd", "score") if key in paid})
            duration_s = monotonic() - started
            facts = {key: paid[key] for key in ("model", "tokens", "cost_usd", "defects", "score") if key in paid}
            log.info("stage_completed", stage=stage, duration_s=round(duration_s, 3), **facts)
            if timed is not None:
                timed(stage, duration_s - (sum(waits) - waited_s))
    except MadeAhead as later:
        return PutOff(later.seconds, str(later))
    except Later as later:
        return Wait(later.seconds, str(later))
    except (ProviderError, TimeoutError, psycopg.OperationalError, PoolTimeout) as error:
        delay_s = backoff_s(work.claim.failures + 1, base_s=retry_base_s, cap_s=retry_cap_s)
        return outcome(error, stage=stage, delay_s=delay_s)
    return Done()


def _waits(error: BaseException) -> bool:
    """Whether a stage ended only because the job has to wait."""
    return isinstance(error, Later) or (isinstance(error, RateLimited) and error.code == OWN_QUOTA)


def still_to_pay(work: Work) -> float | None:
    """Return the cost in USD of the paid stages without a checkpoint, each run once; None if there are none.

    A call counts its reserved tokens as input and as output, at the highest price. It costs more only if it has to be
    repeated or repaired. A model without a price counts as 0.
    """
    costs = {
        stage: call.tokens * highest_token_price(work.openai.prices.get(call.model, ()))
        for stage, call in text_calls(work.openai).items()
    } | {Stage.IMAGE: work.clients.replicate.cost_usd or 0.0}
    left = [usd for stage, usd in costs.items() if work.checkpoints.get(stage) is None]
    return sum(left) if left else None


def outcome(error: Exception, *, stage: str, delay_s: float) -> Outcome:
    """Return what an error means for the attempt: whether it is used, and when the job runs again."""
    failed = failure(error, stage)
    match error:
        case RateLimited(code=code) if code == OWN_QUOTA:
            return Wait(0.0, failed.message)
        case RateLimited():
            return Wait(min(error.retry_after_s, LONGEST_WAIT_S), failed.message, failed)
        case ProviderDown():
            met = failure(error.__cause__, stage) if isinstance(error.__cause__, ProviderError) else None
            return Wait(error.retry_after_s, failed.message, met)
        case Misconfigured():
            return Wait(MISCONFIGURED_WAIT_S, failed.message, failed)
        case SiteUnavailable():
            return PauseSite(failed)
        case Rejected():
            return Reject(failed)
        case psycopg.Error() if not is_transient(error):
            return Reject(failed)  # it refuses the data: a retry would pay for the same data again
        case psycopg.Error() | PoolTimeout():
            return Wait(DATABASE_WAIT_S, f"the database was unavailable: {failed.message}")
        case _:
            return Retry(failed, delay_s)


def failure(error: Exception, stage: str) -> Failure:
    """Return the row to store in `generation_errors`."""
    kind = (Unavailable if isinstance(error, Unsent) else type(error)).__name__  # one error type to retry by
    if isinstance(error, ProviderError):
        return Failure(stage, kind, str(error), error.provider, error.status, error.code, error.request_id)
    if isinstance(error, TimeoutError) and not str(error):
        return Failure(stage, kind, f"the stage took longer than {STAGE_DEADLINE_S:.0f} s")
    return Failure(stage, kind, message_of(error) or kind)
