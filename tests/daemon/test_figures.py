"""A worker reports its waiting calls to the fleet, and the fleet's usage to the log."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest

from blogworker.daemon.gate import Gate
from blogworker.daemon.heartbeat import Heartbeat
from blogworker.daemon.incarnation import Incarnation
from blogworker.db.pool import Database
from blogworker.db.retrying import DatabaseHealth
from blogworker.queue.job import Claim, Done, Outcome
from blogworker.quota import Bucket
from blogworker.quota.breaker import Breakers
from blogworker.quota.limiter import Limiter
from blogworker.settings import DatabaseSettings, LogSettings, load
from blogworker.telemetry import configure

pytestmark = pytest.mark.anyio

TEXT = Bucket("openai/mini", "openai", requests_per_minute=450, tokens_per_minute=450_000)


async def _pipeline(worker_id: UUID, claim: Claim, saved: Mapping[str, Any], enter: object = None) -> Outcome:
    return Done()


async def test_a_heartbeat_has_the_last_minute_and_the_waiting_calls(
    database: Database, database_settings: DatabaseSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line in the log of any worker answers whether the quota is the bottleneck."""
    configure(LogSettings(level="info", format="json"))
    settings = load({"database": {"url": database_settings.url}, "worker": {"name": "w"}})
    limiter = Limiter(database, {TEXT.name: TEXT})
    await limiter.start()
    async with limiter.permit(TEXT.name, tokens=4_000) as permit:
        permit.used(2_250)
    incarnation = Incarnation(
        settings,
        database,
        DatabaseHealth(),
        _pipeline,
        gate=Gate(Breakers(database), "wait"),
        waiting=lambda: {TEXT.name: 7},
    )
    async with incarnation._lease_connection:
        await incarnation._lease.begin()

        await incarnation._extend()
        await Heartbeat(incarnation._database, incarnation.worker, name="w", slots=lambda: 1).beat()

    (beat,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"heartbeat"' in line]
    figures = beat["quotas"][TEXT.name]
    assert (figures["queue_length"], figures["requests_in_last_minute"], figures["max_requests"]) == (7, 1, 450)
    assert (figures["requests_percent"], figures["tokens_percent"]) == (0.2, 0.5)
    assert (figures["tokens_in_last_minute"], figures["max_tokens"]) == (2_250, 450_000)
