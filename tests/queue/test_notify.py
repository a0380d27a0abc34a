"""A listener turns notifications into flags, whoever sends them and whatever they contain."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection, OperationalError
from psycopg.errors import UndefinedTable
from structlog.testing import capture_logs

from blogworker.db.pool import Database, connect
from blogworker.db.sql import query
from blogworker.queue import notify
from blogworker.queue.notify import CANCEL, WORK, Flag, Listener, ListenFlooded, Reader
from blogworker.settings import DatabaseSettings

pytestmark = pytest.mark.anyio

WITHIN_S = 45.0
LONGEST = 7_999  # bytes of a payload
# All of them differ: Postgres sends equal notifications of one transaction once.
SENT_OFTEN = "select pg_notify('blogworker_jobs', left(n || repeat('x', 7999), %s)) from generate_series(1, %s) as n"


@dataclass
class Heard:
    """One listening connection, the flags it sets, and a way to wait for all that was sent."""

    connection: AsyncConnection[Any]
    sender: AsyncConnection[Any]
    work: Flag = field(default_factory=Flag)
    cancel: Flag = field(default_factory=Flag)

    def __post_init__(self) -> None:
        self.flags = {WORK: self.work, CANCEL: self.cancel}
        self.reader = Reader(self.connection.pgconn, self.flags)

    async def send(self, payload: str) -> None:
        await self.sender.execute("select pg_notify('blogworker_jobs', %s)", [payload])

    async def ping(self) -> None:
        await self.reader.execute(query("queue/ping"))

    async def hear_all(self) -> tuple[bool, bool]:
        """Whether there may be work, and cancelled jobs."""
        token, end = f"end {uuid4()}", Flag()
        self.flags[token.encode()] = end
        await self.send(token)
        with fail_after(WITHIN_S):
            while not end.is_set:
                await self.reader.listen()
        return self.work.is_set, self.cancel.is_set


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Heard]:
    ours, theirs = await connect(url, timeout_s=5), await connect(url, timeout_s=5)
    try:
        heard = Heard(ours, theirs)
        await heard.reader.execute(query("queue/listen"))
        yield heard
    finally:
        await ours.close()
        await theirs.close()


@pytest.fixture
async def heard(empty_url: str) -> AsyncIterator[Heard]:
    async with listening(empty_url) as opened:
        yield opened


@pytest.mark.parametrize(("payload", "expected"), [("", (True, False)), ("cancel", (False, True))])
async def test_each_known_payload_sets_its_own_flag(heard: Heard, payload: str, expected: tuple[bool, bool]) -> None:
    await heard.send(payload)

    assert await heard.hear_all() == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=LONGEST // 4))
async def test_an_unknown_payload_is_ignored(heard: Heard, payload: str) -> None:
    """Anyone can send it: it makes no worker query the database."""
    if payload.encode() == CANCEL:
        return
    await heard.send(payload)

    assert await heard.hear_all() == (False, False)


async def test_a_flag_that_was_set_many_times_wakes_once(heard: Heard) -> None:
    for _ in range(400):
        await heard.send("")
    await heard.hear_all()

    with fail_after(WITHIN_S):
        await heard.work.wait_and_clear()

    with move_on_after(0.05) as waited:
        await heard.work.wait_and_clear()
    assert waited.cancelled_caught


@pytest.mark.parametrize("length", [9, LONGEST])
async def test_too_many_notifications_end_the_listening_whatever_their_size(heard: Heard, length: int) -> None:
    await heard.sender.execute(SENT_OFTEN, [length, 5_000])

    with pytest.raises(ListenFlooded):
        await again_and_again(heard.reader.listen)


@pytest.mark.parametrize("statement", ["queue/listen", "queue/ping"])
async def test_too_many_notifications_end_the_listening_during_a_statement(heard: Heard, statement: str) -> None:
    """The answer follows all of them, and none may be stored until it arrives: that was 40 MB here."""
    await heard.sender.execute(SENT_OFTEN, [LONGEST, 5_000])
    stored_before = anonymous_bytes()

    with pytest.raises(ListenFlooded):
        await again_and_again(partial(heard.reader.execute, query(statement)))

    assert anonymous_bytes() - stored_before < 5_000 * LONGEST / 2


async def test_a_liveness_check_is_answered_among_notifications(heard: Heard) -> None:
    for payload in ("", "cancel", "other"):
        await heard.send(payload)

    with fail_after(WITHIN_S):
        await heard.ping()
        await heard.ping()

    assert await heard.hear_all() == (True, True)


async def test_a_liveness_check_fails_on_a_connection_that_was_cut(heard: Heard) -> None:
    await heard.sender.execute("select pg_terminate_backend(%s)", [heard.connection.info.backend_pid])

    with pytest.raises(OperationalError):
        await again_and_again(heard.ping)


async def test_a_refused_statement_raises_the_error_of_postgres(heard: Heard) -> None:
    with pytest.raises(UndefinedTable):
        await heard.reader.execute("select from no_such_table")

    await heard.ping()


async def test_a_listener_starts_to_listen_without_the_driver(
    database: Database, database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is slow to answer LISTEN sends what arrives meanwhile first: that was 70 MB in one worker."""
    ran: list[str] = []
    execute = Reader.execute

    async def noted(self: Reader, statement: LiteralString) -> None:
        ran.append(statement)
        await execute(self, statement)

    monkeypatch.setattr(Reader, "execute", noted)
    work, cancel = Flag(), Flag()
    listener = Listener(database_settings, database, work=work, cancel=cancel)

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            tasks.start_soon(listener.run)
            await work.wait_and_clear()
            tasks.cancel_scope.cancel()

    assert ran[0] == query("queue/listen")


def anonymous_bytes() -> int:
    """What this process has allocated."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("RssAnon:"))


async def again_and_again(act: Callable[[], Awaitable[object]]) -> None:
    with fail_after(WITHIN_S):
        while True:
            await act()


async def test_a_flooded_listener_polls_logs_it_once_and_listens_again(
    database: Database, database_settings: DatabaseSettings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is enqueued meanwhile must not wait for the poll of an idle worker."""
    for name, seconds in {"DISCONNECTED_S": 0.3, "POLL_S": 0.05, "PING_S": 0.5}.items():
        monkeypatch.setattr(notify, name, seconds)
    begun = begun_listening(monkeypatch)
    work, cancel = Flag(), Flag()
    listener = Listener(database_settings, database, work=work, cancel=cancel)

    with capture_logs() as logs, fail_after(WITHIN_S):
        async with create_task_group() as tasks, await connect(database_url, timeout_s=5) as sender:
            tasks.start_soon(listener.run)
            await until(lambda: count_of(logs, "listen_connected"))
            while len(begun) < 4:  # each was flooded in its turn
                await sender.execute(SENT_OFTEN, [100, 3_000])
                await work.wait_and_clear()
                await cancel.wait_and_clear()
            assert count_of(logs, "listen_suspended") == 1
            await until(lambda: count_of(logs, "listen_connected") == 2)
            await sender.execute(SENT_OFTEN, [100, 3_000])
            await until(lambda: count_of(logs, "listen_suspended") == 2)
            tasks.cancel_scope.cancel()

    assert "xxx" not in str(logs)


def begun_listening(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that the listener opens from now on."""
    begun = []

    async def counted(url: str, **options: Any) -> AsyncConnection[Any]:
        begun.append(url)
        return await connect(url, **options)

    monkeypatch.setattr(notify, "connect", counted)
    return begun


def count_of(logs: list[Any], event: str) -> int:
    return sum(line["event"] == event for line in logs)


async def until(fact: Callable[[], object]) -> None:
    while not fact():
        await sleep(0.01)


async def test_a_connection_of_the_pool_keeps_no_notification(database: Database, database_url: str) -> None:
    """A pooler may pass on what another session listens for: kept by the driver, they would pile up for ever."""
    async with database.connection() as pooled, await connect(database_url, timeout_s=5) as sender:
        await pooled.execute(query("queue/listen"))
        await sender.execute(SENT_OFTEN, [100, 50])
        await pooled.execute(query("queue/ping"))
        await pooled.execute(query("queue/ping"))

        kept = [notification async for notification in pooled.notifies(timeout=0)]
    assert kept == []
