"""The server process: listen, report readiness, stop on a signal."""

import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from anyio import CancelScope, create_task_group, get_cancelled_exc_class, open_signal_receiver
from uvicorn.protocols.http.h11_impl import H11Protocol

from blogworker.db.grants import OPERATOR
from blogworker.db.pool import Database
from blogworker.db.readiness import require_ready
from blogworker.errors import SettingsError
from blogworker.settings import DatabaseSettings
from blogworker.spend.estimate import Prices
from blogworker.telemetry import get_logger, systemd
from blogworker.web.app import application
from blogworker.web.settings import HttpSettings

FIRST_SOCKET = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)
BACKLOG = 4_096
FILES_BESIDE = 200  # open files besides connections of callers
HEAD_S = 15.0  # a connection may take this long to send the head of its first request
KEEP_ALIVE_S = 30
STUCK_S = 60.0  # an answer may wait this long for its reader
CHECK_S = 5.0
FIRST_REQUEST_S = 2.0  # how long a connection without a request stays open when the server stops
DRAIN_S = 10  # for requests in progress
MOST_HEAD_BYTES = 32 * 1024
log = get_logger()


class Protocol(H11Protocol):
    """Cuts off connections that send no request, that do not read their answer, and those above the limit.

    Bytes that are no request, and the rest of a body that was refused, do not extend the time.
    """

    most: int  # open connections

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._stuck_since: float | None = None
        if len(self.connections) > self.most:
            transport.abort()
            return
        self._checks = self.loop.call_later(CHECK_S, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_checks"):
            self._checks.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Close the connection after its answer. The first request of a new connection may still be on its way."""
        if self.cycle is None:
            self.loop.call_later(FIRST_REQUEST_S, self._close)
        else:
            super().shutdown()

    def _close(self) -> None:
        if not self.transport.is_closing():
            super().shutdown()

    def _check(self) -> None:
        now = self.loop.time()
        is_busy = self.cycle is not None and not self.cycle.response_complete
        longest = HEAD_S if self.cycle is None else KEEP_ALIVE_S
        if self.transport.get_write_buffer_size() == 0:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        is_stuck = self._stuck_since is not None and now - self._stuck_since > STUCK_S
        if is_stuck or (not is_busy and now - self._idle_since > longest):
            self.transport.abort()
        else:
            self._checks = self.loop.call_later(CHECK_S, self._check)


class Server(uvicorn.Server):
    """Leaves signals to the caller. Calls `on_started` once it accepts connections."""

    on_started: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: HttpSettings,
    database_settings: DatabaseSettings,
    *,
    queue_size_limit: int | None,
    prices: Prices,
    on_listening: Callable[[str], None],
    signals: bool = True,
) -> None:
    """Serve until SIGTERM or SIGINT, or until cancelled; requests in progress have ten seconds to end.

    `signals`: whether signals are handled here.

    Raises SettingsError when the address cannot be used, and DatabaseNotReady unless the database is migrated.
    """
    with listener(settings) as found:
        most = min(settings.connections, allow_files(settings.connections + FILES_BESIDE) - FILES_BESIDE)
        async with Database(database_settings, application="blogworker serve", checked=True) as database:
            async with database.connection() as connection:
                await require_ready(connection, needs=OPERATOR)
            app = application(database, rpm=settings.rpm, queue_size_limit=queue_size_limit, prices=prices)
            server = Server(
                uvicorn.Config(
                    app,
                    http=type("LimitedProtocol", (Protocol,), {"most": most}),
                    ws="none",
                    lifespan="off",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,
                    h11_max_incomplete_event_size=MOST_HEAD_BYTES,
                    timeout_keep_alive=KEEP_ALIVE_S,
                    timeout_graceful_shutdown=DRAIN_S,
                )
            )
            server.on_started = partial(_started, found, on_listening)
            async with create_task_group() as tasks:
                if signals:
                    tasks.start_soon(_stop_on_signal, server, app)
                tasks.start_soon(systemd.feed_watchdog)
                try:
                    await server.serve([found])
                except get_cancelled_exc_class():
                    app.state.stopping.set()
                    with CancelScope(shield=True):
                        await server.shutdown([found])
                    raise
                tasks.cancel_scope.cancel()
            log.info("http_stopped")


def allow_files(number: int) -> int:
    """Raise the limit of open files as far as it is allowed, and return it: a shell often allows 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(FILES_BESIDE + 1, number if soft == resource.RLIM_INFINITY else max(soft, wanted))


@contextmanager
def listener(settings: HttpSettings) -> Iterator[socket.socket]:
    """Yield the socket that systemd passed, else a new one. Raises SettingsError if the address cannot be used."""
    if (passed := systemd.passed_sockets()) > 0:
        found = socket.socket(fileno=FIRST_SOCKET)
        if passed > 1:
            raise SettingsError(f"systemd passed {passed} sockets: give the unit one ListenStream=")
    else:
        found = _bound(settings)
    with found:
        yield found


def _bound(settings: HttpSettings) -> socket.socket:
    try:
        return socket.create_server(
            (settings.host, settings.port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = reason.partition(" (while attempting")[0]  # Python repeats the address there
        raise SettingsError(
            f"cannot listen on {settings.host}, port {settings.port}: {reason}; choose others with --host and --port"
        ) from error


def _started(found: socket.socket, on_listening: Callable[[str], None]) -> None:
    host, port = found.getsockname()[:2] if found.family != socket.AF_UNIX else (found.getsockname(), 0)
    address = f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"
    log.info("http_started", address=address)
    systemd.notify("READY=1", f"STATUS=listening on {address}")
    on_listening(address)


async def _stop_on_signal(server: Server, app: Any) -> None:
    with open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            systemd.notify("STOPPING=1")
            app.state.stopping.set()
            server.force_exit = server.should_exit
            server.should_exit = True
