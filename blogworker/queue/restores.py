"""Whether the database has lost history: a backup was restored, or a standby was promoted that was behind.

Posts, drafts and pictures of the lost part exist, and no checkpoint of them does. So jobs that may have been in that
part ask the providers before they make anything. The database detects most cases by itself (`sql/schema/restores.sql`).
It cannot see that a snapshot of its own disk was restored; a worker can, because it remembers how far the write-ahead
log was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blogworker.db.pool import Runner
from blogworker.telemetry import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class Restore:
    """What is known of the latest loss."""

    found_at: datetime
    since: datetime  # from then on, history may be lost

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Restore | None":
        return None if row["found_at"] is None else cls(row["found_at"], row["since"])


@dataclass(frozen=True, slots=True)
class Origin:
    """How the work of a job is recognised at the providers, and whether a part of it may be lost."""

    mark: str
    restore: Restore | None = None
    text_survived: bool = False  # a picture may have been made for it in the lost part


class RestoreWatch:
    """What one process remembers. `latest` is the latest restore that it knows."""

    def __init__(self) -> None:
        self._place: str | None = None
        self.latest: Restore | None = None
        self._checked = False

    async def check(self, database: Runner) -> Restore | None:
        """Note a restore if history was lost. Return the latest restore."""
        row = await database.one("queue/note_restore", remembered=self._place)
        self._place = row["place"]
        found = Restore.of(row)
        if row["noted"] or (self._checked and found != self.latest):
            log.warning("restore_found", since=str(row["since"]), reason=row["reason"])
        self.latest, self._checked = found, True
        return found

    async def origin(self, database: Runner, job_id: int) -> Origin | None:
        """Return the origin of a job as it is now; None if there is no such job. Notes a restore likewise."""
        row = await database.maybe("stages/job_origin", job_id=job_id, remembered=self._place)
        if row is None:
            return None
        self._place = row["place"]
        return Origin(row["mark"], Restore.of(row), row["text_survived"])
