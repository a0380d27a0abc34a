"""The arithmetic of a bucket, on the database's own function.

Nothing sleeps: time passes by moving the bucket's clocks into the past. A call's start is the reading of the database
clock that its reservation was made by, plus the wait it was told, plus all the time that was let pass before.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blogworker.db.sql import query

ROUNDING_S = 0.001  # the clocks are kept in microseconds


@dataclass
class Call:
    start: float
    tokens: int


@dataclass
class Tap:
    """One bucket, and the calls it granted."""

    session: object
    rpm: int
    tpm: int | None = None
    burst_s: float = 1.0
    passed_s: float = 0.0
    granted: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session.execute("delete from quotas")
        self.session.execute(
            "insert into quotas (name, provider, requests_per_minute, tokens_per_minute, burst_s) "
            "values ('q', 'p', %s, %s, %s)",
            [self.rpm, self.tpm, self.burst_s],
        )

    def ask(self, tokens: int = 0, longest_wait_s: float = 3600):
        """The answer to one reservation."""
        row = self.session.execute(
            query("quota/reserve"), {"name": "q", "tokens": tokens, "longest_wait_s": longest_wait_s}
        ).fetchone()
        if row["granted"]:
            read_at = self.row()["updated_at"].timestamp()
            start = round(read_at + row["wait_s"] + self.passed_s, 6)  # as exact as the clocks, so that ties are ties
            self.granted.append(Call(start, tokens))
        return row

    def wait_s(self, tokens: int = 0) -> float:
        """The wait for one call that is granted."""
        row = self.ask(tokens)
        assert row["granted"]
        return row["wait_s"]

    def give_back(self, *, calls: int = 0, tokens: int = 0) -> None:
        self.session.execute(query("quota/give_back"), {"name": "q", "calls": calls, "tokens": tokens})

    def block(self, seconds: float) -> None:
        self.session.execute(query("quota/block"), {"name": "q", "seconds": seconds})

    def pass_time(self, seconds: float) -> None:
        self.session.execute(
            "update quotas set requests_clock = requests_clock - make_interval(secs => %(s)s), "
            "tokens_clock = tokens_clock - make_interval(secs => %(s)s), "
            "blocked_until = blocked_until - make_interval(secs => %(s)s)",
            {"s": seconds},
        )
        self.passed_s += seconds

    def row(self):
        return self.session.execute("select * from quotas").fetchone()


def near(seconds: float):
    """Up to the moment that passes between two statements."""
    return pytest.approx(seconds, abs=0.5)


def test_an_idle_bucket_grants_at_once(session):
    tap = Tap(session, rpm=60)

    assert tap.wait_s() == 0


def test_calls_beyond_the_burst_are_spread_at_the_rate(session):
    """A vendor enforces by the second: a minute's quota in one second is a row of 429s."""
    tap = Tap(session, rpm=60, burst_s=2)

    waits = [tap.wait_s() for _ in range(6)]

    assert waits == [0, 0, 0, near(1), near(2), near(3)]


def test_time_without_calls_saves_up_no_more_than_the_burst(session):
    tap = Tap(session, rpm=60, burst_s=2)
    tap.wait_s()
    tap.pass_time(3600)

    assert [tap.wait_s() for _ in range(4)] == [0, 0, 0, near(1)]


def test_tokens_bound_the_calls_too(session):
    """600 tokens a minute are 10 a second: the second call waits for what the first one reserved."""
    tap = Tap(session, rpm=6000, tpm=600, burst_s=1)

    assert [tap.wait_s(tokens=100) for _ in range(3)] == [0, near(9), near(19)]


def test_a_vendor_that_counts_no_tokens_is_asked_for_none(session):
    tap = Tap(session, rpm=6000, tpm=None, burst_s=1)

    assert [tap.wait_s(tokens=1_000_000) for _ in range(2)] == [0, 0]


def test_a_wait_that_is_too_long_takes_nothing(session):
    """The slot goes to another job; the quota must not go with it."""
    tap = Tap(session, rpm=60, burst_s=0)
    tap.wait_s()
    tap.wait_s()
    before = tap.row()

    refused = tap.ask(longest_wait_s=0.5)

    assert not refused["granted"]
    assert refused["wait_s"] == near(2)
    assert tap.row() == before


def test_a_call_given_back_lets_the_next_one_go_earlier(session):
    tap = Tap(session, rpm=60, tpm=600, burst_s=0)
    tap.wait_s(tokens=10)
    assert tap.wait_s(tokens=10) == near(1)
    tap.give_back(calls=1, tokens=10)

    assert tap.wait_s(tokens=10) == near(1)


def test_tokens_that_were_not_used_let_the_next_one_go_earlier(session):
    tap = Tap(session, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.give_back(tokens=70)

    assert tap.wait_s(tokens=1) == near(3)


def test_tokens_used_beyond_the_estimate_are_charged_after(session):
    tap = Tap(session, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.give_back(tokens=-50)

    assert tap.wait_s(tokens=1) == near(15)


def test_what_is_given_back_late_saves_up_no_credit(session):
    """An estimate was too high an hour ago: that quota has gone by unused."""
    tap = Tap(session, rpm=60, tpm=600, burst_s=1)
    tap.wait_s(tokens=600)
    tap.pass_time(3600)
    tap.give_back(calls=1, tokens=600)

    assert [tap.wait_s(tokens=10) for _ in range(4)] == [0, 0, near(1), near(2)]


def test_a_block_holds_every_call_and_the_longer_one_stays(session):
    tap = Tap(session, rpm=6000)
    tap.block(30)
    tap.block(5)

    assert tap.wait_s() == near(30)


def test_a_block_does_not_end_in_a_burst(session):
    """All who waited for its end would else go at that moment, and earn the next block."""
    tap = Tap(session, rpm=60, burst_s=0)
    tap.block(30)

    assert [tap.wait_s() for _ in range(3)] == [near(30), near(31), near(32)]


def test_calls_that_waited_for_tokens_are_spread_as_requests_too(session):
    tap = Tap(session, rpm=60, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)

    assert [tap.wait_s() for _ in range(3)] == [near(10), near(11), near(12)]


def test_the_limits_follow_the_settings(session):
    """A new tier at the vendor is a restart, not a migration; what was granted stays granted."""
    tap = Tap(session, rpm=60, tpm=600)
    tap.wait_s()
    before = tap.row()

    session.execute(
        query("quota/upsert_bucket"),
        {"name": "q", "provider": "p", "requests_per_minute": 120, "tokens_per_minute": None},
    )

    after = tap.row()
    assert (after["requests_per_minute"], after["tokens_per_minute"]) == (120, None)
    assert after["requests_clock"] == before["requests_clock"]


def test_a_bucket_nobody_made_is_named(session):
    with pytest.raises(Exception, match="no quota named elsewhere"):
        session.execute(query("quota/reserve"), {"name": "elsewhere", "tokens": 1, "longest_wait_s": 1})


tenths = st.integers(0, 100).map(lambda n: n / 10)
bursts = st.integers(0, 30).map(lambda n: n / 10)
asks = st.tuples(st.just("ask"), st.integers(0, 400))
passes = st.tuples(st.just("pass"), tenths)
blocks = st.tuples(st.just("block"), tenths)
returns = st.tuples(st.just("give_back"), st.integers(0, 5))
limits = st.tuples(st.integers(30, 600), st.none() | st.integers(600, 12_000), bursts)
bounded = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def play(session, limit, steps) -> tuple[Tap, list[Call]]:
    """Run the steps; give the bucket and the calls whose quota was given back."""
    tap = Tap(session, *limit)
    returned: list[Call] = []
    for step, value in steps:
        match step:
            case "ask":
                tap.ask(value, longest_wait_s=30)
            case "pass":
                tap.pass_time(value)
            case "block":
                tap.block(value)
            case "give_back":
                held = [c for c in tap.granted if all(c is not other for other in returned)]
                if value < len(held):
                    returned.append(held[value])
                    tap.give_back(calls=1, tokens=held[value].tokens)
    return tap, returned


def overrun(calls: list[Call], size, per_s: float, burst_s: float) -> float:
    """By how much the fullest window holds more than the rate lets through in it and in a burst.

    `calls` are in the order they were granted. A call may go as long as those before it fit, so the one of a window
    that was granted last is always allowed. After a refund it need not be the last to start.
    """
    worst = 0.0
    by_start = sorted(enumerate(calls), key=lambda entry: entry[1].start)
    for first, (_, opening) in enumerate(by_start):
        used, latest = 0.0, by_start[first]
        for entry in by_start[first:]:
            used += size(entry[1])
            latest = max(latest, entry, key=lambda known: known[0])
            window_s = entry[1].start - opening.start
            worst = max(worst, used - size(latest[1]) - per_s * (window_s + burst_s + ROUNDING_S))
    return worst


@bounded
@given(limits, st.lists(asks | passes | blocks, max_size=30))
def test_no_window_ever_holds_more_than_rate_and_burst(session, limit, steps):
    """The promise to the vendor, over every window there is, in requests and in tokens."""
    tap, _ = play(session, limit, steps)

    assert overrun(tap.granted, lambda _: 1, tap.rpm / 60, tap.burst_s) <= 0
    if tap.tpm is not None:
        assert overrun(tap.granted, lambda c: c.tokens, tap.tpm / 60, tap.burst_s) <= 0


@bounded
@given(limits, st.lists(asks | passes | blocks | returns, max_size=30))
def test_what_is_given_back_is_granted_again_at_most_once(session, limit, steps):
    """No sequence of refunds prints quota: a window is ahead by no more than what was returned."""
    tap, returned = play(session, limit, steps)

    assert overrun(tap.granted, lambda _: 1, tap.rpm / 60, tap.burst_s) <= len(returned)
    if tap.tpm is not None:
        assert overrun(tap.granted, lambda c: c.tokens, tap.tpm / 60, tap.burst_s) <= sum(c.tokens for c in returned)


@bounded
@given(limits, st.lists(asks | passes | blocks, max_size=30))
def test_first_come_is_first_served(session, limit, steps):
    """A caller sleeps to its own slot: nobody who came later may be told an earlier one."""
    tap, _ = play(session, limit, steps)

    starts = [call.start for call in tap.granted]
    assert all(later >= earlier - ROUNDING_S for earlier, later in pairwise(starts))


@bounded
@given(st.integers(30, 600), bursts, st.integers(5, 60))
def test_a_bucket_that_is_always_asked_is_used_to_the_full(session, rpm, burst_s, count):
    """The other half of the promise: paid quota that lies idle is lost."""
    tap = Tap(session, rpm, None, burst_s)

    waits = [tap.wait_s() for _ in range(count)]

    assert waits[-1] <= max(0.0, (count - 1) * 60 / rpm - burst_s) + ROUNDING_S
