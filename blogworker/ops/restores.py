"""After a restore, a failover or a move to another server: sequences, and jobs whose work may be lost."""

from dataclasses import dataclass
from datetime import UTC, datetime

from blogworker.db.pool import Database, Row, Runner
from blogworker.errors import SettingsError
from blogworker.ops.audit import Action, record

BY_HAND = "noted by hand: a backup was restored"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What the command found and did. `since`: from then on, history may be lost; None: no restore is known."""

    found_at: datetime | None
    since: datetime | None
    reason: str | None
    noted: bool  # it was noted now, by this command
    open_jobs: int  # that ask the providers for what they may have made
    sequences: dict[str, int]  # that were behind: name -> last id


async def reconcile_restore(database: Database, *, since: datetime | None = None) -> Reconciliation:
    """Note a restore: at `since` if it is given, else if the database shows one. Advance the sequences.

    Raises SettingsError for a time in the future.
    """
    now: datetime = (await database.one("db/clock"))["now"]
    if since is not None and since > now:
        raise SettingsError(f"--since {since.isoformat()} is in the future: name the time of the backup")
    async with database.transaction() as statements:
        sequences = await _advance_sequences(statements)
        row = await statements.one("queue/note_restore", remembered=None)
        noted = bool(row["noted"])
        if noted:
            await _record(statements, row)
        if since is not None:
            row = await statements.one("ops/add_restore", since=since, reason=BY_HAND)
            await _record(statements, row)
            noted = True
    affected = 0
    if row["found_at"] is not None:
        affected = (await database.one("ops/jobs_in_doubt", found_at=row["found_at"]))["jobs"]
    return Reconciliation(row["found_at"], row["since"], row["reason"], noted, affected, sequences)


async def _advance_sequences(statements: Runner) -> dict[str, int]:
    """Advance the sequences that are behind. Return the last id of each now."""
    rows = await statements.rows("ops/advance_sequences")
    before, after = ({row["sequence"]: row[each] for row in rows} for each in ("last_before", "last_id"))
    if rows:
        await record(statements, Action.SEQUENCES_ADVANCE, None, before=before, after=after)
    return after


async def _record(statements: Runner, restore: Row) -> None:
    after = {"since": restore["since"], "reason": restore["reason"]}
    await record(statements, Action.RESTORE_NOTE, None, before=None, after=after)


def moment(text: str) -> datetime:
    """Return the time that a person has written; without a zone it is UTC. Raises SettingsError."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise SettingsError(f"--since {text!r} is not a time: write it like 2026-11-28T01:30Z") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
