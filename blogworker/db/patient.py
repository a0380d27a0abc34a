"""A database that is waited for.

A running job has paid for what it is about to store, so its statements are sent again until they get through; the end
of the worker's lease cancels them. Each of them may be repeated: it is fenced, and writes the same a second time. That
holds for a database that is away, and for one that does not fit for now (`misfit.py`).
"""

from collections import Counter
from time import monotonic

import psycopg
from anyio import fail_after, sleep
from psycopg_pool import PoolTimeout

from blogworker.backoff import backoff_s
from blogworker.db.misfit import Fit, misfit
from blogworker.db.pool import Row, Runner
from blogworker.db.words import in_words
from blogworker.telemetry import get_logger

ANSWER_S = 10.0  # a statement that takes longer is on a link that is dead
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
OTHERS_PASS = 3  # times that a statement got through for others while it does not fit for one: not the database's fault
TRIES = 8  # before that is believed
READ_ONLY = "25006"  # a failover left us on a standby; the driver does not count it as operational

log = get_logger()


# What may go by itself, by SQLSTATE: connections, resources and the system; then failovers and shutdowns, deadlocks,
# serialization failures, time-outs and cancellations. Not 54 (too large for Postgres), 28 or 42: the same fails again.
PASSING_CLASSES = ("08", "53", "58")
PASSING_STATES = {
    *(READ_ONLY, "25P03", "25P04", "40001", "40003", "40P01", "55P03"),
    *("57014", "57P01", "57P02", "57P03", "57P05"),
}


def is_transient(error: BaseException) -> bool:
    """Whether the same statement may well succeed later."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(PASSING_CLASSES) or error.sqlstate in PASSING_STATES
    # No server spoke: the connection was lost or not made, or we stopped waiting.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout | TimeoutError)


def read_only(error: BaseException) -> bool:
    return isinstance(error, psycopg.Error) and error.sqlstate == READ_ONLY


class DatabaseHealth:
    """Whether the database is there, as one process sees it. Says so once per change.

    A database that has become read-only still answers what only reads: it is back when a statement that it refused, by
    name, gets through.
    """

    def __init__(self) -> None:
        self._away_since: float | None = None
        self._refused: set[str] = set()
        self.fit = Fit()

    def trouble(self, error: BaseException, name: str) -> bool:
        """Take note of trouble that no statement is to blame for. False: the error is of another kind."""
        if misfit(error):
            self.fit.refused(error, name)
        elif is_transient(error):
            self.lost(error, name)
        else:
            return False
        return True

    def lost(self, error: BaseException, name: str) -> None:
        if read_only(error):
            self._refused.add(name)
        if self._away_since is None:
            self._away_since = monotonic()
            log.warning("database_lost", error_type=type(error).__name__, error=in_words(error))

    def found(self, name: str) -> None:
        self.fit.passed(name)
        if self._away_since is not None and (not self._refused or name in self._refused):
            log.info("database_back", duration_s=round(monotonic() - self._away_since, 3))
            self._away_since = None
            self._refused.clear()


class Doubt:
    """Whether a misfit is of one row alone: a trigger of another program refuses it, while the same statement gets
    through for others."""

    def __init__(self, passes: Counter[str], name: str) -> None:
        self._passes = passes
        self._name = name
        self._before = self._tries = 0

    def of_the_row(self) -> bool:
        """Asked after each try that did not fit."""
        if self._tries == 0:
            self._before = self._passes[self._name]
        self._tries += 1
        return self._tries > TRIES and self._passes[self._name] - self._before >= OTHERS_PASS


class RetryingDatabase(Runner):
    """Runs statements on another runner, again and again while the trouble is not their own.

    `waits_for_fit`: also while they do not fit the database.
    """

    def __init__(self, runner: Runner, health: DatabaseHealth, *, waits_for_fit: bool = True) -> None:
        self._runner = runner
        self._health = health
        self._waits_for_fit = waits_for_fit

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        failures = 0
        doubt = Doubt(self._health.fit.passes, name)
        while True:
            try:
                with fail_after(ANSWER_S):
                    rows = await self._runner.rows(name, **parameters)
            except (psycopg.Error, PoolTimeout, TimeoutError) as error:
                if misfit(error) and (not self._waits_for_fit or doubt.of_the_row()):
                    raise
                if not self._health.trouble(error, name):
                    raise
                failures += 1
            else:
                self._health.found(name)
                return rows
            await sleep(backoff_s(failures, base_s=FIRST_WAIT_S, cap_s=LONGEST_WAIT_S))
