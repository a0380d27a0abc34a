"""The line when callers leave, processes stop, and answers are lost."""

from itertools import pairwise

import pytest

from blogworker.quota.bucket_client import POLL_S

from .clocks import ROUNDING_S, near
from .line import busy

FORGOTTEN_S = 5.0


def test_a_caller_that_leaves_the_line_delays_nobody(clock):
    line, one, another = busy(clock)
    leaving = one.ask(*[1] * 10)[1:]
    (behind,) = another.ask(2)
    assert another.poll()["expected_s"] == [near(11)]

    for call in leaving:
        one.leave(call)

    assert another.poll()["expected_s"] == [near(2)]
    line.run(2, another)
    assert behind.start == near(line.granted[0].start + 2)


def test_an_undelivered_grant_of_a_caller_that_left_is_refunded(clock):
    """Another process's round grants it while its caller goes: the next one takes its place."""
    line, one, another = busy(clock, tpm=600, ahead_s=0.5)
    (leaving,) = one.ask(1, tokens=30)
    (behind,) = another.ask(2, tokens=30)
    line.run(0.5, another)
    assert (leaving.granted is not None, leaving.heard_at) == (True, None)
    before = line.bucket()

    one.leave(leaving)

    after = line.bucket()
    assert behind.granted == line.rounds
    assert behind.start == pytest.approx(leaving.start, abs=ROUNDING_S)
    assert [after[clock] for clock in ("requests_clock", "tokens_clock")] == [
        before[clock] for clock in ("requests_clock", "tokens_clock")
    ]


def test_the_refund_of_an_undelivered_grant_is_what_was_charged(clock):
    """The limit has been lowered to a tenth since: at its pace one call would give back what ten had taken."""
    line, one, another = busy(clock, rpm=600, burst_s=0.5)
    calls = one.ask(*[1] * 40)
    line.run(1.5, another)
    line.clock.run("set_bucket", name="q", requests_per_minute=60, tokens_per_minute=None, pinned=True)
    line.ahead_s = -1.0
    another.poll()
    due = [call for call in calls if call.granted is not None and call.heard_at is None]
    before = line.bucket()["requests_clock"]

    one.waiting.clear()
    one.poll()

    assert len(due) > 2
    given_back_s = (before - line.bucket()["requests_clock"]).total_seconds()
    assert given_back_s == pytest.approx(0.1 * len(due), abs=ROUNDING_S)


def test_a_refund_between_a_grant_and_its_delivery_moves_the_call_up(clock):
    """The refund is counted from the grant, as for all calls granted before it."""
    line, one, another = busy(clock, rpm=6000, tpm=600, ahead_s=0.7)
    another.ask(0, tokens=20)
    (call,) = one.ask(1, tokens=10)
    line.run(1.5, another)
    assert (call.granted is not None, call.heard_at) == (True, None)

    another.poll(unused=[(0.5, 0.1)])
    row = one.poll()

    assert row["returned_s"] - row["returned_at_s"][0] == pytest.approx(0.05)


def test_a_call_with_a_late_grant_is_not_yet_in_the_figures(clock):
    """No wait at all would say that it has been counted: then its process does not report it."""
    line, one, another = busy(clock)
    one.ask(1, 1)
    line.run(3, another)
    before = line.bucket()["slot_requests"]

    row = one.poll()

    assert 0 < row["waits"][0] < ROUNDING_S
    assert sum(line.bucket()["slot_requests"]) == sum(before) == 1


def test_a_call_granted_by_another_process_learns_what_it_was_charged(clock):
    """It gives back in those seconds, whatever the pace is when it hears of its grant."""
    line, one, another = busy(clock, rpm=60, tpm=600, ahead_s=0.5)
    (call,) = one.ask(1, tokens=30)
    line.run(0.75, another)
    assert (call.granted is not None, call.heard_at) == (True, None)
    line.clock.run("learn", name="q", requests_limit=50, tokens_limit=500, requests_left=1.0, tokens_left=1.0)

    row = one.poll()

    assert (row["request_s"], row["token_s"]) == ([1.0], [0.1])


def test_a_process_that_stops_asking_is_forgotten(clock):
    """It was killed. Its places and its undelivered grants go to others."""
    line, one, another = busy(clock, ahead_s=0.5)
    one.ask(*[1] * 20)
    (behind,) = another.ask(2)

    line.run(FORGOTTEN_S - 1, another)
    granted = [call for call in one.waiting if call.granted is not None]
    assert len(granted) > 2
    assert behind.granted is None
    line.run(1.5, another)

    assert behind.granted is not None
    assert behind.start == pytest.approx(behind.granted_at, abs=ROUNDING_S), "what they never heard of is given back"
    assert not line.waits()


def test_a_process_that_asks_is_not_forgotten(clock):
    """Nor does it lose its place."""
    line, one, another = busy(clock)
    calls, came_at = one.ask(*[1] * 20), line.now()

    line.run(2 * FORGOTTEN_S, one, another)

    assert calls[-1] in one.waiting
    assert line.waits()[calls[-1].call_id]["asked_at"].timestamp() == pytest.approx(came_at, abs=0.5)
    assert set(line.waits()) >= {call.call_id for call in one.waiting}


def test_a_process_that_was_forgotten_joins_the_line_again(clock):
    """It was only slow, or the database was unreachable."""
    line, one, another = busy(clock)
    calls = one.ask(1, 1, 1)
    line.run(FORGOTTEN_S + 0.5, another)
    assert not line.waits()

    line.run(4, one)

    assert all(call.heard_at is not None for call in calls)
    assert [later.start - call.start >= 1 - ROUNDING_S for call, later in pairwise(calls)] == [True, True]


def test_a_grant_by_another_process_is_delivered_before_its_call_is_due(clock):
    """Otherwise the call is late, and later calls are too dense."""
    line, one, another = busy(clock, rpm=600)
    calls = [call for n in range(30) for call in (*one.ask(n), *another.ask(n))]

    line.run(8, one, another)

    by_another = [call for call in calls if call.heard_at > call.granted_at + POLL_S / 10]
    assert len(by_another) > 10
    assert all(call.heard_at <= call.start for call in calls)


def test_a_change_revokes_grants_that_are_not_due(clock):
    """It was granted under other limits. Undelivered calls stay in line; due calls start."""
    line, one, another = busy(clock, rpm=600, burst_s=0.5)
    calls = one.ask(*[1] * 40)
    behind = another.ask(*[2] * 5)
    line.run(1.5, another)
    unheard = [call for call in calls if call.granted is not None and call.heard_at is None]
    due = [call for call in unheard if call.start <= line.now()]
    assert 0 < len(due) < len(unheard)

    line.block(10)
    another.poll()

    kept = {call for call in calls + behind if call.granted is not None and call.heard_at is None}
    assert set(due) <= kept <= {call for call in unheard if call.start <= line.now()}  # some became due meanwhile
    ends_at = line.bucket()["next_at"]
    assert ends_at == near(line.now() + 10)
    assert set(line.waits()) == {call.call_id for call in (*one.waiting, *another.waiting)}
    line.run(16, one, another)
    taken_back = [call for call in unheard if call not in kept]
    assert min(call.start for call in taken_back) == pytest.approx(ends_at, abs=ROUNDING_S)
    assert line.granted == [*line.granted[:1], *calls, *behind]
    assert all(call.heard_at is not None for call in calls + behind)


def test_a_caller_whose_grant_was_revoked_refunds_nothing(clock):
    """The clocks have been set back already: a second time would let its quota go twice."""
    line, one, another = busy(clock, rpm=600)
    calls = one.ask(*[1] * 20)
    line.run(0.5, another)
    unheard = [call for call in calls if call.granted is not None and call.heard_at is None]
    line.block(10)
    another.poll()
    line.ahead_s = -1.0
    before = line.bucket()["requests_clock"]

    for call in unheard:
        one.leave(call)

    assert len(unheard) > 2
    assert line.bucket()["requests_clock"] == before


def test_a_lost_answer_does_not_move_a_waiting_call(clock):
    """The client repeats its request under the same id: a second place would reserve twice."""
    line, one, another = busy(clock, ahead_s=0.5)
    (first,) = one.ask(1, poll=False)
    one.poll(lost=True)
    (second,) = another.ask(1)
    one.poll(lost=True)

    assert set(line.waits()) == {first.call_id, second.call_id}
    line.run(3, another, one)

    assert line.granted[1:] == [first, second]
    assert second.start - first.start == pytest.approx(1, abs=ROUNDING_S)


def test_a_call_whose_grant_was_lost_is_granted_again_later(clock):
    """Nobody knows whether the grant was heard, so it stays charged: less than the quota goes, never more."""
    line, one, _ = busy(clock)
    (call,) = one.ask(1, poll=False)
    lost = one.poll(lost=True)
    assert lost["waits"] == [near(1)]

    line.run(1.5, one)

    assert call.start == near(line.granted[0].start + 2)
    assert not line.waits()
