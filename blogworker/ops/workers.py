"""Workers: let one claim nothing, and let it claim again. It notices with its next claim."""

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.audit import Action, record
from blogworker.ops.status import list_workers
from blogworker.printable import typed
from blogworker.queue.validation import site_text_faults


async def quiet_worker(database: Database, name: str, *, reason: str) -> None:
    """Let a worker claim nothing until it is resumed, also after a restart. Its running jobs continue.

    Raises SettingsError if no worker has the name.
    """
    if faults := site_text_faults(reason=reason):
        raise SettingsError("\n".join(faults))
    async with database.transaction() as statements:
        quieted = await statements.maybe("ops/quiet_worker", name=name, reason=reason)
        if quieted is None:
            known = ", ".join(typed(worker.name) for worker in await list_workers(database))
            raise SettingsError(f"there is no worker {typed(name)}; known are {known or 'none'}")
        before, after = _quiet(quieted["reason_before"]), _quiet(reason)
        await record(statements, Action.WORKER_QUIET, name, before=before, after=after)


async def resume_worker(database: Database, name: str) -> None:
    """Let a worker claim again. Raises SettingsError if it is not quiet."""
    async with database.transaction() as statements:
        resumed = await statements.maybe("ops/resume_worker", name=name)
        if resumed is None:
            raise SettingsError(f"worker {typed(name)} is not quiet: see `blogworker workers`")
        await record(statements, Action.WORKER_RESUME, name, before=_quiet(resumed["reason"]), after=_quiet(None))


def _quiet(reason: str | None) -> dict[str, object]:
    return {"quiet": reason is not None, "reason": reason}
