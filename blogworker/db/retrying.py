"""Retry statements while the database is unavailable or incompatible (`compatibility.py`).

A running job has paid for the results that it stores, so its statements are retried until they succeed or the worker's
lease ends. Each of them can be repeated safely: it is fenced by the attempt, and writes the same values again.
"""

from collections import Counter
from collections.abc import Callable
from time import monotonic

import psycopg
from anyio import fail_after, sleep
from psycopg_pool import PoolTimeout

from blogworker.backoff import backoff_s
from blogworker.db.compatibility import Compatibility, is_incompatible
from blogworker.db.messages import message_of
from blogworker.db.pool import Row, Runner
from blogworker.telemetry import get_logger

ANSWER_S = 10.0  # a statement that takes longer counts as lost with its connection
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
OTHERS_SUCCEED = 3  # successes of the same statement for other rows that show that one row alone is refused
TRIES = 8  # refusals of the row before that
READ_ONLY = "25006"  # after a failover we are connected to a standby; the driver does not report it as OperationalError

log = get_logger()


# Errors that can end by themselves. Classes: connections, resources, system errors. States: failovers and shutdowns,
# deadlocks, serialization failures, timeouts, cancellations. Not 54 (too large for Postgres), 28 or 42: these repeat.
TRANSIENT_CLASSES = ("08", "53", "58")
TRANSIENT_STATES = {
    *(READ_ONLY, "25P03", "25P04", "40001", "40003", "40P01", "55P03"),
    *("57014", "57P01", "57P02", "57P03", "57P05"),
}


def is_transient(error: BaseException) -> bool:
    """Return whether the same statement may succeed later."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(TRANSIENT_CLASSES) or error.sqlstate in TRANSIENT_STATES
    # Without an SQLSTATE the server did not answer: no connection, a lost connection, or a timeout.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout | TimeoutError)


def _is_read_only(error: BaseException) -> bool:
    return isinstance(error, psycopg.Error) and error.sqlstate == READ_ONLY


class DatabaseHealth:
    """Whether the database is available and compatible, as one process sees it. Logs each change once.

    A database that has become read-only still answers queries. So it counts as available again only when a statement
    that it refused succeeds.
    """

    def __init__(self) -> None:
        self._unavailable_since: float | None = None
        self._refused: set[str] = set()
        self.compatibility = Compatibility()

    @property
    def unavailable_for_s(self) -> float | None:
        """Return for how long the database has been unavailable; None: it is available."""
        return None if self._unavailable_since is None else monotonic() - self._unavailable_since

    def note_error(self, error: BaseException, name: str) -> bool:
        """Record an error that is no fault of the statement's parameters. Return False for any other error."""
        if is_incompatible(error):
            self.compatibility.failed(error, name)
        elif is_transient(error):
            self._note_unavailable(error, name)
        else:
            return False
        return True

    def _note_unavailable(self, error: BaseException, name: str) -> None:
        if _is_read_only(error):
            self._refused.add(name)
        if self._unavailable_since is None:
            self._unavailable_since = monotonic()
            log.warning("database_lost", error_type=type(error).__name__, error=message_of(error))

    def note_success(self, name: str) -> None:
        """Record that a statement succeeded."""
        self.compatibility.succeeded(name)
        if self._unavailable_since is not None and (not self._refused or name in self._refused):
            log.info("database_recovered", duration_s=round(monotonic() - self._unavailable_since, 3))
            self._unavailable_since = None
            self._refused.clear()


class _RefusedRow:
    """Detects that the database refuses one row only, for example by a trigger of another program: the same statement
    succeeds for other rows meanwhile."""

    def __init__(self, successes: Counter[str], name: str) -> None:
        self._successes = successes
        self._name = name
        self._before = self._tries = 0

    def is_certain(self) -> bool:
        """Return whether that is certain. Called after each refusal."""
        if self._tries == 0:
            self._before = self._successes[self._name]
        self._tries += 1
        return self._tries > TRIES and self._successes[self._name] - self._before >= OTHERS_SUCCEED


class RetryingDatabase(Runner):
    """Runs statements on another runner, and retries them after transient errors.

    `retries_incompatible`: retry also while the database is incompatible. `on_try`: called before each try.
    """

    def __init__(
        self,
        runner: Runner,
        health: DatabaseHealth,
        *,
        retries_incompatible: bool = True,
        on_try: Callable[[], object] = bool,
    ) -> None:
        self._runner = runner
        self._health = health
        self._retries_incompatible = retries_incompatible
        self._on_try = on_try

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        failures = 0
        refused_row = _RefusedRow(self._health.compatibility.successes, name)
        while True:
            self._on_try()
            try:
                with fail_after(ANSWER_S):
                    rows = await self._runner.rows(name, **parameters)
            except (psycopg.Error, PoolTimeout, TimeoutError) as error:
                if is_incompatible(error) and (not self._retries_incompatible or refused_row.is_certain()):
                    raise
                if not self._health.note_error(error, name):
                    raise
                failures += 1
            else:
                self._health.note_success(name)
                return rows
            await sleep(backoff_s(failures, base_s=FIRST_WAIT_S, cap_s=LONGEST_WAIT_S))
