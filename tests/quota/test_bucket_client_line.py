"""Callers of one process that wait in line for their bucket."""

import psycopg
import pytest
from anyio import CancelScope, Event, create_task_group, current_time, sleep
from anyio.lowlevel import checkpoint

from blogworker.quota.bucket_client import AHEAD_S, POLL_S, BucketClient

from .wire import BUCKET, ahead_s, in_line, reserve, until

pytestmark = pytest.mark.anyio


async def test_a_caller_that_leaves_the_line_removes_no_other(client, wire):
    """Callers with equal requests are still different callers."""
    asks, leaving = [], CancelScope()

    async def leave() -> None:
        with leaving:
            await reserve(client, 7, asks)

    wire.open = Event()
    async with create_task_group() as tasks:
        tasks.start_soon(reserve, client, 7, asks)
        await until(lambda: wire.rounds)
        for _ in range(3):
            tasks.start_soon(reserve, client, 7, asks)
        tasks.start_soon(leave)
        tasks.start_soon(reserve, client, 7, asks)
        await checkpoint()
        leaving.cancel()
        wire.open.set()

    assert len(asks) == 5
    assert len({ask.call_id for ask in asks}) == 5
    assert wire.given_back_s == pytest.approx(0)


async def test_callers_are_granted_in_the_order_of_their_turns(line):
    """Shortly before they may go, so that who comes with an earlier turn is not behind them all."""
    asks = []

    async with create_task_group() as tasks:
        for turn in (3, 1, 2):
            tasks.start_soon(reserve, line, 20, asks, turn)

    assert [ask.turn for ask in sorted(asks, key=lambda ask: ask.reservation.starts_at)] == [1, 2, 3]
    assert all(ask.reservation.wait_s <= AHEAD_S for ask in asks)


async def test_waiting_callers_cost_a_few_statements_a_second(line, wire):
    """However many there are: they poll together, and less often than new callers."""
    began, before = current_time(), len(wire.rounds)

    async with create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(reserve, line, 20, [])
        await sleep(1.5)
        rounds, took_s = len(wire.rounds) - before, current_time() - began
        tasks.cancel_scope.cancel()

    assert rounds <= took_s / POLL_S + 2


async def test_a_new_caller_does_not_wait_for_the_next_poll(line, wire, database, monkeypatch):
    monkeypatch.setattr("blogworker.quota.bucket_client.POLL_S", 3600)

    async with create_task_group() as tasks:
        tasks.start_soon(reserve, line, 20, [])
        await until(lambda: line._waiting and line._waiting[0].in_line)
        tasks.start_soon(reserve, line, 20, [])
        await until(lambda: len(line._waiting) == 2 and all(ask.in_line for ask in line._waiting))
        assert await in_line(database) == 2
        tasks.cancel_scope.cancel()


async def test_a_cancelled_waiting_caller_leaves_no_trace(line, database, monkeypatch):
    """At once, not when the process expires: later callers would wait for a call that is never made."""
    monkeypatch.setattr("blogworker.quota.bucket_client.POLL_S", 3600)
    before = await ahead_s(database)

    async with create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(reserve, line, 1000, [])
        await until(lambda: len(line._waiting) == 3 and all(ask.in_line for ask in line._waiting))
        assert await in_line(database) == 3
        tasks.cancel_scope.cancel()

    assert await in_line(database) == 0
    assert await ahead_s(database) <= before


async def test_a_caller_cancelled_during_its_round_leaves_the_line(line, wire, database):
    asks, leaving = [], CancelScope()

    async def leave() -> None:
        with leaving:
            await reserve(line, 1000, asks)

    wire.open = Event()
    async with create_task_group() as tasks:
        tasks.start_soon(leave)
        await until(lambda: len(wire.rounds) == 2)
        await sleep(0.05)
        leaving.cancel()
        wire.open.set()

    assert (asks, leaving.cancelled_caught) == ([], True)
    assert await in_line(database) == 0


async def test_a_lost_answer_keeps_every_place_in_line(line, wire, database):
    """The caller that did the round gets the error. The others keep their ids and places."""
    asks, errors = [], []

    async def ask(turn: float) -> None:
        try:
            await reserve(line, 20, asks, turn)
        except psycopg.OperationalError as error:
            errors.append(error)

    async with create_task_group() as tasks:
        for turn in (1, 2, 3):
            tasks.start_soon(ask, turn)
        await until(lambda: len(line._waiting) == 3 and all(ask.in_line for ask in line._waiting))
        names = {ask.turn: ask.call_id for ask in line._waiting}
        wire.lost = 1
        await until(lambda: errors)
        remaining = [ask.turn for ask in line._waiting]
        assert len(remaining) == 2
        assert all(ask.call_id == names[ask.turn] for ask in line._waiting)
        assert await in_line(database) == 2

    assert [ask.turn for ask in sorted(asks, key=lambda ask: ask.reservation.starts_at)] == sorted(remaining)


async def test_a_caller_whose_wait_becomes_too_long_is_refused(wire):
    """Callers with earlier turns arrived. Its job should wait in the queue."""
    client, asks = BucketClient(wire, BUCKET, longest_wait_s=5), []
    await reserve(client, 400, [])

    async with create_task_group() as tasks:
        tasks.start_soon(reserve, client, 20, asks, 2)
        await until(lambda: client._waiting and client._waiting[0].in_line)
        tasks.start_soon(reserve, client, 1000, [], 1)
        await until(lambda: asks)
        tasks.cancel_scope.cancel()

    assert asks[0].reservation is None
    assert asks[0].refused_s == pytest.approx(13, abs=1)
