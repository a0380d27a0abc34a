"""One attempt at one job: its stages in order, from the first without a checkpoint, and how it ended."""

from time import monotonic

import psycopg
from anyio import fail_after
from psycopg_pool import PoolTimeout

from blogworker.backoff import backoff_s
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
from blogworker.queue.job import Done, Failure, Outcome, OverBudget, PauseSite, Reject, Retry, Stage, Wait
from blogworker.stages import content, ideas, image, publish, source
from blogworker.stages.budget import still_to_pay
from blogworker.stages.work import STAGE_DEADLINE_S, Later, Work
from blogworker.telemetry import get_logger

STAGES = {
    Stage.SOURCE: source.run,
    Stage.IDEAS: ideas.run,
    Stage.CONTENT: content.run,
    Stage.IMAGE: image.run,
    Stage.PUBLISH: publish.run,
}
MISCONFIGURED_WAIT_S = 60.0
DATABASE_WAIT_S = 5.0
LONGEST_PARK_S = 300.0  # a block or a limit may be lifted meanwhile, and a job that is parked hears of nothing

log = get_logger()


async def attempt(work: Work, *, retry_base_s: float, retry_cap_s: float) -> Outcome:
    """Run what is left of the job, if the budgets allow. Raises LeaseLost, and whatever nobody foresaw."""
    stage = work.claim.stage
    try:
        if (usd := still_to_pay(work)) is not None and (refusal := await work.checkpoints.reserve(usd)) is not None:
            if refusal.newly:
                log.warning("budget_reached", scope=refusal.scope, error=refusal.reason)
            return OverBudget(refusal.reason, everywhere=refusal.scope == "fleet")
        for stage, run in STAGES.items():
            if work.checkpoints.get(stage) is not None:
                continue
            started = monotonic()
            with fail_after(STAGE_DEADLINE_S):
                output = await run(work)
            await work.checkpoints.save(stage, output)
            log.info("stage_completed", stage=stage, duration_s=round(monotonic() - started, 3))
    except Later as later:
        return Wait(later.seconds, str(later))
    except (ProviderError, TimeoutError, psycopg.OperationalError, PoolTimeout) as error:
        delay_s = backoff_s(work.claim.failures + 1, base_s=retry_base_s, cap_s=retry_cap_s)
        return outcome(error, stage=stage, delay_s=delay_s)
    return Done()


def outcome(error: Exception, *, stage: str, delay_s: float) -> Outcome:
    """What an error means for the attempt: who is at fault decides whether it is spent."""
    failed = failure(error, stage)
    match error:
        case RateLimited():
            delay_s = min(error.retry_after_s, LONGEST_PARK_S)
            return Wait(delay_s, failed.message, failed if error.code != "quota" else None)
        case ProviderDown():
            met = failure(error.__cause__, stage) if isinstance(error.__cause__, ProviderError) else None
            return Wait(error.retry_after_s, failed.message, met)
        case Misconfigured():
            return Wait(MISCONFIGURED_WAIT_S, failed.message, failed)
        case SiteUnavailable():
            return PauseSite(failed)
        case Rejected():
            return Reject(failed)
        case psycopg.OperationalError() | PoolTimeout():
            return Wait(DATABASE_WAIT_S, f"the database was away: {failed.message}")
        case _:
            return Retry(failed, delay_s)


def failure(error: Exception, stage: str) -> Failure:
    """The row that `generation_errors` keeps."""
    kind = (Unavailable if isinstance(error, Unsent) else type(error)).__name__  # one word to retry by
    if isinstance(error, ProviderError):
        return Failure(stage, kind, str(error), error.provider, error.status, error.code, error.request_id)
    if isinstance(error, TimeoutError) and not str(error):
        return Failure(stage, kind, f"the stage took longer than {STAGE_DEADLINE_S:.0f} s")
    return Failure(stage, kind, str(error) or kind)
