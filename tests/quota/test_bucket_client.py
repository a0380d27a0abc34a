"""The client: many callers of one process, few statements."""

from datetime import timedelta
from functools import partial
from operator import mul

import psycopg
import pytest
from anyio import CancelScope, Event, create_task_group, current_time, fail_after, sleep
from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from blogworker.db.pool import Runner
from blogworker.quota import Bucket
from blogworker.quota.bucket_client import AHEAD_S, POLL_S, ROUND_S, BucketClient, Request, Unused, UsageReport

pytestmark = pytest.mark.anyio

BUCKET = Bucket("openai/mini", "openai", requests_per_minute=600, tokens_per_minute=6000)  # 10 and 100 a second


class Wire(Runner):
    """The way to the database: counts what passes, and can be held up or cut."""

    def __init__(self, database: Runner) -> None:
        self._database = database
        self.rounds: list[float] = []  # when each was sent
        self.given_back_s = 0.0
        self.failures = 0  # of the next statements
        self.lost = 0  # answers of the next ones, which the database has done
        self.open = Event()
        self.open.set()

    async def rows(self, name, /, **parameters):
        self.rounds.append(current_time())
        if self.failures:
            self.failures -= 1
            raise psycopg.OperationalError("the link is down")
        rows = await self._database.rows(name, **parameters)
        if self.lost:
            self.lost -= 1
            raise psycopg.OperationalError("the answer is lost")
        await self.open.wait()  # the database has done it, and its answer is on the way
        self.given_back_s += parameters["refund_tokens_s"] + sum(
            map(mul, parameters["unused_tokens"], parameters["unused_token_s"])
        )
        return rows


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
    """Its calls are granted however far ahead: how rounds share statements shows best where nobody waits in line."""
    monkeypatch.setattr("blogworker.quota.bucket_client.AHEAD_S", 3600)
    return BucketClient(wire, BUCKET, longest_wait_s=7200)


@pytest.fixture
async def line(wire):
    """A client as it is, of a bucket that lets the next call go in three seconds: who comes stands in line."""
    client = BucketClient(wire, BUCKET, longest_wait_s=30)
    await reserve(client, 400, [])
    return client


async def reserve(client, tokens, into, turn=0.0):
    ask = Request(tokens, turn)
    await client.reserve(ask)
    into.append(ask)


async def until(condition) -> None:
    with fail_after(5):
        while not condition():
            await sleep(0.005)


async def ahead_s(database) -> float:
    (row,) = await database.rows("ops/quotas", name=None, every=True)
    return row["tokens_ahead_s"]


async def in_line(database) -> int:
    async with database.connection() as connection:
        cursor = await connection.execute("select count(*)::integer as calls from quota_waits")
        return (await cursor.fetchone())["calls"]


async def bucket_row(database):
    async with database.connection() as connection:
        cursor = await connection.execute("select tokens_clock, slot_tokens from quotas")
        return await cursor.fetchone()


async def test_callers_at_once_cost_two_statements(client, wire):
    """The first goes alone, all who come meanwhile share the second."""
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
    assert all(later - earlier >= 0.9 * ROUND_S for earlier, later in zip(wire.rounds, wire.rounds[1:], strict=False))


async def test_the_line_is_served_in_order(client):
    asks = []

    async with create_task_group() as tasks:
        for tokens in range(20, 40):
            tasks.start_soon(reserve, client, tokens, asks)

    by_start = sorted(asks, key=lambda ask: ask.reservation.starts_at)
    assert [ask.tokens for ask in by_start] == list(range(20, 40))


async def test_a_caller_that_does_the_round_may_be_cancelled(client, wire, database):
    """The others still get their answers, and what it had taken goes back."""
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


async def test_a_caller_cancelled_while_another_asks_for_it_gets_it_given_back(client, wire, database):
    """Its answer comes when it has gone."""
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


async def test_a_caller_that_leaves_the_line_takes_nobody_along(client, wire):
    """Callers that want the same are still different callers."""
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


async def test_callers_who_were_not_told_of_an_error_are_served_by_the_next_round(client, wire):
    """One of them hears of it; the round is done again by the next in line, no sooner than rounds follow each other."""
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


async def test_a_refund_whose_round_failed_goes_with_the_next(client, wire):
    asks = []
    await reserve(client, 500, asks)
    wire.failures = 1

    with pytest.raises(psycopg.OperationalError):
        await client.call_finished(asks[0].reservation, started_at=current_time(), used=100)
    await reserve(client, 5, asks)

    assert wire.given_back_s == pytest.approx(4)


async def test_a_refund_whose_answer_was_lost_is_heard_once(client, wire, database):
    """Sent again because nobody knows whether it came: twice would print quota, and the vendor refuses the surplus."""
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
    assert after["slot_tokens"][0] - before["slot_tokens"][0] == -50


async def test_a_refund_the_database_will_always_refuse_is_dropped(client, wire):
    """A vendor's nonsense of a count must not stop the bucket: sent again, it would be refused again, for ever."""
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


async def test_what_the_database_will_always_refuse_its_caller_is_told(client, wire):
    asks = []

    with pytest.raises(psycopg.DataError), fail_after(5):
        await reserve(client, 2**40, asks)
    await reserve(client, 5, asks)

    assert [ask.reservation.tokens for ask in asks] == [5]


async def test_refunds_of_many_callers_share_a_statement(client, wire):
    """Nobody waits for the refunds of those who came after."""
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


async def test_a_stream_of_refunds_does_not_keep_a_caller(client):
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


async def test_a_refund_of_before_a_change_is_not_given_back(client, wire, database):
    asks = []
    await reserve(client, 2000, asks)
    await reserve(client, 1000, asks)
    await database.execute("quota/block", name=BUCKET.name, seconds=0.01)
    await sleep(ROUND_S)
    await client.refresh(ROUND_S / 2)

    await client.refund(asks[1].reservation)

    assert wire.given_back_s == 0
    assert client.epoch == asks[0].reservation.epoch + 1


async def test_callers_are_granted_in_the_order_of_their_turns(line):
    """Shortly before they may go, so that who comes with an earlier turn is not behind them all."""
    asks = []

    async with create_task_group() as tasks:
        for turn in (3, 1, 2):
            tasks.start_soon(reserve, line, 20, asks, turn)

    assert [ask.turn for ask in sorted(asks, key=lambda ask: ask.reservation.starts_at)] == [1, 2, 3]
    assert all(ask.reservation.wait_s <= AHEAD_S for ask in asks)


async def test_callers_in_line_cost_a_few_statements_a_second(line, wire):
    """However many they are: they ask together, and less often than newcomers."""
    began, before = current_time(), len(wire.rounds)

    async with create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(reserve, line, 20, [])
        await sleep(1.5)
        rounds, took_s = len(wire.rounds) - before, current_time() - began
        tasks.cancel_scope.cancel()

    assert rounds <= took_s / POLL_S + 2


async def test_a_newcomer_does_not_wait_for_the_next_look_of_those_in_line(line, wire, database, monkeypatch):
    monkeypatch.setattr("blogworker.quota.bucket_client.POLL_S", 3600)

    async with create_task_group() as tasks:
        tasks.start_soon(reserve, line, 20, [])
        await until(lambda: line._waiting and line._waiting[0].in_line)
        tasks.start_soon(reserve, line, 20, [])
        await until(lambda: len(line._waiting) == 2 and all(ask.in_line for ask in line._waiting))
        assert await in_line(database) == 2
        tasks.cancel_scope.cancel()


async def test_a_refund_does_not_wait_for_the_next_look_of_those_in_line(line, wire, monkeypatch):
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


async def test_a_caller_that_is_cancelled_in_line_leaves_no_trace(line, database, monkeypatch):
    """At once, not when the process is forgotten: those behind would wait for a call that nobody makes."""
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


async def test_a_caller_cancelled_while_its_round_is_under_way_leaves_the_line(line, wire, database):
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


async def test_a_lost_answer_costs_nobody_his_place_in_line(line, wire, database):
    """The caller that did the round hears of the error, and leaves. The others are in line by the names they had."""
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


async def test_a_caller_whose_wait_grows_beyond_its_patience_is_refused(wire):
    """Callers with earlier turns came. Its job waits better in the queue."""
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


async def test_a_bucket_that_was_deleted_is_made_again(database):
    """By a person, or by a restore of an older state: the calls that need it are not to blame."""
    client = BucketClient(database, BUCKET, longest_wait_s=30)
    granted = []

    with fail_after(10):
        await reserve(client, 10, granted)

    assert granted[0].reservation is not None
    assert [row["name"] for row in await database.rows("ops/quotas", name=None, every=True)] == [BUCKET.name]
