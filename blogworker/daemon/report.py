"""Tell systemd what the process does: readiness, a line of status, the watchdog, and more time while it is needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyio import current_time, sleep

from blogworker.db.retrying import DatabaseHealth
from blogworker.telemetry import get_logger, systemd
from blogworker.telemetry.progress import Progress

INTERVAL_S = 1.0
MORE_S = 30.0  # that starting or draining may take, from each report on
AFTER_DRAIN_S = 10.0  # from the end of the drain until the last job is released

log = get_logger()


class Reporter:
    """Reports every second. `doing`: returns what the process does, for `systemctl status`."""

    def __init__(self, progress: Progress, health: DatabaseHealth) -> None:
        self.doing: Callable[[], str] = lambda: "starting"
        self.drain_until: float | None = None
        self.progress = progress
        self.health = health
        self._is_ready = self._is_reloading = False
        self._late: list[str] = []  # at the last look
        self._stalled: list[str] = []

    def ready(self) -> None:
        """The first claim was answered."""
        if not self._is_ready:
            self._is_ready = True
            systemd.notify("READY=1", self._status())

    def awaits_database(self, why: str) -> bool:
        """The process waits for the database at its start. Return whether the reason is new."""
        line = f"waiting for the database: {why}"
        is_new = line != self.doing()
        self.doing = lambda: line
        return is_new

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """The settings are reloaded during the block."""
        if not self._is_ready:
            yield
            return
        self._is_reloading = True
        systemd.notify(*systemd.reloading(), "STATUS=reloading the settings")
        try:
            yield
        finally:
            self._is_reloading = False
            systemd.notify("READY=1", self._status())

    async def run(self) -> None:
        """Report forever. Does nothing without systemd."""
        if not systemd.supervised():
            return
        interval_s = systemd.watchdog_interval_s()
        while True:
            self._look()
            systemd.notify(*self._facts(is_watched=interval_s is not None))
            await sleep(min(INTERVAL_S, interval_s or INTERVAL_S))

    def _look(self) -> None:
        """Find out what is stalled. It counts at the second look: after SIGCONT all parts are late for a moment."""
        late = self.progress.stalled()
        stalled = [part for part in late if part in self._late]
        if stalled and stalled != self._stalled:
            log.error("worker_stalled", parts=stalled)
        self._late, self._stalled = late, stalled

    def _facts(self, *, is_watched: bool) -> list[str]:
        facts = [] if self._is_reloading else [self._status()]
        if self._stalled:
            return facts
        if is_watched:
            facts.append("WATCHDOG=1")
        if self._needs_time:
            facts.append(systemd.extend_timeout(MORE_S))
        return facts

    @property
    def _needs_time(self) -> bool:
        if self.drain_until is not None:
            return current_time() < self.drain_until + AFTER_DRAIN_S
        return not self._is_ready

    def _status(self) -> str:
        line = self.doing()
        if (seconds := self.health.unavailable_for_s) is not None:
            line += f"; the database is unavailable for {seconds:.0f} s"
        if self.health.compatibility.incompatible_for_s:
            line += "; the database lacks what this version needs"
        if self._stalled:
            line += f"; stalled: {', '.join(self._stalled)}"
        return f"STATUS={line}"
