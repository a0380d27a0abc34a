"""The client: many callers of one process, few statements."""

import psycopg
import pytest
from anyio import CancelScope, Event, create_task_group, current_time, fail_after, sleep

from blogworker.quota.bucket_client import ROUND_S, BucketClient

from .wire import BUCKET, ahead_s, reserve, until

pytestmark = pytest.mark.anyio


async def test_concurrent_callers_cost_two_statements(client, wire):
    """The first goes alone; all that arrive meanwhile share the second."""
    asks = []

    async with create_task_group() as tasks:
        for _ in range(200):
            tasks.start_soon(reserve, client, 5, asks)

    assert len(asks) == 200
    assert len(wire.rounds) <= 2


async def test_a_stream_of_callers_costs_a_bounded_number_of_statements(client, wire):
    asks = []
    began = current_time()

    async with create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(reserve, client, 0, asks)
            await sleep(0.002)
    took_s = current_time() - began

    assert len(wire.rounds) <= took_s / ROUND_S + 2


async def test_the_line_is_served_in_order(client):
    asks = []

    async with create_task_group() as tasks:
        for tokens in range(20, 40):
            tasks.start_soon(reserve, client, tokens, asks)

    by_start = sorted(asks, key=lambda ask: ask.reservation.starts_at)
    assert [ask.tokens for ask in by_start] == list(range(20, 40))


async def test_a_caller_that_does_the_round_may_be_cancelled(client, wire, database):
    """The others still get their answers, and its reservation is refunded."""
    asks, leading = [], CancelScope()

    async def lead() -> None:
        with leading:
            await reserve(client, 1000, asks)

    wire.open = Event()
    async with create_task_group() as tasks:
        tasks.start_soon(lead)
        await until(lambda: wire.rounds)
        for _ in range(10):
            tasks.start_soon(reserve, client, 5, asks)
        await sleep(0.02)
        leading.cancel()
        wire.open.set()

    assert [ask.tokens for ask in asks if not ask.abandoned] == [5] * 10
    assert await ahead_s(database) < 2, "11 seconds of the line, had nothing come back"


async def test_quota_of_a_caller_cancelled_during_a_round_is_given_back(client, wire, database):
    """Its answer arrives after it was cancelled."""
    asks, leaving = [], CancelScope()

    async def leave() -> None:
        with leaving:
            await reserve(client, 2000, asks)

    wire.open = Event()
    async with create_task_group() as tasks:
        tasks.start_soon(reserve, client, 5, asks)
        tasks.start_soon(reserve, client, 5, asks)
        tasks.start_soon(leave)
        await until(lambda: wire.rounds)
        leaving.cancel()
        await sleep(0.02)
        wire.open.set()

    assert leaving.cancelled_caught
    assert len(asks) == 2
    assert wire.given_back_s == pytest.approx(20)
    assert await ahead_s(database) < 2


async def test_an_error_of_the_database_reaches_every_caller(client, wire):
    errors = []

    async def ask() -> None:
        try:
            await reserve(client, 5, [])
        except psycopg.OperationalError as error:
            errors.append(error)

    wire.failures = 10
    async with create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)

    assert len(errors) == 10


async def test_other_callers_of_a_failed_round_are_served_by_the_next_round(client, wire):
    """One of them gets the error; the next in line repeats the round after the usual interval."""
    asks, errors = [], []

    async def ask() -> None:
        try:
            await reserve(client, 5, asks)
        except psycopg.OperationalError as error:
            errors.append(error)

    wire.failures = 1
    async with create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)

    assert (len(asks), len(errors)) == (9, 1)
    assert wire.rounds[1] - wire.rounds[0] >= 0.9 * ROUND_S


async def test_a_permanent_refusal_is_raised_to_its_caller(client, wire):
    asks = []

    with pytest.raises(psycopg.DataError), fail_after(5):
        await reserve(client, 2**40, asks)
    await reserve(client, 5, asks)

    assert [ask.reservation.tokens for ask in asks] == [5]


async def test_a_deleted_bucket_is_created_again(database):
    """By a person, or by a restore of an older dump: calls must not fail for it."""
    client = BucketClient(database, BUCKET, longest_wait_s=30)
    granted = []

    with fail_after(10):
        await reserve(client, 10, granted)

    assert granted[0].reservation is not None
    assert [row["name"] for row in await database.rows("ops/quotas", name=None, every=True)] == [BUCKET.name]
