"""Pauses of stages, or of everything, for all sites. Workers notice within a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from blogworker.db.pool import Database, Runner
from blogworker.errors import SettingsError
from blogworker.ops.audit import Action, record
from blogworker.ops.records import records
from blogworker.queue.job import Stage
from blogworker.queue.validation import site_text_faults


@dataclass(frozen=True, slots=True)
class StagePause:
    stage: str
    reason: str
    paused_at: datetime


async def list_pauses(database: Runner) -> list[StagePause]:
    """Return the paused stages, in their order."""
    return records(StagePause, await database.rows("ops/stage_pauses"))


async def pause_stages(database: Database, stages: Sequence[Stage], *, reason: str) -> list[StagePause]:
    """Claim no job whose next stage is one of these, and let running jobs stop before them. Return all pauses."""
    if faults := site_text_faults(reason=reason):
        raise SettingsError("\n".join(faults))
    async with database.transaction() as statements:
        before = await list_pauses(statements)
        await statements.execute("ops/pause_stages", stages=list(stages), reason=reason)
        await _record(statements, Action.STAGES_PAUSE, stages, before=before)
    return await list_pauses(database)


async def resume_stages(database: Database, stages: Sequence[Stage]) -> list[StagePause]:
    """Continue these stages. Return the pauses that are left. Raises SettingsError if none of them is paused."""
    async with database.transaction() as statements:
        before = await list_pauses(statements)
        if not await statements.rows("ops/resume_stages", stages=list(stages)):
            raise SettingsError(f"not paused: {', '.join(stages)}")
        await _record(statements, Action.STAGES_RESUME, stages, before=before)
    return await list_pauses(database)


async def _record(statements: Runner, action: Action, stages: Sequence[Stage], *, before: Sequence[StagePause]) -> None:
    """Record the pause of each stage, by its name: the reason; None: not paused."""
    old, new = ({each.stage: each.reason for each in found} for found in (before, await list_pauses(statements)))
    await record(
        statements,
        action,
        ", ".join(stages),
        before={stage: old.get(stage) for stage in stages},
        after={stage: new.get(stage) for stage in stages},
    )
