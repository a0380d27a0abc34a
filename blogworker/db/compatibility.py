"""Whether the database is compatible with this program.

It is incompatible when a function was renamed, a grant was revoked, or the schema is another version's. No job is to
blame for that, so no job loses an attempt: a statement that the database refuses is retried, and nothing new is claimed
meanwhile. The database counts as compatible again when a refused statement succeeds. When no running job is left to
retry one, a single job is claimed after a while as a test.
"""

from collections import Counter
from time import monotonic

import psycopg

from blogworker.db.messages import message_of
from blogworker.telemetry import get_logger

# SQLSTATE classes: 42 an object does not exist or is not permitted, 3F no such schema, 0A not supported (for example a
# prepared statement whose result type has changed), 26 a prepared statement that a pooler has lost, 55000 an object is
# not ready (for example a table without a replica identity is published), XX a corrupt index or an internal error.
CLASSES = ("42", "3F", "0A", "26", "55000", "XX")
QUIET_S = 15.0  # longer than the time between two tries of a statement that is retried

log = get_logger()


def is_incompatible(error: BaseException) -> bool:
    """Return whether the database refuses the statement itself, whatever its parameters are."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(CLASSES)


class Compatibility:
    """Whether the database is compatible, as one process sees it. Logs each change once."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._began = self._since = self._last = 0.0
        self.successes: Counter[str] = Counter()  # by statement

    @property
    def incompatible_for_s(self) -> float:
        """Return how long statements have been retried because of this; 0 when none is retried."""
        return monotonic() - self._since if self._refused and not self._is_quiet else 0.0

    def failed(self, error: BaseException, name: str) -> None:
        """Record that the database refused a statement."""
        if not self._refused or self._is_quiet:
            self._since = monotonic()
        self._last = monotonic()
        if not self._refused:
            self._began = self._last
            log.error(
                "schema_mismatch_found",
                query=name,
                error_type=type(error).__name__,
                error=message_of(error),
            )
        self._refused.add(name)

    def succeeded(self, name: str) -> None:
        """Record that a statement succeeded."""
        self.successes[name] += 1
        if name in self._refused:
            self._refused.discard(name)
            self._report()

    def job_succeeded(self) -> None:
        """Record that all statements of a job succeeded."""
        if self._refused and self._is_quiet:
            self._refused.clear()
            self._report()

    def usable_slots(self, slots: int, *, in_flight: int) -> int:
        """Return how many of the free slots may be filled: all, none, or one as a test."""
        if not self._refused:
            return slots
        return max(0, 1 - in_flight) if self._is_quiet else 0

    @property
    def _is_quiet(self) -> bool:
        """Whether no refused statement is retried at present."""
        return monotonic() - self._last > QUIET_S

    def _report(self) -> None:
        if not self._refused:
            log.info("schema_mismatch_ended", duration_s=round(monotonic() - self._began, 3))
