"""Run one incarnation of a worker after another; drain and reload on signals."""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress

from anyio import create_task_group, current_time, open_signal_receiver
from anyio.abc import TaskGroup, TaskStatus

from blogworker.daemon.forkserver import ForkServer
from blogworker.daemon.incarnation import Incarnation
from blogworker.daemon.isolation import Isolation
from blogworker.daemon.reload import Reloaded, Reloader
from blogworker.daemon.reload_socket import accept_settings
from blogworker.daemon.report import MORE_S, Reporter
from blogworker.daemon.ticker import every
from blogworker.db.migrate import state
from blogworker.db.pool import Database
from blogworker.errors import DatabaseNotReady
from blogworker.queue.rescue import FormerLease
from blogworker.settings import Settings, WorkerSettings
from blogworker.signals import handled_signals
from blogworker.telemetry import get_logger, systemd

COMPATIBILITY_S = 5.0
SUSPECTS_S = 1.0
RELEASE_AFTER_S = 60.0  # how long jobs wait for an incompatible database to be repaired, before they are released

log = get_logger()


def has_terminal() -> bool:
    """Return whether the process has a controlling terminal, which sends SIGHUP when it closes."""
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False


class Supervisor:
    """Runs one incarnation after another. When a lease ends, the worker registers again with a new lease.

    `begin` creates an incarnation, not registered yet. `reloader`: None: the settings cannot be reloaded.
    """

    def __init__(
        self,
        begin: Callable[..., Incarnation],
        worker: WorkerSettings,
        database: Database,
        reporter: Reporter,
        forks: ForkServer | None = None,
    ) -> None:
        self._isolation = (
            None if forks is None else Isolation(database, forks, worker.name, drain_timeout_s=worker.drain_timeout)
        )
        self.reloader: Reloader | None = None
        self._begin = begin
        self._worker = worker
        self._database = database
        self._reporter = reporter
        self._health = reporter.health
        self._incarnation: Incarnation | None = None
        self._stopping = False
        self._settled = self._released = 0  # by earlier incarnations
        self._outdated: DatabaseNotReady | None = None

    async def run(self, *, until_empty: bool = False) -> None:
        """Run until the worker is done. Raises DatabaseNotReady after a drain because of a newer database."""
        former: FormerLease | None = None
        self._reporter.doing = self._doing
        async with create_task_group() as watches:
            # These run also without a lease: the process stays up while the database is unavailable, even for hours.
            await watches.start(self._handle_signals, watches)
            watches.start_soon(every, "compatibility", COMPATIBILITY_S, self._check_compatibility)
            await watches.start(accept_settings, self.reload)
            if self._isolation is not None:
                watches.start_soon(every, "suspects", SUSPECTS_S, self._isolation.tick)
            while not self._stopping:
                self._incarnation = self._begin(former=former)
                done = await self._incarnation.run(until_empty=until_empty)
                if done:
                    break
                former = self._incarnation.former
                self._settled += self._incarnation.worker.ended.settled
                self._released += self._incarnation.worker.ended.released
            watches.cancel_scope.cancel()
        settled, released = self._totals()
        log.info("worker_stopped", worker=self._worker.name, settled=settled, released=released)
        if self._outdated is not None:
            raise self._outdated

    async def use(self, settings: Settings) -> None:
        """Continue with other settings."""
        self._worker = settings.worker
        if self._isolation is not None:
            self._isolation.drain_timeout_s = settings.worker.drain_timeout
        if self._incarnation is not None:
            await self._incarnation.use(settings)

    async def reload(self, delivered: Mapping[str, str] | None = None) -> Reloaded:
        """Read the settings again, or take those that were delivered."""
        if self._stopping or self.reloader is None:
            return Reloaded(error="the worker is stopping" if self._stopping else "this worker cannot reload")
        with self._reporter.reloading():
            return await self.reloader.reload(delivered)

    def _totals(self) -> tuple[int, int]:
        if self._incarnation is None:
            return self._settled, self._released
        ended = self._incarnation.worker.ended
        return self._settled + ended.settled, self._released + ended.released

    def _doing(self) -> str:
        """Return what `systemctl status` shows."""
        incarnation, (settled, _) = self._incarnation, self._totals()
        in_flight = incarnation.worker.in_flight if incarnation is not None else 0
        if self._reporter.drain_until is not None:
            left_s = max(0.0, self._reporter.drain_until - current_time())
            return f"draining: {in_flight} jobs run, those left in {left_s:.0f} s are requeued; {settled} settled"
        if incarnation is None or not incarnation.registered:
            return f"waiting for a new lease; {settled} settled" if settled else "waiting for a lease"
        return f"{incarnation.worker.slots_used} of {self._worker.concurrency} slots in use; {settled} jobs settled"

    async def _check_compatibility(self) -> None:
        """Handle an incompatible database: release jobs that have waited too long.

        Drain if a newer version has migrated the database, because then waiting does not help.
        """
        if (
            self._incarnation is None
            or self._stopping
            or (waited_s := self._health.compatibility.incompatible_for_s) == 0
        ):
            return
        if waited_s > RELEASE_AFTER_S and (count := self._incarnation.worker.release_running()):
            log.warning("jobs_released", count=count)
        async with self._database.connection() as connection:
            found = await state(connection)
        if found.unknown:
            self._outdated = found.newer()
            log.error("newer_database_found", error=str(self._outdated))
            self._stopping = True
            self._drain(self._incarnation, self._worker.drain_timeout)

    async def _handle_signals(self, watches: TaskGroup, *, task_status: TaskStatus[None]) -> None:
        """Reload at SIGHUP. Drain at the first other signal, and release all jobs at once at the second.

        With a terminal, SIGHUP means that it was closed, so it drains too. A terminal may send it twice, once itself
        and once through its shell: the second is ignored.
        """
        terminal = has_terminal()
        with open_signal_receiver(*handled_signals()) as signals:
            task_status.started()
            async for received in signals:
                incarnation = self._incarnation
                if received == signal.SIGHUP and self._stopping:
                    continue
                if received == signal.SIGHUP and not terminal:
                    watches.start_soon(self.reload)
                elif incarnation is None or self._stopping:
                    self._cut_short()
                else:
                    self._stopping = True
                    timeout_s = self._worker.drain_timeout
                    in_flight = incarnation.worker.in_flight
                    log.info("drain_started", signal=received.name, in_flight=in_flight, drain_timeout_s=timeout_s)
                    self._drain(incarnation, timeout_s)

    def _drain(self, incarnation: Incarnation, timeout_s: float) -> None:
        self._reporter.drain_until = current_time() + timeout_s
        systemd.notify("STOPPING=1", f"STATUS={self._doing()}", systemd.extend_timeout(MORE_S))
        incarnation.drain(timeout_s)
        if self._isolation is not None:
            self._isolation.drain()

    def _cut_short(self) -> None:
        if self._incarnation is not None:
            log.warning("drain_interrupted", in_flight=self._incarnation.worker.in_flight)
            self._drain(self._incarnation, 0)
