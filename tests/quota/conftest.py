"""A database with buckets to reserve from."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from blogworker.db.pool import Database
from blogworker.quota import breaker as room
from blogworker.quota.breaker import Breakers
from blogworker.quota.bucket_client import BucketClient

from .breaker_calls import Person
from .stopped import StoppedClock
from .wire import BUCKET, Wire, reserve


@pytest.fixture(scope="module")
def session(module_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(module_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture(scope="module")
def clock(session: psycopg.Connection[dict[str, Any]]) -> StoppedClock:
    return StoppedClock(session)


@pytest.fixture
async def person(database: Database) -> Person:
    person = Person(database)
    await person.run("update provider_health set succeeded_at = clock_timestamp()")
    return person


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict is not held back for long."""
    monkeypatch.setattr(room, "VERDICT_S", 0.05)


@pytest.fixture
async def ours(database: Database) -> Breakers:
    return Breakers(database)


@pytest.fixture
async def theirs(database: Database) -> Breakers:
    return Breakers(database)


@pytest.fixture
async def wire(database):
    await database.execute(
        "quota/upsert_bucket",
        name=BUCKET.name,
        provider="openai",
        requests_per_minute=600,
        tokens_per_minute=6000,
        burst_s=1,
    )
    return Wire(database)


@pytest.fixture
def client(wire, monkeypatch):
    """A client whose calls are granted however far ahead: no caller waits in line."""
    monkeypatch.setattr("blogworker.quota.bucket_client.AHEAD_S", 3600)
    return BucketClient(wire, BUCKET, longest_wait_s=7200)


@pytest.fixture
async def line(wire):
    """A client with the default settings. Its bucket grants the next call in three seconds, so callers wait in line."""
    client = BucketClient(wire, BUCKET, longest_wait_s=30)
    await reserve(client, 400, [])
    return client
