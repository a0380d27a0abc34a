"""The arithmetic of a bucket, on the database's own function.

Nothing sleeps: time passes by moving the bucket's clocks into the past. A call's start is the reading of the database
clock that its reservation was made by, plus the wait it was told, plus all the time that was let pass before.

Calls are granted however far ahead, so that one round shows the whole arithmetic. Those that are not granted yet, and
the order in which they go, are in test_line.py.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.db.sql import query

from .clocks import ROUNDING_S, Vendor, bounded, look, near, overrun, passed, round_of

SLOT_S = 5


@dataclass(eq=False)
class Call:
    start: float
    tokens: int
    request_s: float  # what it was charged, as a worker keeps it
    token_s: float
    epoch: int
    granted: float  # the start it was told first
    soonest: float
    returned_s: float

    @property
    def tokens_s(self) -> float:
        return max(self.request_s, self.tokens * self.token_s) if self.token_s else 0.0

    def unused(self, used: int) -> tuple[float, float]:
        """What it left of its estimate, and how far each of these tokens moved the clock."""
        return self.tokens - used, self.token_s


@dataclass
class Tap:
    """One bucket, and the calls it granted."""

    session: object
    rpm: int
    tpm: int | None = None
    burst_s: float = 1.0
    passed_s: float = 0.0
    epoch: int = 0
    client_id: UUID = field(default_factory=uuid4)
    sent: int = 0
    granted: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session.execute("delete from quotas")
        self.session.execute("delete from quota_waits")
        self.session.execute(
            "insert into quotas (name, provider, requests_per_minute, tokens_per_minute, burst_s) "
            "values ('q', 'p', %s, %s, %s)",
            [self.rpm, self.tpm, self.burst_s],
        )

    def round(
        self,
        tokens=(),
        *,
        longest_wait_s=3600.0,
        unused=(),
        refund_requests_s=0.0,
        refund_tokens_s=0.0,
        refund_epoch=None,
        reported_s=(),
        told=(),
    ):
        """The answer to a process that wants these calls, and gives back so much."""
        self.sent += 1
        row = self.session.execute(
            query("quota/round"),
            round_of(
                tokens,
                longest_wait_s=longest_wait_s,
                unused=unused,
                refund_requests_s=refund_requests_s,
                refund_tokens_s=refund_tokens_s,
                refund_epoch=self.row()["epoch"] if refund_epoch is None else refund_epoch,
                reported_s=reported_s,
                told=told,
                client_id=self.client_id,
                number=self.sent,
            ),
        ).fetchone()
        read_at = self.row()["updated_at"].timestamp()
        if row["epoch"] != self.epoch:
            self.epoch = row["epoch"]
            self.leave(read_at)
        self.move_up(read_at, row["returned_s"])
        for place, size in enumerate(tokens):
            if row["waits"][place] is not None:
                # As exact as the clocks, so that ties are ties.
                start, soonest = (round(read_at + row[s][place] + self.passed_s, 6) for s in ("waits", "soonest"))
                self.granted.append(
                    Call(
                        start,
                        size,
                        row["request_s"][place],
                        row["token_s"][place],
                        row["epoch"],
                        granted=start,
                        soonest=soonest,
                        returned_s=row["returned_at_s"][place],
                    )
                )
        return row

    def move_up(self, now: float, returned_s: float) -> None:
        """Those who wait go sooner by what came back."""
        now += self.passed_s
        for call in self.granted:
            if call.start > now:
                moved = call.granted - (returned_s - call.returned_s)
                call.start = round(max(now, call.soonest, moved), 6)

    def leave(self, now: float) -> None:
        """Those who were granted a place and are not due ask again."""
        self.granted = [call for call in self.granted if call.start <= now + self.passed_s]

    def wait_s(self, tokens: int = 0) -> float:
        """The wait for one call that is granted."""
        (wait_s,) = self.round([tokens])["waits"]
        assert wait_s is not None
        return wait_s

    def next_s(self) -> float:
        """When a call could go; nothing is taken."""
        (expected_s,) = self.session.execute(query("quota/round"), look()).fetchone()["expected_s"]
        return expected_s

    def undo(self, call: Call) -> None:
        """Give back a call that was not made."""
        self.round(refund_requests_s=call.request_s, refund_tokens_s=call.tokens_s, refund_epoch=call.epoch)

    def reconcile(self, call: Call, used: int) -> None:
        """Tell the real usage of a call that was made."""
        self.round(unused=[call.unused(used)] if call.token_s else ())

    def block(self, seconds: float) -> None:
        self.session.execute(query("quota/block"), {"name": "q", "seconds": seconds})

    def slow_down(self) -> None:
        self.session.execute(query("quota/slow_down"), {"name": "q"})

    def set(self, *, rpm: int | None = None, tpm: int | None = None) -> None:
        self.session.execute(
            query("quota/set_bucket"),
            {"name": "q", "requests_per_minute": rpm, "tokens_per_minute": tpm, "pinned": True},
        )

    def learn(self, *, requests_left=None, tokens_left=None, requests_limit=None, tokens_limit=None) -> None:
        self.session.execute(
            query("quota/learn"),
            {
                "name": "q",
                "requests_limit": requests_limit,
                "tokens_limit": tokens_limit,
                "requests_left": requests_left,
                "tokens_left": tokens_left,
            },
        )

    def pass_time(self, seconds: float) -> None:
        slots = round(seconds / SLOT_S)  # of the last minute's figures
        self.session.execute(f"update quotas set {passed(seconds)}, newest_slot = newest_slot - {slots}")
        self.passed_s += seconds

    def pace(self) -> float:
        """The part of the limit that is in use now."""
        cost = self.session.execute("select k.* from quotas as q, quota_cost(q, clock_timestamp()) as k").fetchone()
        return 60 / (self.rpm * cost["request_s"])

    def now(self) -> float:
        return self.session.execute("select clock_timestamp() as t").fetchone()["t"].timestamp()

    def row(self):
        return self.session.execute("select * from quotas").fetchone()


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

    refused = tap.round([0, 0], longest_wait_s=0.5)

    assert (refused["waits"], refused["refused"]) == ([None, None], [True, True])
    assert refused["expected_s"] == [near(2), near(2)]
    assert tap.row() == before


def test_a_call_given_back_lets_the_next_one_go_earlier(session):
    tap = Tap(session, rpm=60, tpm=600, burst_s=0)
    tap.wait_s(tokens=10)
    assert tap.wait_s(tokens=10) == near(1)
    tap.undo(tap.granted[-1])

    assert tap.wait_s(tokens=10) == near(1)


def test_tokens_that_were_not_used_let_the_next_one_go_earlier(session):
    tap = Tap(session, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.reconcile(tap.granted[0], 30)

    assert tap.wait_s(tokens=1) == near(3)


def test_tokens_used_beyond_the_estimate_are_charged_after(session):
    tap = Tap(session, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.reconcile(tap.granted[0], 150)

    assert tap.wait_s(tokens=1) == near(15)


def test_what_is_given_back_late_saves_up_no_credit(session):
    """An estimate was too high an hour ago: that quota has gone by unused."""
    tap = Tap(session, rpm=60, tpm=600, burst_s=1)
    tap.wait_s(tokens=600)
    tap.pass_time(3600)
    tap.undo(tap.granted[0])

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
    """A new tier at the vendor is a restart, not a migration; what was used stays used."""
    tap = Tap(session, rpm=60, tpm=600, burst_s=3)
    tap.wait_s()
    before = tap.row()

    session.execute(
        query("quota/upsert_bucket"),
        {"name": "q", "provider": "p", "requests_per_minute": 120, "tokens_per_minute": None, "burst_s": 3},
    )

    after = tap.row()
    assert (after["requests_per_minute"], after["tokens_per_minute"]) == (120, None)
    assert after["requests_clock"] == before["requests_clock"]


def test_a_bucket_nobody_made_is_named(session):
    with pytest.raises(Exception, match="no quota named elsewhere"):
        session.execute(query("quota/round"), round_of([1], name="elsewhere"))


def test_a_round_serves_its_callers_in_their_order(session):
    tap = Tap(session, rpm=60, tpm=600, burst_s=0)

    row = tap.round([10, 20, 10, 10], longest_wait_s=3.5)

    assert row["waits"] == [0, near(1), near(3), None]
    assert row["expected_s"] == [None, None, None, near(4)]


def test_a_look_at_a_bucket_writes_nothing(session):
    """Workers that wait look twice a second; each look a new row version would be."""
    tap = Tap(session, rpm=60, tpm=600)
    tap.wait_s(tokens=10)
    before = session.execute("select ctid, * from quotas").fetchone()

    tap.next_s()

    assert session.execute("select ctid, * from quotas").fetchone() == before


def test_callers_that_all_leave_leave_no_trace(session):
    """A drained worker held thirty seconds of the line: the next caller goes as early as if it had never asked."""
    tap = Tap(session, rpm=60, tpm=6000, burst_s=1)
    tap.wait_s(tokens=100)
    before = tap.next_s()
    tap.round([1, 500, 0, 90, 2000])
    for call in tap.granted[1:]:
        tap.undo(call)

    assert tap.next_s() <= before


def test_what_is_given_back_at_another_pace_is_what_was_charged(session):
    """Else a vendor under pressure, at a fiftieth of the pace, would hand out fifty times what was unused."""
    tap = Tap(session, rpm=6000, tpm=600, burst_s=0)
    tap.round([100, 100])
    tap.learn(tokens_left=0.0)

    tap.reconcile(tap.granted[0], 40)

    assert tap.next_s() == near(4), "the other call is taken back, because the pace has changed"


changes = pytest.mark.parametrize(
    "change",
    [lambda tap: tap.block(0.001), lambda tap: tap.set(rpm=60), lambda tap: tap.slow_down()],
    ids=["block", "set", "slow_down"],
)


@changes
def test_a_change_of_the_bucket_clears_the_line(session, change):
    """Those who wait ask again, under the new terms: their old places must not stand in their way."""
    tap = Tap(session, rpm=60, burst_s=1)
    tap.round([0] * 20)
    epoch = tap.row()["epoch"]

    change(tap)

    assert tap.round()["epoch"] > epoch
    assert tap.next_s() <= 2, "one call, which may be under way"


@changes
def test_places_of_before_a_change_are_not_given_back(session, change):
    """The line was cleared already: once more would let all of them go at once."""
    tap = Tap(session, rpm=60, burst_s=0)
    tap.round([0] * 20)
    line = tap.granted
    change(tap)
    tap.round([0] * 5)
    before = tap.now() + tap.next_s()

    for call in line:
        tap.undo(call)

    assert tap.now() + tap.next_s() == near(before)


def test_a_round_waits_for_no_disk_and_leaves_no_trace_of_that(session):
    """The bucket's row is held until the commit is over; what comes after on the same connection is durable again."""
    tap = Tap(session, rpm=60)
    session.execute("set synchronous_commit = on")

    def told() -> str:
        return session.execute("show synchronous_commit").fetchone()["synchronous_commit"]

    with session.transaction():
        tap.wait_s()
        during = told()

    assert (during, told()) == ("off", "on")


def test_new_limits_hold_for_the_next_call(session):
    tap = Tap(session, rpm=60, burst_s=0)
    tap.set(rpm=600)

    assert tap.round([0] * 11)["waits"][-1] == near(1)


def test_a_vendor_that_allows_less_than_the_settings_is_believed(session):
    tap = Tap(session, rpm=600, tpm=60_000, burst_s=0)
    tap.learn(requests_limit=60, tokens_limit=600)

    assert tap.round([100, 100])["waits"] == [0, near(10)]
    assert tap.row()["requests_per_minute"] == 600


@pytest.mark.parametrize(
    ("left", "pace"), [(1.0, 1.0), (0.5, 1.0), (0.25, 0.5), (0.1, 0.2), (0.0, 0.02)], ids=lambda value: f"{value:g}"
)
def test_the_pace_follows_what_the_vendor_has_left(session, left, pace):
    """Another application draws from the same key: we take in proportion to what remains."""
    tap = Tap(session, rpm=60, tpm=600)
    tap.learn(requests_left=1.0, tokens_left=left)

    assert tap.pace() == pytest.approx(pace, abs=0.01)


def test_old_news_of_the_vendor_fade(session):
    """A worker that makes no calls learns nothing new: it must not stay slow for ever."""
    tap = Tap(session, rpm=60)
    tap.learn(requests_left=0.0)

    paces = []
    for seconds in (10, 30, 30):
        tap.pass_time(seconds)
        paces.append(tap.pace())

    assert paces == [pytest.approx(0.02, abs=0.02), pytest.approx(0.52, abs=0.02), 1]


def test_a_line_that_was_granted_in_trouble_does_not_outlast_it(session):
    """At a tenth of the pace thirty calls reach five minutes ahead; all is well again a second later."""
    tap = Tap(session, rpm=60, burst_s=1)
    tap.learn(requests_left=0.05)
    tap.round([0] * 30)
    assert tap.next_s() > 250
    tap.learn(requests_left=1.0)

    assert tap.next_s() <= 2
    assert tap.round([0] * 30)["waits"][-1] <= 31


def test_unused_tokens_move_up_those_who_wait(session):
    """Throughput follows the real usage, in the order of the line, not only once the line is used up."""
    tap = Tap(session, rpm=6000, tpm=600, burst_s=0)
    tap.round([100] * 4)
    first, *line = tap.granted
    starts = [call.start for call in line]

    tap.reconcile(first, 40)

    assert [call.start - start for call, start in zip(line, starts, strict=True)] == [near(-6)] * 3


def test_nobody_is_moved_up_beyond_the_limit_of_requests(session):
    tap = Tap(session, rpm=60, tpm=600, burst_s=0)
    tap.round([100, 1, 1, 1])
    first, *line = tap.granted

    tap.reconcile(first, 0)

    assert [call.start - first.start for call in line] == [near(1), near(2), near(3)]


def test_small_changes_of_the_pace_leave_the_line_as_it_is(session):
    tap = Tap(session, rpm=60, burst_s=1)
    tap.round([0] * 10)
    tap.learn(requests_left=0.45)

    assert tap.round()["epoch"] == 0
    assert tap.next_s() == near(9)


def test_slow_down_halves_the_pace_which_recovers(session):
    tap = Tap(session, rpm=60)
    tap.slow_down()
    tap.slow_down()  # within the same second: one storm

    paces = [tap.pace()]
    for _ in range(2):
        tap.pass_time(30)
        paces.append(tap.pace())
    tap.slow_down()
    paces.append(tap.pace())

    assert paces == [pytest.approx(expected, abs=0.02) for expected in (0.5, 0.75, 1, 0.5)]


@pytest.mark.parametrize("back_s", [30, 60, 90, 3600])
def test_a_clock_set_back_leaves_a_slow_bucket_slow(session, back_s):
    """As after a failover. A pace of nothing could not be divided by, and one below it would let everything through."""
    tap = Tap(session, rpm=60)
    tap.slow_down()

    tap.pass_time(-back_s)

    assert tap.pace() == pytest.approx(0.5, abs=0.02)


def test_processes_at_once_get_one_line(session, module_url):
    """Eight connections race: the row's lock makes one order of it, and no two calls share a slot."""
    tap = Tap(session, rpm=6000, burst_s=0.1)
    began = tap.now()
    a_round = query("quota/round").rstrip().rstrip(";")
    ask = f"select extract(epoch from clock_timestamp())::float8 as at, r.waits from ({a_round}) as r"

    def worker(_: int) -> list[float]:
        with psycopg.connect(module_url, autocommit=True) as connection:
            rows = [connection.execute(ask, round_of([0, 0, 0])).fetchone() for _ in range(40)]
        return [at + wait_s for at, waits in rows for wait_s in waits]

    with ThreadPoolExecutor(8) as threads:
        starts = sorted(start for each in threads.map(worker, range(8)) for start in each)

    assert len(starts) == 960
    assert starts[-1] - began >= 959 * 0.01 - 0.1
    ahead_s = (tap.row()["requests_clock"].timestamp() - began) - 960 * 0.01
    assert ahead_s >= -ROUNDING_S


tenths = st.integers(0, 100).map(lambda n: n / 10)
bursts = st.integers(0, 30).map(lambda n: n / 10)
asks = st.tuples(st.just("ask"), st.lists(st.integers(0, 400), min_size=1, max_size=8))
passes = st.tuples(st.just("pass"), tenths)
blocks = st.tuples(st.just("block"), tenths)
undos = st.tuples(st.just("undo"), st.integers(0, 8))
usages = st.tuples(st.just("reconcile"), st.tuples(st.integers(0, 8), st.integers(0, 500)))
news = st.tuples(st.just("learn"), st.integers(0, 10).map(lambda n: n / 10))
limits = st.tuples(st.integers(30, 600), st.none() | st.integers(600, 12_000), bursts)


@dataclass
class Play:
    """What came of a series of steps. Rounds of several processes are one series: the row's lock sees to that."""

    tap: Tap
    undone: list[Call] = field(default_factory=list)
    used: dict[Call, int] = field(default_factory=dict)
    told: list[tuple[float, str, float]] = field(default_factory=list)  # what the vendor learns besides starts

    def began(self) -> list[Call]:
        """Calls that were made and have not told their usage, last first."""
        now = self.now()
        return [c for c in self.open() if c.start <= now]

    def now(self) -> float:
        return self.tap.now() + self.tap.passed_s

    def open(self) -> list[Call]:
        """Calls whose quota may still be given back, last first."""
        return [c for c in reversed(self.tap.granted) if c not in self.undone and c not in self.used]

    def step(self, step, value) -> None:
        match step:
            case "ask":
                self.tap.round(value, longest_wait_s=30)
            case "pass":
                self.tap.pass_time(value)
            case "block":
                self.tap.block(value)
                self.tap.leave(self.tap.now())
            case "learn":
                self.tap.learn(requests_left=value)
            case "undo" if calls := self.open():
                call = calls[value % len(calls)]
                self.undone.append(call)
                self.tap.undo(call)
            case "reconcile" if calls := self.began():
                call = calls[value[0] % len(calls)]
                self.used[call] = value[1]
                self.told.append((self.now(), "report", value[1] - call.tokens))  # the provider knows it first
                self.tap.reconcile(call, value[1])
            case "slow down":
                self.tap.slow_down()
                self.tap.round()
            case "limit":
                self.tap.set(tpm=value)
                self.told.append((self.now(), "limit", value))
                self.tap.round()

    def returned_s(self) -> float:
        """Seconds given back to either clock, at the most."""
        unused = [max(0, call.tokens_s - used * call.token_s) for call, used in self.used.items()]
        return sum(max(call.request_s, call.tokens_s) for call in self.undone) + sum(unused)

    def lacking_s(self) -> float:
        """What the vendor's bucket of tokens lacked at worst when a call started, in seconds."""
        starts = [(call.start, "start", call.tokens) for call in self.tap.granted if call not in self.undone]
        return Vendor(self.tap.tpm, self.tap.burst_s).play(starts + self.told)


def play(session, limit, steps) -> Play:
    played = Play(Tap(session, *limit))
    for step, value in steps:
        played.step(step, value)
    return played


@bounded
@given(limits, st.lists(asks | passes | news | blocks, max_size=20))
def test_no_window_ever_holds_more_than_rate_and_burst(session, limit, steps):
    """The promise to the vendor, over every window there is, in requests and in tokens, whatever changes meanwhile."""
    tap = play(session, limit, steps).tap

    assert overrun(tap.granted, lambda _: 1, tap.rpm / 60, tap.burst_s) <= 0
    if tap.tpm is not None:
        assert overrun(tap.granted, lambda c: c.tokens, tap.tpm / 60, tap.burst_s) <= 0


waits = st.tuples(st.just("pass"), st.sampled_from([0.2, 1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 300.0]))
reports = st.tuples(st.just("reconcile"), st.tuples(st.integers(0, 12), st.sampled_from([0, 50, 200, 800, 3_000])))
slowdowns = st.tuples(st.just("slow down"), st.none())
new_limits = st.tuples(st.just("limit"), st.sampled_from([600, 2_400, 12_000]))
sizes = st.lists(st.sampled_from([0, 10, 100, 400]), min_size=1, max_size=6)
counted = st.tuples(st.sampled_from([20, 600, 6_000]), st.sampled_from([600, 2_400, 12_000]), bursts)
episodes = st.tuples(
    st.tuples(st.just("ask"), sizes),
    waits,
    st.lists(reports, max_size=6),
    st.lists(blocks | news | slowdowns | new_limits, max_size=1),
).map(lambda episode: [*episode[:2], *episode[2], *episode[3]])
lives = st.lists(episodes, min_size=2, max_size=5).map(lambda parts: [step for part in parts for step in part])


@settings(bounded, max_examples=100)
@given(counted, lives)
def test_the_vendors_own_bucket_is_never_asked_for_what_it_lacks(session, limit, steps):
    """The invariant of `quota_round`, exactly: a bucket of our burst and one call refuses none.

    Calls report after seconds or minutes that they used nothing or many times their estimate, while the clocks run dry
    or the line is full, at any pace, across blocks and changes of the limits.
    """
    played = play(session, limit, steps)

    assert played.lacking_s() <= ROUNDING_S * (1 + len(played.told))


def test_an_excess_is_charged_as_of_its_report(session):
    """Calls take half a minute. Charged as of their start, what they used beyond their estimates would be forgotten."""
    tap = Tap(session, rpm=6000, tpm=600, burst_s=1)
    tap.round([10] * 5)
    tap.pass_time(30)
    for call in list(tap.granted):
        tap.reconcile(call, 60)

    assert tap.wait_s(tokens=10) == near(5 * 5 - 1)


def test_a_call_charged_for_its_request_pays_for_all_that_it_used(session):
    """The vendor has taken no tokens yet when the usage comes: the time that the request was charged has gone by."""
    tap = Tap(session, rpm=20, tpm=600, burst_s=0)
    tap.wait_s(tokens=0)
    tap.pass_time(10)
    tap.reconcile(tap.granted[0], 50)

    assert tap.wait_s(tokens=0) == near(5)


def test_a_full_bucket_keeps_nothing_of_a_refund(session):
    """Two calls started long before the next three are granted: the vendor has refilled what they took."""
    played = Play(Tap(session, rpm=600_000, tpm=600, burst_s=0))
    for step, value in [
        ("ask", [100, 100]),
        ("pass", 19.5),
        ("ask", [100, 100, 100]),
        ("reconcile", (0, 0)),
        ("reconcile", (0, 0)),
    ]:
        played.step(step, value)

    assert len(played.used) == 2
    assert played.lacking_s() <= ROUNDING_S


def test_a_refund_goes_no_further_than_a_call_that_waits_for_its_request(session):
    """The vendor's tokens are all there before that call can start, so what came back earlier has run over."""
    tap = Tap(session, rpm=6, tpm=600, burst_s=0)
    tap.round([300])
    tap.round([100, 100])
    first, second, third = tap.granted
    tap.pass_time(29.5)
    tap.reconcile(first, 0)

    assert (second.start - first.start, third.start - first.start) == (near(29.5), near(39.5))
    assert tap.next_s() == near(20)


def test_tokens_count_from_the_start_of_a_call_that_waits_for_its_request(session):
    tap = Tap(session, rpm=6, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.reconcile(tap.granted[0], 0)

    assert [tap.wait_s(tokens=200), tap.wait_s(tokens=1)] == [near(10), near(30)]


@changes
def test_what_was_used_beyond_estimates_outlasts_a_change(session, change):
    """The change takes back the line, not what calls have used."""
    tap = Tap(session, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=10)
    tap.reconcile(tap.granted[0], 610)

    change(tap)

    assert tap.wait_s(tokens=10) == near(61)


def test_a_refund_of_a_slow_minute_counts_its_tokens_only(session):
    """At a fiftieth of the pace a call is charged fifty times its time: its refund must not pay for fifty others."""
    tap = Tap(session, rpm=6000, tpm=6000, burst_s=0)
    tap.learn(tokens_left=0.0)
    tap.wait_s(tokens=100)
    (slow,) = tap.granted
    tap.learn(tokens_left=1.0)
    tap.next_s()
    tap.pass_time(2)
    tap.wait_s(tokens=3000)

    tap.reconcile(slow, 0)

    assert tap.next_s() == near(29)


@bounded
@given(limits, st.lists(asks | passes | news | undos | usages, max_size=25))
def test_what_is_given_back_is_granted_again_at_most_once(session, limit, steps):
    """A window is ahead by no more than what was returned, at whatever pace."""
    played = play(session, limit, steps)
    tap, slack_s = played.tap, played.returned_s()

    assert overrun(tap.granted, lambda _: 1, tap.rpm / 60, tap.burst_s + slack_s) <= 0
    if tap.tpm is not None:
        assert overrun(tap.granted, lambda c: c.tokens, tap.tpm / 60, tap.burst_s + slack_s) <= 0


@bounded
@given(limits, st.lists(asks | passes | news | undos | usages, max_size=25))
def test_refunds_never_print_quota(session, limit, steps):
    """From the first call on: calls really made, and tokens really used, fit the rate. Refunds give no slack here."""
    played = play(session, limit, steps)
    tap = played.tap
    if not tap.granted:
        return
    last = tap.granted[-1]
    span_s = last.start - min(call.start for call in tap.granted) + tap.burst_s + ROUNDING_S
    before = [call for call in tap.granted[:-1] if call not in played.undone]

    assert len(before) <= tap.rpm / 60 * span_s
    if tap.tpm is not None:
        settled = [min(call.tokens, played.used.get(call, call.tokens)) for call in before]
        assert sum(settled) <= tap.tpm / 60 * span_s


@bounded
@given(limits, st.lists(asks | passes | usages, max_size=10), st.lists(st.integers(0, 400), min_size=1, max_size=8))
def test_a_caller_that_leaves_is_as_if_it_had_never_asked(session, limit, steps, tokens):
    tap = play(session, limit, steps).tap
    before = tap.next_s()
    known = len(tap.granted)

    tap.round(tokens)
    for call in tap.granted[known:]:
        tap.undo(call)

    assert tap.next_s() <= before + ROUNDING_S


@bounded
@given(limits, st.lists(asks | passes | blocks, max_size=20))
def test_nobody_waits_longer_than_agreed(session, limit, steps):
    tap = Tap(session, *limit)
    for step, value in steps:
        if step == "ask":
            waits = tap.round(value, longest_wait_s=5)["waits"]
            granted = [wait_s for wait_s in waits if wait_s is not None]
            assert all(wait_s <= 5 for wait_s in granted)
            assert waits == granted + [None] * (len(waits) - len(granted)), "who is refused stands behind"
        elif step == "pass":
            tap.pass_time(value)
        else:
            tap.block(value)


@bounded
@given(limits, st.lists(asks | passes | news, max_size=20))
def test_first_come_is_first_served(session, limit, steps):
    """A caller sleeps to its own slot: nobody who came later may be told an earlier one."""
    tap = play(session, limit, steps).tap

    starts = [call.start for call in tap.granted]
    assert all(later >= earlier - ROUNDING_S for earlier, later in pairwise(starts))


@bounded
@given(st.integers(30, 600), bursts, st.integers(5, 60))
def test_a_bucket_that_is_always_asked_is_used_to_the_full(session, rpm, burst_s, count):
    """The other half of the promise: paid quota that lies idle is lost."""
    tap = Tap(session, rpm, None, burst_s)

    waits = tap.round([0] * count)["waits"]

    assert waits[-1] <= max(0.0, (count - 1) * 60 / rpm - burst_s) + ROUNDING_S


moments = st.tuples(st.integers(0, 130), st.integers(0, 3), st.integers(-50, 400))  # seconds ago, requests, tokens


@bounded
@given(st.lists(moments, max_size=12), st.integers(0, 18).map(lambda n: n * SLOT_S))
def test_a_minute_holds_what_went_in_it_and_nothing_older(session, told, then_s):
    """In whatever order the news come, each is booked when its call went. The oldest slot counts in part."""
    tap = Tap(session, rpm=6000, tpm=6000)
    for ago_s, requests, tokens in told:
        tap.round(reported_s=[ago_s], told=[(requests, tokens)])
    tap.pass_time(then_s)

    found = session.execute("select * from v_quotas").fetchone()

    within = [(requests, tokens) for ago_s, requests, tokens in told if ago_s + then_s <= 60 - SLOT_S - 1]
    nearly = [(requests, tokens) for ago_s, requests, tokens in told if ago_s + then_s <= 60 + SLOT_S + 1]
    counted = found["requests_in_last_minute"]
    assert sum(requests for requests, _ in within) <= counted <= sum(requests for requests, _ in nearly)
    if within == nearly:
        assert found["tokens_in_last_minute"] == max(0, sum(tokens for _, tokens in within))
