"""The line before a bucket: calls are served in the order of turns, whichever process they wait in."""

from itertools import pairwise
from uuid import uuid4

import pytest

from blogworker.db.sql import query
from blogworker.quota.bucket_client import AHEAD_S

from .clocks import ROUNDING_S, near, round_of
from .line import Call, busy


def in_order(*calls: Call) -> list[Call]:
    return sorted(calls, key=lambda call: call.start)


def test_calls_go_in_the_order_of_turns_whichever_process_came_first(clock):
    """One rule of who is next over the whole fleet: else a site waits longer because of the worker that has its job."""
    line, one, another = busy(clock, ahead_s=0.5)
    fifth, third = one.ask(5, 3)
    fourth, first = another.ask(4, 1)
    (second,) = one.ask(2)

    line.run(7, another, one)

    assert in_order(*line.granted[1:]) == [first, second, third, fourth, fifth]
    assert line.granted[1:] == [first, second, third, fourth, fifth]


def test_calls_are_granted_no_earlier_than_shortly_before_they_may_go(clock):
    """A granted call cannot be overtaken, so few are granted ahead."""
    line, one, _ = busy(clock, ahead_s=1.0)

    row = one.poll() if (calls := one.ask(*[1] * 6)) else {}

    assert [call.granted is not None for call in calls] == [True] + [False] * 5
    assert row["waits"] == [None] * 5
    assert row["expected_s"] == [near(2), near(3), near(4), near(5), near(6)]
    line.run(7, one)
    assert all(call.first_start - call.granted_at <= 1.0 + ROUNDING_S for call in calls)
    assert [later.start - call.start for call, later in pairwise(calls)] == [pytest.approx(1, abs=ROUNDING_S)] * 5


def test_a_newcomer_with_an_earlier_turn_waits_only_behind_what_is_granted(clock):
    """A site that was served little must not wait behind half a minute of the calls of a site that was served much."""
    line, one, another = busy(clock, rpm=600)
    crowd = one.ask(*[7] * 50)
    granted = [call for call in crowd if call.granted is not None]

    (newcomer,) = another.ask(1)
    line.run(2, one, another)

    assert 10 * AHEAD_S <= len(granted) < 20 * AHEAD_S
    assert newcomer.start - max(call.start for call in granted) == pytest.approx(0.1, abs=ROUNDING_S)
    assert all(newcomer.start < call.start for call in crowd if call not in granted and call.granted is not None)


def test_calls_with_equal_turns_are_served_in_order_of_arrival(clock):
    """Also where another process grants them: it knows of them only what is stored."""
    line, one, another = busy(clock, rpm=120, ahead_s=0.3)
    first, second, third = one.ask(1, 1, 1)
    (fourth,) = another.ask(1)
    (fifth,) = one.ask(1)

    line.run(3.5, another)
    one.poll()

    assert line.granted[1:] == [first, second, third, fourth, fifth]
    assert in_order(*line.granted[1:]) == line.granted[1:]


def test_a_repeated_request_keeps_its_place(clock):
    """A change revokes the grant, but not the place: otherwise later calls would overtake it."""
    line, one, another = busy(clock, ahead_s=0.5)
    line.run(0.75, another)
    (early,) = one.ask(1)
    (late,) = another.ask(1)
    assert (early.granted, late.granted) == (line.rounds - 1, None)

    line.block(0.6)
    (again,) = one.ask(1, poll=False)
    one.poll(waited_s=1.0)
    line.run(3, another, one)

    assert again.start < late.start


def test_a_repeated_request_keeps_its_deadline(clock):
    """A slot that waits for ever serves nobody."""
    line, one, _ = busy(clock, longest_wait_s=5)
    line.block(3)

    one.ask(1, poll=False)
    row = one.poll(waited_s=3.0)

    assert (row["refused"], row["expected_s"]) == ([True], [near(3)])


def test_a_call_that_would_wait_too_long_is_refused_with_the_time_of_its_turn(clock):
    """Its job goes back to the queue until then; the bucket must not keep a place for it."""
    line, one, another = busy(clock, longest_wait_s=3.5)

    calls = one.ask(*[1] * 5)

    assert [call.refused_s for call in calls] == [None, None, None, near(4), near(4)]
    assert len(line.waits()) == 2
    line.run(1, one)
    (newcomer,) = another.ask(2)
    assert newcomer.refused_s is None


def test_a_call_in_line_is_refused_once_its_whole_wait_would_be_too_long(clock):
    """Calls with earlier turns can arrive all the time: then its job should return to the queue."""
    line, one, another = busy(clock, longest_wait_s=4)
    (_, patient) = one.ask(1, 1)
    line.run(0.5, one)
    assert patient.refused_s is None

    another.ask(0, 0, 0)
    one.poll()

    assert patient.refused_s == near(4.5)
    assert patient.call_id not in line.waits()


def test_a_call_that_is_almost_due_is_granted_however_long_it_waited(clock):
    """A refusal would cost what it has waited for, and the quota is there."""
    _, one, _ = busy(clock, longest_wait_s=3)

    (call,) = one.ask(1, poll=False)
    one.poll(waited_s=2.9)

    assert call.granted is not None


def test_a_call_that_takes_what_the_same_round_gives_back_is_counted(clock):
    """The clocks end where they were: the figures of the last minute must not depend on that."""
    line, one, another = busy(clock, rpm=60, burst_s=10)
    (undone,) = one.ask(1)

    another.ask(1, poll=False)
    another.poll(refund_requests_s=undone.request_s)

    assert sum(line.bucket()["slot_requests"]) == 3


def test_a_poll_of_a_waiting_process_writes_nothing(clock):
    """Waiting processes poll four times a second, which must not write the bucket's row."""
    line, one, _ = busy(clock)
    one.ask(*[1] * 5)
    before = clock.session.execute("select ctid, xmin, * from quotas").fetchone()

    one.poll()
    line.expected_s()

    assert clock.session.execute("select ctid, xmin, * from quotas").fetchone() == before


def test_lines_of_two_buckets_are_independent(clock):
    line, one, _ = busy(clock)
    calls = one.ask(*[1] * 5)
    clock.session.execute(
        "insert into quotas (name, provider, requests_per_minute, burst_s) values ('other', 'p', 60, 0)"
    )
    there = round_of([0, 0], name="other", turns=[8, 9], ahead_s=1.5, client_id=one.client_id)
    more = round_of([0], name="other", turns=[9], ahead_s=1.5, client_id=uuid4())

    rows = [clock.session.execute(query("quota/round"), parameters).fetchone() for parameters in (there, more, more)]

    assert [row["waits"] for row in rows] == [[0, near(1)], [None], [None]]
    assert [row["expected_s"] for row in rows[1:]] == [[near(2)], [near(2)]]
    assert [line.waits()[call.call_id]["starts_at"] for call in calls[1:]] == [None] * 4
