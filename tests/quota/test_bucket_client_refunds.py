"""Refunds of a client to its bucket, also when a round fails."""

from datetime import timedelta
from functools import partial

import psycopg
import pytest
from anyio import CancelScope, create_task_group, current_time, fail_after, sleep
from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from blogworker.quota.bucket_client import ROUND_S
from blogworker.quota.round import Unused, UsageReport

from .wire import BUCKET, bucket_row, reserve, until

pytestmark = pytest.mark.anyio


async def test_a_refund_of_a_failed_round_is_sent_with_the_next(client, wire):
    asks = []
    await reserve(client, 500, asks)
    wire.failures = 1

    with pytest.raises(psycopg.OperationalError):
        await client.call_finished(asks[0].reservation, started_at=current_time(), used=100)
    await reserve(client, 5, asks)

    assert wire.given_back_s == pytest.approx(4)


async def test_a_repeated_refund_is_applied_once(client, wire, database):
    """It is sent again because it may not have arrived. Applied twice it would create quota, and cause 429s."""
    asks = []
    for tokens in (100, 1000, 500):
        await reserve(client, tokens, asks)
    before = await bucket_row(database)
    wire.lost = 2

    with pytest.raises(psycopg.OperationalError):
        await client.call_finished(asks[0].reservation, started_at=current_time(), used=50)
    with pytest.raises(psycopg.OperationalError):
        await client.refresh(0)
    await client.refund(asks[2].reservation)

    after = await bucket_row(database)
    assert after["tokens_clock"] - before["tokens_clock"] == timedelta(seconds=-5.5)
    assert sum(after["slot_tokens"]) - sum(before["slot_tokens"]) == -50  # five seconds may pass in between


async def test_a_permanently_refused_refund_is_dropped(client, wire):
    """An absurd token count of a provider must not stop the bucket: a repeated refund would be refused for ever."""
    asks = []
    await reserve(client, 500, asks)
    client._refund.reports.append(UsageReport(current_time(), 0, 2**40))
    before = len(wire.rounds)

    with capture_logs() as logs, fail_after(5):
        async with create_task_group() as tasks:
            for tokens in (5, 6, 7):
                tasks.start_soon(reserve, client, tokens, asks)

    assert [ask.reservation.tokens for ask in asks[1:]] == [5, 6, 7]
    assert len(wire.rounds) == before + 2
    assert [line["event"] for line in logs] == ["refund_dropped"]


async def test_refunds_of_many_callers_share_a_statement(client, wire):
    """No caller waits for the refunds of later ones."""
    asks = []
    async with create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(reserve, client, 20, asks)
    before = len(wire.rounds)

    async with create_task_group() as tasks:
        for ask in asks:
            tasks.start_soon(partial(client.call_finished, ask.reservation, started_at=current_time(), used=10))

    assert wire.given_back_s == pytest.approx(50 * 0.1)
    assert len(wire.rounds) - before <= 2


async def test_a_stream_of_refunds_does_not_delay_a_caller(client):
    asks = []
    for _ in range(2):
        await reserve(client, 20, asks)
    streaming = CancelScope()

    async def stream() -> None:
        with streaming:
            while True:
                client._refund.requests_s += 0.001
                await checkpoint()

    async with create_task_group() as tasks:
        tasks.start_soon(stream)
        began = current_time()
        await client.call_finished(asks[0].reservation, started_at=current_time(), used=10)
        took_s = current_time() - began
        streaming.cancel()

    assert took_s < 4 * ROUND_S


async def test_a_refund_from_before_a_change_is_ignored(client, wire, database):
    asks = []
    await reserve(client, 2000, asks)
    await reserve(client, 1000, asks)
    await database.execute("quota/block", name=BUCKET.name, seconds=0.01)
    await sleep(ROUND_S)
    await client.refresh(ROUND_S / 2)

    await client.refund(asks[1].reservation)

    assert wire.given_back_s == 0
    assert client.epoch == asks[0].reservation.epoch + 1


async def test_a_refund_does_not_wait_for_the_next_poll(line, wire, monkeypatch):
    monkeypatch.setattr("blogworker.quota.bucket_client.POLL_S", 3600)
    asks = []

    async with create_task_group() as tasks:
        tasks.start_soon(reserve, line, 20, asks)
        await until(lambda: line._waiting and line._waiting[0].in_line)
        line._refund.unused.append(Unused(300, 0.01))
        with fail_after(5):
            await line._send_refunds()
            await until(lambda: asks)

    assert asks[0].reservation is not None, "what came back is granted in the same round"
