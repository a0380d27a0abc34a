"""History: throughput, waits and durations by minute, for charts. Workers record it; seven days are kept."""

from dataclasses import dataclass, replace
from datetime import datetime

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.records import records

SAMPLE = 2_000  # jobs of a minute whose stages are read
LONGEST_S = 7 * 86_400
MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """What ended in one step. Waits are from run_at to the last claim, totals from creation to the end, in seconds.
    p50: the weighted mean of the minutes; p95: of the worst minute. None: no job was DONE."""

    began: datetime
    minutes: int
    done: int
    failed: int
    cancelled: int
    pending: int | None
    wait_p50_s: float | None
    wait_p95_s: float | None
    total_p50_s: float | None
    total_p95_s: float | None


@dataclass(frozen=True, slots=True)
class StageDuration:
    """How long a stage took, in seconds: p50 as the mean of minutes, p95 of the worst minute."""

    stage: str
    jobs: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class StageStep:
    """How long a stage took in one step, as `StageDuration` says it."""

    began: datetime
    stage: str
    jobs: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class History:
    """`stages`: of all steps together; `stage_steps`: of each step that has jobs, by stage; None: not asked for."""

    within_s: int
    step_s: int
    steps: list[HistoryStep]
    stages: list[StageDuration]
    stage_steps: list[StageStep] | None = None


async def record_history(database: Database) -> int:
    """Record the minutes that ended and are not recorded yet. Return how many."""
    recorded: int = (await database.one("history/record", sample=SAMPLE))["recorded"]
    return recorded


async def read_history(database: Database, *, within_s: int, step_s: int, stage_steps: bool = False) -> History:
    """Return the history of the last `within_s` seconds in steps, of the stages too if asked for. Raises SettingsError
    for impossible steps."""
    if not MINUTE_S <= within_s <= LONGEST_S or step_s < MINUTE_S or step_s % MINUTE_S:
        raise SettingsError("the history has seven days, in steps of whole minutes")
    steps = records(HistoryStep, await database.rows("history/read", within_s=within_s, step_s=step_s))
    for row in await database.rows("history/tail"):
        began = datetime.fromtimestamp(row["minute"].timestamp() // step_s * step_s, tz=row["minute"].tzinfo)
        steps = _with(steps, began, row["done"], row["failed"], row["cancelled"])
    return History(
        within_s=within_s,
        step_s=step_s,
        steps=steps,
        stages=records(StageDuration, await database.rows("history/read_stages", within_s=within_s)),
        stage_steps=await _stage_steps(database, within_s, step_s) if stage_steps else None,
    )


async def _stage_steps(database: Database, within_s: int, step_s: int) -> list[StageStep]:
    return records(StageStep, await database.rows("history/read_stage_steps", within_s=within_s, step_s=step_s))


def _with(steps: list[HistoryStep], began: datetime, done: int, failed: int, cancelled: int) -> list[HistoryStep]:
    """Return the steps with a minute that is not recorded yet, so its waits are unknown."""
    if steps and steps[-1].began == began:
        last = steps[-1]
        return [
            *steps[:-1],
            replace(last, done=last.done + done, failed=last.failed + failed, cancelled=last.cancelled + cancelled),
        ]
    pending = steps[-1].pending if steps else None
    return [*steps, HistoryStep(began, 0, done, failed, cancelled, pending, None, None, None, None)]
