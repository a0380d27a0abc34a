"""Notifications are hints: one has an effect at once, any number of them costs a worker no more than a few."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from anyio import create_task_group, current_time, fail_after, sleep
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint
from psycopg import AsyncConnection

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.dedicated import DedicatedConnection
from blogworker.db.pool import Database, Row, connect
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.queue.notify import MOST_PER_S
from blogworker.quota.breaker import Breakers
from blogworker.settings import DatabaseSettings, load

pytestmark = pytest.mark.anyio

WITHIN_S = 45.0
LEASE_S = 15.0
LOOK_S = 0.002
QUICK_S = 0.5  # far less than the poll, far more than a wake takes on a busy machine


class Statements:
    """What a worker asks the database, by name: how often, and how many at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        monkeypatch.setattr(Database, "rows", self._counting(Database.rows))
        monkeypatch.setattr(Database, "briefly", self._counting(Database.briefly))
        monkeypatch.setattr(DedicatedConnection, "rows", self._counting(DedicatedConnection.rows))

    def _counting(self, run: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(database: object, *statement: Any, **parameters: object) -> list[Row]:
            name = statement[0] if isinstance(statement[0], str) else statement[-1][0]
            self.sent[name] += 1
            self.at_once[name] += 1
            self.most[name] = max(self.most[name], self.at_once[name])
            try:
                return await run(database, *statement, **parameters)
            finally:
                self.at_once[name] -= 1

        return counted


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    return Statements(monkeypatch)


@asynccontextmanager
async def working(database: Database, settings: DatabaseSettings) -> AsyncIterator[Incarnation]:
    """A worker that would sleep for ever, once it listens and has grown quiet."""
    whole = load({"database": {"url": settings.url}, "worker": {"name": "w", "lease": LEASE_S, "poll_interval": 3_600}})

    async def pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
        return Done()

    async def work(*, task_status: TaskStatus[Incarnation]) -> None:
        incarnation = Incarnation(whole, database, DatabaseHealth(), pipeline, gate=Gate(Breakers(database), "wait"))
        task_status.started(incarnation)
        await incarnation.run(until_empty=False)

    with fail_after(WITHIN_S):
        async with create_task_group() as tasks:
            incarnation = await tasks.start(work)
            yield incarnation
            incarnation.drain(0)


@pytest.fixture
async def outsider(database_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    connection = await connect(database_url, timeout_s=5)
    async with connection:
        yield connection


async def until(fact: Callable[[], object]) -> float:
    """Seconds until it is so."""
    began = current_time()
    while not fact():
        await sleep(LOOK_S)
    return current_time() - began


async def quiet(statements: Statements, name: str, *, for_s: float) -> None:
    """Wait until no statement of a name was sent for so long."""
    sent, since = statements.sent[name], current_time()
    while current_time() - since < for_s or not sent:
        await sleep(LOOK_S)
        if statements.sent[name] != sent:
            sent, since = statements.sent[name], current_time()


async def test_any_rate_of_notifications_costs_a_few_claims_and_extensions(
    database: Database, database_settings: DatabaseSettings, statements: Statements, outsider: AsyncConnection[Any]
) -> None:
    """Slightly fewer than a flood: each used to start an extension of the lease."""
    async with working(database, database_settings):
        await quiet(statements, "queue/claim", for_s=0.5)
        before, began, notified = statements.sent.copy(), current_time(), 0
        while (passed_s := current_time() - began) < 2:
            if notified < passed_s * MOST_PER_S * 0.8:
                notified += 2
                await outsider.execute("select pg_notify('blogworker_jobs', p) from unnest(array['', 'cancel']) as p")
            await checkpoint()
        sent = statements.sent - before

    assert notified > 100
    assert statements.most["queue/claim"] == statements.most["queue/extend_lease"] == 1
    assert sent["queue/extend_lease"] <= 2 / 0.45 + 3
    assert sent["queue/claim"] <= 200
    assert sent["queue/promote"] >= 1


async def test_endless_notifications_cost_no_more(
    database: Database, database_settings: DatabaseSettings, statements: Statements
) -> None:
    async with working(database, database_settings) as worker:
        await quiet(statements, "queue/claim", for_s=0.5)
        before, began = statements.sent.copy(), current_time()
        while current_time() - began < 2:
            worker._listener._set_both()
            await checkpoint()
        sent = statements.sent - before

    assert statements.most["queue/claim"] == statements.most["queue/extend_lease"] == 1
    assert sent["queue/extend_lease"] <= 2 / 0.45 + 3
    assert sent["queue/claim"] <= 200


async def test_a_single_notification_has_an_effect_at_once(
    database: Database, database_settings: DatabaseSettings, statements: Statements, outsider: AsyncConnection[Any]
) -> None:
    async with working(database, database_settings):
        await quiet(statements, "queue/claim", for_s=0.5)
        claims, extensions = statements.sent["queue/claim"], statements.sent["queue/extend_lease"]

        await outsider.execute("notify blogworker_jobs")
        assert await until(lambda: statements.sent["queue/claim"] > claims) < QUICK_S
        await outsider.execute("notify blogworker_jobs, 'cancel'")
        assert await until(lambda: statements.sent["queue/extend_lease"] > extensions) < QUICK_S


async def test_the_lease_is_extended_while_others_hold_the_whole_pool(
    database_settings: DatabaseSettings, statements: Statements, outsider: AsyncConnection[Any]
) -> None:
    """It shares its connection with nobody: neither with jobs nor with the listener."""
    narrow = database_settings.model_copy(update={"pool_min": 1, "pool_max": 2})
    async with Database(narrow) as database, working(database, narrow):
        await quiet(statements, "queue/claim", for_s=0.5)
        extensions = statements.sent["queue/extend_lease"]
        async with database.connection(), database.connection():
            await outsider.execute("notify blogworker_jobs, 'cancel'")
            assert await until(lambda: statements.sent["queue/extend_lease"] > extensions) < QUICK_S
            assert await until(lambda: not statements.at_once["queue/extend_lease"]) < QUICK_S
