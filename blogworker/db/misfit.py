"""A database that does not fit the program: a function was renamed, a grant revoked, the schema is another version's.

No job is to blame and no job pays for it. Who met it waits and tries again; nothing new is claimed meanwhile. It fits
again when a statement that it refused gets through. Where no job is left to try one, a single job is let through after
a while, and tries.
"""

from collections import Counter
from time import monotonic

import psycopg

from blogworker.db.words import in_words
from blogworker.telemetry import get_logger

# SQLSTATE classes: 42 what is named is not there or not allowed, 3F no such schema, 0A not supported (a prepared
# statement whose result has changed, among others), 26 a prepared statement that a pooler has lost.
CLASSES = ("42", "3F", "0A", "26")
QUIET_S = 15.0  # a statement that is waited for is tried more often than that

log = get_logger()


def misfit(error: BaseException) -> bool:
    """Whether the statement does not fit the database, whatever its parameters are."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(CLASSES)


class Fit:
    """Whether the database fits, as one process sees it. Says so once per change."""

    def __init__(self) -> None:
        self._refused: set[str] = set()
        self._began = self._since = self._last = 0.0
        self.passes: Counter[str] = Counter()  # by statement: how often it got through

    @property
    def waited_s(self) -> float:
        """For how long statements have been waiting for it to fit; 0: none is."""
        return monotonic() - self._since if self._refused and not self._quiet else 0.0

    def refused(self, error: BaseException, name: str) -> None:
        if not self._refused or self._quiet:
            self._since = monotonic()
        self._last = monotonic()
        if not self._refused:
            self._began = self._last
            log.error(
                "misfit_found",
                query=name,
                error_type=type(error).__name__,
                error=in_words(error),
            )
        self._refused.add(name)

    def passed(self, name: str) -> None:
        self.passes[name] += 1
        if name in self._refused:
            self._refused.discard(name)
            self._report()

    def tried(self) -> None:
        """A job went through all that it needed."""
        if self._refused and self._quiet:
            self._refused.clear()
            self._report()

    def room(self, slots: int, *, in_flight: int) -> int:
        """How many of so many free slots may be filled."""
        if not self._refused:
            return slots
        return max(0, 1 - in_flight) if self._quiet else 0

    @property
    def _quiet(self) -> bool:
        return monotonic() - self._last > QUIET_S

    def _report(self) -> None:
        if not self._refused:
            log.info("misfit_ended", duration_s=round(monotonic() - self._began, 3))
