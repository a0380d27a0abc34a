"""LISTEN for notifications, so that an idle worker wakes up at once. Notifications are hints; workers also poll.

Any role that may connect may notify, without a limit. So a notification only sets a flag; its payload is compared and
dropped. When more than `MOST_PER_S` arrive, the listener disconnects and polls until they end. Reading slowly would not
help: Postgres keeps unread notifications of all listeners in one queue, and when that queue is full, enqueuing fails.
"""

from time import monotonic
from typing import LiteralString
from uuid import uuid4

from anyio import Event, fail_after, move_on_after, sleep, wait_readable, wait_writable
from psycopg import AsyncConnection
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.pq.misc import PGnotify
from psycopg.rows import DictRow

from blogworker.db.pool import Database, connect
from blogworker.db.sql import query
from blogworker.errors import BlogworkerError
from blogworker.settings import DatabaseSettings
from blogworker.telemetry import get_logger

WORK = b""  # a payload: there may be work
CANCEL = b"cancel"  # a payload: a person has cancelled a running job
PING_S = 10.0  # between two tests that the connection still works
ANSWER_S = 5.0
MOST_PER_S = 1_000  # far more than all triggers and cancellations of a fleet send
DISCONNECTED_S = 5.0  # the pause before the next connection
POLL_S = 1.0  # the poll interval during that pause

log = get_logger()


class NotDelivered(BlogworkerError):
    """Notifications do not arrive on this connection, because a pooler in between drops them."""


class ListenFlooded(BlogworkerError):
    """More notifications arrive than this program ever sends."""


class Flag:
    """An event for one waiter. Setting it several times wakes the waiter once."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait_and_clear(self) -> None:
        """Wait until the flag is set, then clear it."""
        await self._event.wait()
        self._event = Event()


class Reader:
    """Sets the flag of each known payload, and drops all other notifications.

    It reads the libpq connection itself, because the driver would decode and store everything that arrives.
    """

    def __init__(self, connection: PGconn, flags: dict[bytes, Flag]) -> None:
        self._connection = connection
        self._flags = flags
        self._second_ends = 0.0
        self._this_second = 0
        connection.notify_handler = self._receive

    async def listen(self) -> None:
        """Wait for notifications and read all that have arrived. Raises OperationalError or ListenFlooded."""
        await wait_readable(self._connection.socket)
        self._read_arrived()

    async def execute(self, statement: LiteralString) -> None:
        """Run a statement whose rows do not matter. Raises the error of Postgres, OperationalError or ListenFlooded.

        Its answer follows all notifications of the server's queue. The driver would store them until it arrives.
        """
        self._connection.send_query(statement.encode())
        while self._connection.flush():
            await wait_writable(self._connection.socket)
        failed: PGresult | None = None
        more = True
        while more:
            while self._connection.is_busy():
                await self.listen()
            result = self._connection.get_result()
            more = result is not None
            if result is not None and result.status == ExecStatus.FATAL_ERROR:
                failed = result
        if failed is not None:
            raise error_from_result(failed)

    def _read_arrived(self) -> None:
        more = True
        while more:  # with TLS, data that is left in the buffer would not make the socket readable again
            self._connection.consume_input()
            more = False
            while notification := self._connection.notifies():
                more = True
                self._receive(notification)

    def _receive(self, notification: PGnotify) -> None:
        if (now := monotonic()) >= self._second_ends:
            self._second_ends, self._this_second = now + 1, 0
        self._this_second += 1
        if self._this_second > MOST_PER_S:
            raise ListenFlooded(f"more than {MOST_PER_S} notifications in a second")
        if flag := self._flags.get(notification.extra):
            flag.set()


class Listener:
    """Sets `work` when there may be work, and `cancel` when jobs may have been cancelled."""

    def __init__(self, settings: DatabaseSettings, database: Database, *, work: Flag, cancel: Flag) -> None:
        self._settings = settings
        self._database = database
        self._work = work
        self._cancel = cancel
        self._flooded = False

    async def run(self) -> None:
        """Listen forever. Raises when the connection breaks or does not deliver notifications."""
        while True:
            try:
                await self._listen()
            except ListenFlooded:
                if not self._flooded:
                    log.warning("listen_suspended", most_per_s=MOST_PER_S, poll_s=POLL_S)
                self._flooded = True
            with move_on_after(DISCONNECTED_S):
                await self._poll()

    async def _poll(self) -> None:
        while True:
            self._set_both()
            await sleep(POLL_S)

    def _set_both(self) -> None:
        self._work.set()
        self._cancel.set()

    async def _listen(self) -> None:
        settings = self._settings
        url, timeout_s = settings.direct, settings.connect_timeout_s
        connection = await connect(url, timeout_s=timeout_s, application="blogworker listen")
        try:
            await self._read_all(connection)
        finally:
            await connection.close()

    async def _read_all(self, connection: AsyncConnection[DictRow]) -> None:
        flags = {WORK: self._work, CANCEL: self._cancel}
        reader = Reader(connection.pgconn, flags)
        await reader.execute(query("queue/listen"))
        await self._require_delivery(reader, flags)
        if not self._flooded:
            log.info("listen_connected")
        self._set_both()  # notifications from before this connection are lost
        while True:
            with move_on_after(PING_S):
                while True:
                    await reader.listen()
            with fail_after(ANSWER_S):  # a connection that was cut silently would never report it
                await reader.execute(query("queue/ping"))
            if self._flooded:
                self._flooded = False
                log.info("listen_connected")

    async def _require_delivery(self, reader: Reader, flags: dict[bytes, Flag]) -> None:
        """Send a notification over another connection, and wait until it arrives here."""
        token, proof = f"probe {uuid4()}", Flag()
        flags[token.encode()] = proof
        try:
            with fail_after(ANSWER_S):
                await self._database.execute("queue/notify", payload=token)
                while not proof.is_set:
                    await reader.listen()
        except TimeoutError:
            raise NotDelivered(
                "notifications do not arrive: set DATABASE_DIRECT_URL; until then this worker polls"
            ) from None
