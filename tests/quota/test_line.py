"""The line before a bucket: who waits is served in the order of turns, whichever process it waits in.

Nothing sleeps: processes are rounds of the real statement, and time passes by moving what is stored into the past.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.db.sql import query
from blogworker.quota.bucket_client import AHEAD_S, POLL_S

from .clocks import ROUNDING_S, Vendor, bounded, near, overrun, round_of
from .line import Call, Line, Process

FORGOTTEN_S = 5.0


def busy(session, **bucket) -> tuple[Line, Process, Process]:
    """A bucket of one call a second that has just let one through, and two processes."""
    line = Line(session, **bucket)
    Process(line).ask(0)
    return line, Process(line), Process(line)


def in_order(*calls: Call) -> list[Call]:
    return sorted(calls, key=lambda call: call.start)


def test_calls_go_in_the_order_of_turns_whichever_process_came_first(session):
    """One rule of who is next over the whole fleet: else a site waits longer because of the worker that has its job."""
    line, one, another = busy(session, ahead_s=0.5)
    fifth, third = one.ask(5, 3)
    fourth, first = another.ask(4, 1)
    (second,) = one.ask(2)

    line.run(7, another, one)

    assert in_order(*line.granted[1:]) == [first, second, third, fourth, fifth]
    assert line.granted[1:] == [first, second, third, fourth, fifth]


def test_calls_are_granted_no_earlier_than_shortly_before_they_may_go(session):
    """What is granted no longer gives way, so that it must be little."""
    line, one, _ = busy(session, ahead_s=1.0)

    row = one.poll() if (calls := one.ask(*[1] * 6)) else {}

    assert [call.granted is not None for call in calls] == [True] + [False] * 5
    assert row["waits"] == [None] * 5
    assert row["expected_s"] == [near(2), near(3), near(4), near(5), near(6)]
    line.run(7, one)
    assert all(call.first_start - call.granted_at <= 1.0 + ROUNDING_S for call in calls)
    assert [later.start - call.start for call, later in pairwise(calls)] == [pytest.approx(1, abs=ROUNDING_S)] * 5


def test_a_newcomer_with_an_earlier_turn_waits_only_behind_what_is_granted(session):
    """A site that was served little must not wait behind half a minute of the calls of a site that was served much."""
    line, one, another = busy(session, rpm=600)
    crowd = one.ask(*[7] * 50)
    granted = [call for call in crowd if call.granted is not None]

    (newcomer,) = another.ask(1)
    line.run(2, one, another)

    assert 10 * AHEAD_S <= len(granted) < 20 * AHEAD_S
    assert newcomer.start - max(call.start for call in granted) == pytest.approx(0.1, abs=ROUNDING_S)
    assert all(newcomer.start < call.start for call in crowd if call not in granted and call.granted is not None)


def test_of_equal_turns_who_came_first_is_served_first(session):
    """Also where another process grants them: it knows of them only what is stored."""
    line, one, another = busy(session, rpm=120, ahead_s=0.3)
    first, second, third = one.ask(1, 1, 1)
    (fourth,) = another.ask(1)
    (fifth,) = one.ask(1)

    line.run(3.5, another)
    one.poll()

    assert line.granted[1:] == [first, second, third, fourth, fifth]
    assert in_order(*line.granted[1:]) == line.granted[1:]


def test_a_call_that_asks_again_stands_where_it_stood(session):
    """A change takes back what is granted, but not its place: else who came after it goes first."""
    line, one, another = busy(session, ahead_s=0.5)
    line.run(0.75, another)
    (early,) = one.ask(1)
    (late,) = another.ask(1)
    assert (early.granted, late.granted) == (line.rounds - 1, None)

    line.block(0.6)
    (again,) = one.ask(1, poll=False)
    one.poll(waited_s=1.0)
    line.run(3, another, one)

    assert again.start < late.start


def test_a_call_that_asks_again_does_not_get_new_patience(session):
    """A slot that waits for ever serves nobody."""
    line, one, _ = busy(session, longest_wait_s=5)
    line.block(3)

    one.ask(1, poll=False)
    row = one.poll(waited_s=3.0)

    assert (row["refused"], row["expected_s"]) == ([True], [near(3)])


def test_a_call_that_would_wait_too_long_is_refused_with_the_time_of_its_turn(session):
    """Its job goes back to the queue until then; the bucket must not keep a place for it."""
    line, one, another = busy(session, longest_wait_s=3.5)

    calls = one.ask(*[1] * 5)

    assert [call.refused_s for call in calls] == [None, None, None, near(4), near(4)]
    assert len(line.waits()) == 2
    line.run(1, one)
    (newcomer,) = another.ask(2)
    assert newcomer.refused_s is None


def test_a_call_in_line_is_refused_once_its_whole_wait_would_be_too_long(session):
    """Those with earlier turns may come all the time: then it is better off in the queue than in a slot."""
    line, one, another = busy(session, longest_wait_s=4)
    (_, patient) = one.ask(1, 1)
    line.run(0.5, one)
    assert patient.refused_s is None

    another.ask(0, 0, 0)
    one.poll()

    assert patient.refused_s == near(4.5)
    assert patient.call_id not in line.waits()


def test_a_call_that_may_go_in_a_moment_is_granted_however_long_it_waited(session):
    """A refusal would cost what it has waited for, and the quota is there."""
    _, one, _ = busy(session, longest_wait_s=3)

    (call,) = one.ask(1, poll=False)
    one.poll(waited_s=2.9)

    assert call.granted is not None


def test_a_caller_that_leaves_the_line_holds_nobody_up(session):
    line, one, another = busy(session)
    leaving = one.ask(*[1] * 10)[1:]
    (behind,) = another.ask(2)
    assert another.poll()["expected_s"] == [near(11)]

    for call in leaving:
        one.leave(call)

    assert another.poll()["expected_s"] == [near(2)]
    line.run(2, another)
    assert behind.start == near(line.granted[0].start + 2)


def test_what_was_granted_to_a_caller_that_left_unheard_is_given_back(session):
    """Another process's round grants it while its caller goes: the next one takes its place."""
    line, one, another = busy(session, tpm=600, ahead_s=0.5)
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


def test_what_is_given_back_unheard_is_what_was_charged(session):
    """The limit has been lowered to a tenth since: at its pace one call would give back what ten had taken."""
    line, one, another = busy(session, rpm=600, burst_s=0.5)
    calls = one.ask(*[1] * 40)
    line.run(1.5, another)
    line.session.execute(
        query("quota/set_bucket"),
        {"name": "q", "requests_per_minute": 60, "tokens_per_minute": None, "pinned": True},
    )
    line.ahead_s = -1.0
    another.poll()
    due = [call for call in calls if call.granted is not None and call.heard_at is None]
    before = line.bucket()["requests_clock"]

    one.waiting.clear()
    one.poll()

    assert len(due) > 2
    given_back_s = (before - line.bucket()["requests_clock"]).total_seconds()
    assert given_back_s == pytest.approx(0.1 * len(due), abs=ROUNDING_S)


def test_what_comes_back_between_a_grant_and_its_hearing_moves_the_call_up(session):
    """It is counted since the grant, as for all who were granted before it came back."""
    line, one, another = busy(session, rpm=6000, tpm=600, ahead_s=0.5)
    another.ask(0, tokens=20)
    (call,) = one.ask(1, tokens=10)
    line.run(1.5, another)
    assert (call.granted is not None, call.heard_at) == (True, None)

    another.poll(unused=[(0.5, 0.1)])
    row = one.poll()

    assert row["returned_s"] - row["returned_at_s"][0] == pytest.approx(0.05)


def test_a_call_that_hears_of_its_grant_late_is_not_yet_in_the_figures(session):
    """No wait at all would say that it has been counted: then its process does not report it."""
    line, one, another = busy(session)
    one.ask(1, 1)
    line.run(3, another)
    before = line.bucket()["slot_requests"]

    row = one.poll()

    assert 0 < row["waits"][0] < ROUNDING_S
    assert sum(line.bucket()["slot_requests"]) == sum(before) == 1


def test_a_call_granted_by_another_process_learns_what_it_was_charged(session):
    """It gives back in those seconds, whatever the pace is when it hears of its grant."""
    line, one, another = busy(session, rpm=60, tpm=600, ahead_s=0.5)
    (call,) = one.ask(1, tokens=30)
    line.run(0.75, another)
    assert (call.granted is not None, call.heard_at) == (True, None)
    line.session.execute(
        query("quota/learn"),
        {"name": "q", "requests_limit": 50, "tokens_limit": 500, "requests_left": 1.0, "tokens_left": 1.0},
    )

    row = one.poll()

    assert (row["request_s"], row["token_s"]) == ([1.0], [0.1])


def test_a_process_that_stops_asking_is_forgotten(session):
    """It was killed. What it waited for, and what it was granted and never heard of, goes to others."""
    line, one, another = busy(session, ahead_s=0.5)
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


def test_a_process_that_asks_is_not_forgotten(session):
    """Nor does it lose its place."""
    line, one, another = busy(session)
    calls, came_at = one.ask(*[1] * 20), line.now()

    line.run(2 * FORGOTTEN_S, one, another)

    assert calls[-1] in one.waiting
    assert line.waits()[calls[-1].call_id]["asked_at"].timestamp() + line.passed_s == pytest.approx(came_at, abs=0.5)
    assert set(line.waits()) >= {call.call_id for call in one.waiting}


def test_a_process_that_was_forgotten_joins_the_line_again(session):
    """It was only slow, or the database was away from all of them."""
    line, one, another = busy(session)
    calls = one.ask(1, 1, 1)
    line.run(FORGOTTEN_S + 0.5, another)
    assert not line.waits()

    line.run(4, one)

    assert all(call.heard_at is not None for call in calls)
    assert [later.start - call.start >= 1 - ROUNDING_S for call, later in pairwise(calls)] == [True, True]


def test_a_grant_by_another_process_is_heard_before_its_call_may_go(session):
    """Else the call is late, and its second of quota is used up twice as densely later."""
    line, one, another = busy(session, rpm=600)
    calls = [call for n in range(30) for call in (*one.ask(n), *another.ask(n))]

    line.run(8, one, another)

    by_another = [call for call in calls if call.heard_at > call.granted_at + POLL_S / 10]
    assert len(by_another) > 10
    assert all(call.heard_at <= call.start for call in calls)


def test_a_change_takes_back_what_is_granted_and_not_due(session):
    """It was granted under other terms. Who was not heard stays in line; what is due goes."""
    line, one, another = busy(session, rpm=600, burst_s=0.5)
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


def test_a_caller_whose_grant_was_taken_back_gives_nothing_back(session):
    """The clocks have been set back already: a second time would let its quota go twice."""
    line, one, another = busy(session, rpm=600)
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


def test_a_lost_answer_leaves_a_call_in_line_where_it_is(session):
    """The client asks again by the same name: twice in line it would take twice."""
    line, one, another = busy(session, ahead_s=0.5)
    (first,) = one.ask(1, poll=False)
    one.poll(lost=True)
    (second,) = another.ask(1)
    one.poll(lost=True)

    assert set(line.waits()) == {first.call_id, second.call_id}
    line.run(3, another, one)

    assert line.granted[1:] == [first, second]
    assert second.start - first.start == pytest.approx(1, abs=ROUNDING_S)


def test_a_call_whose_grant_was_lost_is_granted_again_behind_it(session):
    """Nobody knows whether the grant was heard, so it stays charged: less than the quota goes, never more."""
    line, one, _ = busy(session)
    (call,) = one.ask(1, poll=False)
    lost = one.poll(lost=True)
    assert lost["waits"] == [near(1)]

    line.run(1.5, one)

    assert call.start == near(line.granted[0].start + 2)
    assert not line.waits()


def test_a_call_that_takes_what_the_same_round_gives_back_is_counted(session):
    """The clocks end where they were: the figures of the last minute must not depend on that."""
    line, one, another = busy(session, rpm=60, burst_s=10)
    (undone,) = one.ask(1)

    another.ask(1, poll=False)
    another.poll(refund_requests_s=undone.request_s)

    assert sum(line.bucket()["slot_requests"]) == 3


def test_a_look_at_a_line_writes_nothing(session):
    """Who waits asks four times a second: a new version of the bucket's row each time would be many."""
    line, one, _ = busy(session)
    one.ask(*[1] * 5)
    before = session.execute("select ctid, xmin, * from quotas").fetchone()

    one.poll()
    line.expected_s()

    assert session.execute("select ctid, xmin, * from quotas").fetchone() == before


def test_lines_of_two_buckets_have_nothing_to_do_with_each_other(session):
    line, one, _ = busy(session)
    calls = one.ask(*[1] * 5)
    session.execute("insert into quotas (name, provider, requests_per_minute, burst_s) values ('other', 'p', 60, 0)")
    there = round_of([0, 0], name="other", turns=[8, 9], ahead_s=1.5, client_id=one.client_id)
    more = round_of([0], name="other", turns=[9], ahead_s=1.5, client_id=uuid4())

    rows = [session.execute(query("quota/round"), parameters).fetchone() for parameters in (there, more, more)]

    assert [row["waits"] for row in rows] == [[0, near(1)], [None], [None]]
    assert [row["expected_s"] for row in rows[1:]] == [[near(2)], [near(2)]]
    assert [line.waits()[call.call_id]["starts_at"] for call in calls[1:]] == [None] * 4


# -- Over whatever processes do ----------------------------------------------------------------------------------------

places = st.integers(0, 6)
who = st.integers(0, 3)
arrivals = st.tuples(
    st.just("come"), who, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 300)), min_size=1, max_size=8)
)
departures = st.tuples(st.just("leave"), who, places)
usages = st.tuples(st.just("use"), who, st.tuples(places, st.sampled_from([0, 30, 60, 100, 300])))  # per cent
silences = st.tuples(st.just("fall silent"), who, st.none())
times = st.tuples(st.just("run"), st.randoms(use_true_random=False), st.integers(1, 6))
buckets = st.tuples(
    st.integers(60, 1200), st.none() | st.integers(1200, 12_000), st.integers(0, 20).map(lambda n: n / 10)
)
stories = st.lists(arrivals | times | departures | usages | silences, min_size=4, max_size=14)


@dataclass
class Story:
    """What came of a series of steps."""

    line: Line
    processes: list[Process]
    undone: list[Call] = field(default_factory=list)
    used: dict[Call, int] = field(default_factory=dict)
    told: list[tuple[float, str, float]] = field(default_factory=list)  # the reports, as the vendor has them

    def step(self, step, by, value) -> None:
        if step == "run":
            return self.run(by, value)
        process = self.processes[by % len(self.processes)]
        match step:
            case "come":
                process.come([(float(turn), tokens) for turn, tokens in value], poll=False)
                self.poll(process)
            case "leave" if pending := [c for c in process.waiting + process.heard if self.pending(c)]:
                self.leave(process, pending[value % len(pending)])
            case "use" if made := [c for c in process.heard if self.made(c)]:
                self.use(process, made[value[0] % len(made)], value[1])
            case "wait":
                self.line.pass_time(value)
                self.run(_Same(), 1)
            case "fall silent" if len(self.processes) > 2:
                self.processes.remove(process)
                for call in process.waiting:
                    call.gone = self.line.rounds + 1
        return None

    def pending(self, call: Call) -> bool:
        return call.gone is None and (call.heard_at is None or call.start > self.line.now())

    def made(self, call: Call) -> bool:
        return call.gone is None and call not in self.used and call.start <= self.line.now()

    def run(self, random, polls: int) -> None:
        for _ in range(polls):
            order = random.sample(self.processes, len(self.processes))
            for process in order:
                self.line.pass_time(POLL_S / len(order))
                self.poll(process)

    def leave(self, process: Process, call: Call) -> None:
        self.undone.append(call)
        if call.heard_at is None:
            process.waiting.remove(call)
            call.gone = self.line.rounds + 1
            self.poll(process)
        else:
            call.gone = self.line.rounds + 1
            self.poll(process, refund_requests_s=call.request_s, refund_tokens_s=call.tokens_s, refund_epoch=call.epoch)

    def use(self, process: Process, call: Call, percent: int) -> None:
        self.used[call] = call.tokens * percent // 100
        before = self.line.now()
        self.poll(process, unused=[call.unused(self.used[call])] if call.token_s else ())
        at = max(before, self.line.bucket()["updated_at"].timestamp() + self.line.passed_s)
        self.told.append((at, "report", self.used[call] - call.tokens))
        for other in self.processes:
            self.poll(other)

    def poll(self, process: Process, **back: Any) -> None:
        """A round, after which the quota is granted to the full while a call waits."""
        began = self.line.now()
        process.poll(**back)
        if any(row["starts_at"] is None for row in self.line.waits().values()):
            granted_to = self.line.bucket()["next_at"]
            assert granted_to >= began + self.line.ahead_s - ROUNDING_S, "a call waits for quota that is there"

    def went(self) -> list[Call]:
        """In the order they were granted."""
        return [call for call in self.line.granted if call.gone is None]

    def returned_s(self) -> float:
        """Seconds given back to either clock, at the most."""
        granted = [call for call in self.undone if call.granted is not None] + self.line.forgotten
        unused = [max(0, call.tokens_s - used * call.token_s) for call, used in self.used.items()]
        return sum(max(call.request_s, call.tokens_s) for call in granted) + sum(unused)


def play(session, bucket, processes: int, steps) -> Story:
    line = Line(session, *bucket)
    story = Story(line, [Process(line) for _ in range(processes)])
    for step in steps:
        story.step(*step)
    return story


stories_run = settings(bounded, max_examples=40)


@stories_run
@given(buckets, st.integers(2, 4), stories)
def test_whatever_processes_do_no_window_holds_more_than_rate_and_burst(session, bucket, processes, steps):
    """The promise to the vendor. What was given back may go once more, and quota is never printed."""
    story = play(session, bucket, processes, steps)
    line, went, back_s = story.line, story.went(), story.returned_s()

    assert overrun(went, lambda _: 1, line.rpm / 60, line.burst_s + back_s) <= 0
    if line.tpm is not None:
        assert overrun(went, lambda c: c.tokens, line.tpm / 60, line.burst_s + back_s) <= 0
    if not line.granted:
        return
    last = line.granted[-1]
    span_s = last.start - min(call.start for call in line.granted) + line.burst_s + ROUNDING_S
    before = [call for call in went if call is not last]
    assert len(before) <= line.rpm / 60 * span_s
    if line.tpm is not None:
        settled = [min(call.tokens, story.used.get(call, call.tokens)) for call in before]
        assert sum(settled) <= line.tpm / 60 * span_s


delays = st.tuples(st.just("wait"), who, st.sampled_from([2.0, 10.0, 45.0, 180.0]))


@stories_run
@given(
    buckets.filter(lambda bucket: bucket[1] is not None),
    st.integers(2, 4),
    st.lists(arrivals | times | usages | delays, min_size=6, max_size=16),
)
def test_several_processes_ask_the_vendors_bucket_for_nothing_that_it_lacks(session, bucket, processes, steps):
    """The invariant of `quota_round`, as in test_bucket.py, where calls of one process wait behind those of another.

    A process learns of its grants and of what moves them in its next round. So calls may go late, at most as late as a
    grant is ahead of its call, and that much closer together.
    """
    story = play(session, bucket, processes, steps)
    line = story.line
    starts = [(call.start, "start", call.tokens) for call in story.went() if call not in line.forgotten]

    assert Vendor(line.tpm, line.burst_s).play(starts + story.told) <= line.ahead_s + ROUNDING_S


@stories_run
@given(buckets, st.integers(2, 4), st.lists(arrivals | times, min_size=4, max_size=14))
def test_where_nothing_is_given_back_every_window_keeps_to_rate_and_burst(session, bucket, processes, steps):
    """Without any slack: whichever process grants, and whichever hears of it."""
    line = play(session, bucket, processes, steps).line

    assert overrun(line.granted, lambda _: 1, line.rpm / 60, line.burst_s) <= 0
    if line.tpm is not None:
        assert overrun(line.granted, lambda c: c.tokens, line.tpm / 60, line.burst_s) <= 0


def waited_together(one: Call, another: Call) -> bool:
    """Whether there was a moment at which both were in line and neither was granted."""
    ends = [end for call in (one, another) for end in (call.granted, call.gone) if end is not None]
    return max(one.came, another.came) < min(ends, default=float("inf"))


@stories_run
@given(buckets, st.integers(2, 4), stories)
def test_of_two_calls_that_wait_together_the_earlier_turn_goes_first(session, bucket, processes, steps):
    """Up to what is granted ahead: a refund in between may let the later one in before."""
    story = play(session, bucket, processes, steps)
    went = [call for call in story.went() if call.heard_at is not None]

    for first in went:
        for second in went:
            if first.turn < second.turn and waited_together(first, second):
                assert first.start <= second.start + story.line.ahead_s + ROUNDING_S
                assert story.line.granted.index(first) < story.line.granted.index(second)


@stories_run
@given(buckets, st.integers(2, 4), stories, st.integers(1, 4))
def test_who_keeps_asking_is_served_or_refused_in_time(session, bucket, processes, steps, longest_wait_s):
    """Nobody is left in line beyond its patience, however many with earlier turns come."""
    line = Line(session, *bucket, longest_wait_s=float(longest_wait_s))
    story = Story(line, [Process(line) for _ in range(processes)])
    for step in steps:
        story.step(*step)
    story.run(_Same(), round(longest_wait_s / POLL_S) + 1)

    assert not [call for process in story.processes for call in process.waiting]
    assert all(call.refused_s >= 0 for call in line.calls if call.refused_s is not None)


class _Same:
    """Takes the processes in the same order each time."""

    def sample(self, processes, _):
        return list(processes)
