"""How many workers should run: whole days of load in virtual time, decided by the program's own SQL and `decide`."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.scale import (
    DOWN_EVERY_S,
    UP_EVERY_S,
    WINDOW_S,
    Bounds,
    Decision,
    Memory,
    ScaleFacts,
    decide,
    read_memory,
    read_scale,
)
from blogworker.queue.admit import admit

BOUNDS = Bounds(1, 8)
SLOTS = 50  # of a worker
MINUTE_S, STEP_S = 60.0, 5.0
NEEDED = """
select wanted, limited_by
from workers_needed(%s::bigint, %s::bigint, %s::bigint, %s::bigint, %s, %s, %s, %s, %s, 600)
"""
Need = Callable[..., tuple[int, str | None]]


@pytest.fixture(scope="module")
def need(module_url: str) -> Iterator[Need]:
    """What the view asks, with figures instead of tables."""
    with psycopg.connect(module_url, autocommit=True) as connection:

        def ask(*figures: float | None) -> tuple[int, str | None]:
            row: tuple[int, str | None] = connection.execute(NEEDED.encode(), figures, prepare=True).fetchall()[0]
            return row

        yield ask


@dataclass
class Remembered:
    """The decisions of one host, as the table keeps them and queries/ops/scale_memory reads them."""

    decided: deque[tuple[float, int]] = field(default_factory=deque)
    changed_at: float | None = None
    changes: list[tuple[float, int]] = field(default_factory=list)

    def at(self, now: float) -> Memory:
        while self.decided and self.decided[0][0] <= now - WINDOW_S:
            self.decided.popleft()
        return Memory(
            known_s=now - self.decided[0][0] if self.decided else None,
            most_wanted=max((wanted for _, wanted in self.decided), default=None),
            changed_s=None if self.changed_at is None else now - self.changed_at,
        )

    def add(self, now: float, decision: Decision) -> None:
        self.decided.append((now, decision.wanted))
        if decision.target != decision.workers:
            self.changed_at = now
            self.changes.append((now, decision.target - decision.workers))


@dataclass
class World:
    """A queue and workers: a job takes a minute or so; the quota lets so many start in a minute, with no burst."""

    need: Need
    load: Callable[[float], float]  # jobs a minute at a time
    quota: float | None = None  # jobs a minute
    down: tuple[float, float] = (0.0, 0.0)  # when the provider is away
    workers: int = 1
    now: float = 0.0
    pending: float = 0.0
    allowance: float = 0.0
    running: list[float] = field(default_factory=list)  # when each job ends
    minutes: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=6))  # ended, pending
    ended: int = 0
    waited_since: float | None = None
    memory: Remembered = field(default_factory=Remembered)
    log: list[tuple[float, ScaleFacts, Decision]] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(1))

    @property
    def closed(self) -> bool:
        return self.down[0] <= self.now < self.down[1]

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self._step()
            if self.now % MINUTE_S == 0:
                self.minutes.append((self.ended, self.pending))
                self.ended = 0
                self._decide()

    def _step(self) -> None:
        self.now += STEP_S
        self.pending += self.load(self.now) * STEP_S / 60
        before = len(self.running)
        self.running = [end for end in self.running if end > self.now]
        self.ended += before - len(self.running)
        starts = 0 if self.closed else min(int(self.pending), max(0, self.workers * SLOTS - len(self.running)))
        if self.quota is not None:
            self.allowance = min(self.allowance + self.quota * STEP_S / 60, self.quota / 12 + 1)
            starts = min(starts, int(self.allowance))
            self.allowance -= starts
        self.pending -= starts
        self.waited_since = (
            None if self.pending < 1 else self.now if starts or self.waited_since is None else self.waited_since
        )
        self.running += [self.now + self.random.uniform(40, 80) for _ in range(starts)]

    def facts(self) -> ScaleFacts:
        claimable = 0 if self.closed else min(10_000, int(self.pending))
        ended = sum(count for count, _ in list(self.minutes)[1:])
        grown = self.minutes[-1][1] - self.minutes[0][1]
        arriving = 0.0 if self.closed or len(self.minutes) < 2 else max(0.0, (ended + grown) / (len(self.minutes) - 1))
        wait = None if self.waited_since is None else self.now - self.waited_since
        rate = sum(count for count, _ in self.minutes) / len(self.minutes)
        slots, busy = self.workers * SLOTS, len(self.running)
        wanted, limit = self.need(self.workers, slots, busy, claimable, arriving, rate, 60.0, self.quota, wait)
        stopped = "the circuit breaker of openai is open" if self.closed else None
        return ScaleFacts(
            self.workers,
            slots,
            busy,
            int(self.pending),
            claimable,
            wait,
            arriving,
            rate,
            60.0,
            self.quota,
            stopped,
            limit,
            wanted,
        )

    def _decide(self) -> None:
        facts = self.facts()
        decision = decide(facts, self.memory.at(self.now), BOUNDS, self.workers)
        self.memory.add(self.now, decision)
        self.log.append((self.now, facts, decision))
        self.workers = decision.target

    def when(self, condition: Callable[[Decision], bool], *, after: float = 0.0) -> float:
        """Minutes from a time to the first decision like this."""
        return next((now - after) / 60 for now, _, decision in self.log if now >= after and condition(decision))

    def check(self) -> None:
        """What holds whatever the load is."""
        for _, facts, decision in self.log:
            assert BOUNDS.least <= decision.target <= BOUNDS.most
            if decision.target > decision.workers:
                assert facts.stopped_by is None
                assert (
                    facts.busy >= 0.9 * facts.slots or not facts.claimable
                )  # the slots are the limit, or soon will be
                if facts.quota_a_minute is not None:
                    assert (
                        decision.target <= math.ceil(facts.quota_a_minute * 1.25 / SLOTS)
                        or facts.busy > facts.quota_a_minute
                    )
        steady(self.memory.changes)


def steady(changes: list[tuple[float, int]]) -> None:
    """In no hour more than 12 steps down, nor more than 12 turns from up to down or back."""
    downs = [now for now, by in changes if by < 0]
    turns = [now for (_, before), (now, by) in pairwise(changes) if (before > 0) != (by > 0)]
    for times in (downs, turns):
        assert all(sum(start <= now < start + 3600 for now in times) <= 12 for start in times)
    moments = [now for now, _ in changes]
    assert all(after - before >= UP_EVERY_S for before, after in pairwise(moments))


def test_a_steady_load_settles_and_stays(need: Need) -> None:
    """A hundred jobs a minute, of a minute each, fill two workers: with a fifth to spare it takes three."""
    world = World(need, lambda _: 100.0)

    world.pass_time(6 * 3600)

    world.check()
    assert {decision.target for now, _, decision in world.log if now > 1800} == {3}
    assert world.pending < 10
    assert len(world.memory.changes) <= 3


def test_a_burst_is_met_within_minutes_and_given_back_within_half_an_hour(need: Need) -> None:
    start = 1800.0
    world = World(need, lambda now: 5_000 * 12.0 if now == start else 0.0)

    world.pass_time(3 * 3600)

    world.check()
    assert world.when(lambda decision: decision.target == 8, after=start) <= 2
    assert world.when(lambda decision: decision.target == 1, after=start + 120) <= 40
    done = next(now for now, facts, _ in world.log if now > start and not facts.waiting and not facts.busy)
    assert done - start <= 5_000 / (8 * SLOTS) * 60 * 1.2 + 120  # as fast as eight workers can, and a little
    assert len(world.memory.changes) <= 6


def test_a_quota_that_two_workers_use_up_gets_no_third(need: Need) -> None:
    """Sixty jobs a minute of a minute each: 5,000 waiting jobs do not change that."""
    world = World(need, lambda now: 5_000 * 12.0 if now == 600 else 0.0, quota=60.0)

    world.pass_time(2 * 3600)

    world.check()
    assert max(decision.target for _, _, decision in world.log) == 2
    assert {facts.limited_by for now, facts, _ in world.log if 900 < now < 4500} == {"quota"}
    assert "more workers would not use more of it" in world.log[20][2].reason
    assert len(world.memory.changes) <= 2


def test_an_outage_starts_nobody_and_its_backlog_is_met_at_once(need: Need) -> None:
    world = World(need, lambda _: 100.0, down=(7200.0, 9000.0))

    world.pass_time(6 * 3600)

    world.check()
    during = [decision for now, _, decision in world.log if 7200 <= now < 9000]
    assert not any(decision.target > decision.workers for decision in during)
    assert during[-1].target == 1
    assert "the circuit breaker of openai is open" in during[-1].reason
    assert world.when(lambda decision: decision.target >= 6, after=9000.0) <= 6
    assert world.log[-1][2].target == 3
    assert len([now for now, _ in world.memory.changes if now > 9000]) <= 8


def test_a_day_and_its_night_are_followed(need: Need) -> None:
    """From 10 to 290 jobs a minute and back."""
    world = World(need, lambda now: 150 - 140 * math.cos(now / 86_400 * 2 * math.pi))

    world.pass_time(86_400)

    world.check()
    assert world.log[0][2].target == 1
    assert max(decision.target for _, _, decision in world.log) == 8
    assert world.log[-1][2].target <= 2
    assert max(facts.waiting for _, facts, _ in world.log) < 300
    assert len(world.memory.changes) <= 24


LOADS = st.lists(
    st.tuples(st.sampled_from([0.0, 5.0, 40.0, 150.0, 500.0, 3_000.0]), st.integers(1, 40)), min_size=1, max_size=6
)


@settings(max_examples=40)
@given(LOADS, st.sampled_from([None, 20.0, 90.0, 400.0]), st.integers(0, 60))
def test_whatever_the_load_is_the_number_stays_in_bounds_and_steady(
    need: Need, loads: Any, quota: Any, down: int
) -> None:
    """At the end of each load all is quiet: the number comes down to the least."""
    minutes = [rate for rate, length in loads for _ in range(length)]
    end = len(minutes) * 60.0
    world = World(
        need, lambda now: minutes[int(now // 60)] if now < end else 0.0, quota, (down * 60.0, down * 60.0 + 600)
    )

    world.pass_time(end)
    world.pending, quiet = 0.0, world.now
    world.pass_time(2 * WINDOW_S + 8 * DOWN_EVERY_S)

    world.check()
    assert world.log[-1][2].target == BOUNDS.least
    assert world.when(lambda decision: decision.target == BOUNDS.least, after=quiet) <= 60


# The decision alone ------------------------------------------------------------------------------------------------


def facts_of(wanted: int) -> ScaleFacts:
    return ScaleFacts(1, 50, 0, 0, 0, None, 0, 0, 60, None, None, None, wanted)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(20, 200)), max_size=120),
    st.integers(0, 5),
    st.integers(0, 9),
    st.integers(0, 30),
)
@example([(1, 20), (2, 20), (3, 20), (4, 60)], 0, 9, 0)
def test_any_need_at_any_time_keeps_the_bounds_and_the_pace(needs: Any, least: int, more: int, first: int) -> None:
    bounds, memory, workers, now = Bounds(least, least + more), Remembered(), first, 0.0

    for wanted, seconds in needs:
        now += seconds
        decision = decide(facts_of(wanted), memory.at(now), bounds, workers)
        assert bounds.least <= decision.target <= bounds.most
        assert decision.target <= max(workers, bounds.within(wanted)) or workers < bounds.least
        assert decision.target >= min(workers, bounds.within(wanted)) or workers > bounds.most
        memory.add(now, decision)
        workers = decision.target

    steady(memory.changes)


def changes_of(needs: list[int], bounds: Bounds) -> list[tuple[float, int]]:
    """The changes that a need of each minute leads to."""
    memory, workers = Remembered(), bounds.least
    for minute, wanted in enumerate(needs):
        decision = decide(facts_of(wanted), memory.at(minute * MINUTE_S), bounds, workers)
        memory.add(minute * MINUTE_S, decision)
        workers = decision.target
    return memory.changes


def test_a_need_that_swings_within_the_window_changes_nothing() -> None:
    """Up with the first swing, and there it stays."""
    assert changes_of([8, 8, 8, 1, 1, 1] * 60, BOUNDS) == [(0, 7)]


def test_a_need_that_falls_minute_by_minute_is_followed_in_steps() -> None:
    changes = changes_of([*range(60, 0, -1), *[0] * 30], Bounds(1, 60))

    steady(changes)
    assert sum(by for _, by in changes) == 0  # down to where it began


@given(st.integers(0, 12), st.integers(0, 8))
def test_a_need_that_stays_is_met_within_minutes(wanted: int, workers: int) -> None:
    """Up with the next decision, down after the window."""
    memory, now = Remembered(), 0.0
    for _ in range(12):
        now += MINUTE_S
        decision = decide(facts_of(wanted), memory.at(now), BOUNDS, workers)
        memory.add(now, decision)
        if wanted >= workers >= BOUNDS.least:
            assert decision.target == BOUNDS.within(wanted)
        workers = decision.target

    assert workers == BOUNDS.within(wanted)


def test_hosts_share_the_need() -> None:
    assert decide(facts_of(7), Memory(hosts=3), BOUNDS, 1).target == 3


@pytest.mark.parametrize(("least", "most"), [(3, 2), (-1, 2), (0, 1_001)])
def test_impossible_bounds_are_refused(least: int, most: int) -> None:
    with pytest.raises(SettingsError):
        Bounds(least, most)


counts = st.integers(0, 2_000)
rates = st.floats(0, 5_000)


@given(st.integers(0, 20), counts, counts, rates, rates, st.floats(1, 900), st.none() | rates, st.none() | rates)
def test_the_need_is_bounded_by_the_quota_and_by_free_slots(
    need: Need,
    workers: int,
    busy: int,
    claimable: int,
    arriving: float,
    ended: float,
    blog_s: float,
    quota: Any,
    wait: Any,
) -> None:
    slots = workers * SLOTS
    busy = min(busy, slots)
    wanted, limit = need(workers, slots, busy, claimable, arriving, ended, blog_s, quota, wait)

    assert wanted >= math.ceil(busy / SLOTS)
    if workers and claimable and busy < 0.9 * slots:
        assert wanted <= workers
    if quota is not None:
        assert wanted <= max(1, math.ceil(quota / 60 * blog_s * 1.25 / SLOTS), math.ceil(busy / SLOTS))
    if not claimable and not busy and not arriving:
        assert wanted == 0
    more, _ = need(workers, slots, busy, claimable + 500, arriving, ended, blog_s, quota, wait)
    assert more >= wanted or busy < 0.9 * slots
    assert limit in (None, "quota", "free slots")


# The view ------------------------------------------------------------------------------------------------------------

LIFE = """
insert into workers (name, worker_id, host, pid, version, concurrency, draining, lease_until, stats) values
    ('a', gen_random_uuid(), 'here', 1, '0', 50, false, now() + interval '1 hour',
     '{"needs": {"buckets": ["openai/a"], "tokens": [0], "blog_s": 30}}'),
    ('drains', gen_random_uuid(), 'there', 1, '0', 50, true, now() + interval '1 hour', '{}'),
    ('lost', gen_random_uuid(), 'gone', 1, '0', 50, false, now() - interval '1 hour', '{}');
insert into quotas (name, provider, requests_per_minute) values ('openai/a', 'openai', 600);
insert into history (minute, done, failed, cancelled, pending)
select date_trunc('minute', now()) - make_interval(mins => n), 90, 10, 0, 100 - 20 * n from generate_series(1, 4) as n;
insert into sites (instance_id, paused_at, max_in_flight) values ('paused', now(), null), ('capped', null, 3);
insert into blog_generations (instance_id, source_type, source_id)
select v.site, 'keyword', 'k' || n
from (values ('paused', 40), ('capped', 20), ('a', 30)) as v (site, jobs), generate_series(1, v.jobs) as n
"""


@pytest.mark.anyio
async def test_the_view_counts_what_could_start_and_says_what_stops_it(database: Database, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as psql:
        psql.execute(LIFE.encode())
        await admit(database)

        found = await read_scale(database)
        assert (found.workers, found.slots, found.busy, found.waiting, found.claimable) == (1, 50, 0, 90, 33)
        assert (found.arriving_a_minute, found.ended_a_minute, found.blog_s) == (120, 100, 30)
        assert found.quota_a_minute == pytest.approx(600)
        assert (found.stopped_by, found.limited_by, found.workers_wanted) == (None, "free slots", 1)

        for change, reason in (
            ("insert into stage_pauses (stage, reason) values ('ideas', 'holiday')", None),
            (
                "insert into stage_pauses (stage, reason) values ('source', 'holiday')",
                "stage source is paused: holiday",
            ),
            (
                "update provider_health set state = 'open', reason = 'down', opened_at = now(), retry_at = now() "
                "where provider = 'openai'",
                "the circuit breaker of openai is open: down",
            ),
            ("update fleet_budget set stopped_until = now() + interval '1 h', stop_reason = 'used up'", "used up"),
        ):
            with psql.transaction(force_rollback=True):
                psql.execute(change.encode())
                row = psql.execute(b"select claimable, stopped_by, workers_wanted from v_scale").fetchall()[0]
            assert row == ((33, "stage ideas is paused: holiday", 1) if reason is None else (0, reason, 0)), change

        psql.execute(b"delete from workers")
        psql.execute(b"update sites set ready = false")
        assert (await read_scale(database)).workers_wanted >= 1  # nobody has put the sites in line yet


@pytest.mark.anyio
async def test_a_run_at_in_the_past_is_no_wait(database: Database, database_url: str) -> None:
    """A job waits from its creation at the earliest. One old date would ask for one more worker each minute."""
    with psycopg.connect(database_url, autocommit=True) as psql:
        psql.execute(
            b"insert into blog_generations (instance_id, source_type, source_id, run_at) "
            b"values ('shop', 'keyword', 'k', '2020-01-01Z')"
        )
        await admit(database)
        longest = psql.execute(b"select extract(epoch from longest_wait) from site_service").fetchall()[0][0]
        psql.execute(
            b"set session_replication_role = replica; "
            b"insert into blog_generations (instance_id, source_type, source_id, status, run_at, created_at, "
            b"claimed_at, finished_at) select 'shop', 'keyword', 'k', 'DONE', '2020-01-01Z', t, t, t from "
            b"(select now() - interval '2 minutes') as o (t)"
        )
        await database.rows("history/record", sample=1)
        assert psql.execute(b"select max(wait_p50_s) from history").fetchall() == [(0.0,)]

    heard = await database.one("ops/heartbeat")
    counted = await database.one("ops/metrics_queue", most=10)
    waits = [(await read_scale(database)).oldest_wait_s, heard["oldest_wait_s"], counted["oldest_wait_s"], longest]
    assert all(0 <= wait < 60 for wait in waits), waits


@pytest.mark.anyio
async def test_a_decision_from_the_future_is_not_remembered(database: Database, database_url: str) -> None:
    """The clock was ahead when it was written. The number of workers would stay as it is until then."""
    with psycopg.connect(database_url, autocommit=True) as psql:
        psql.execute(
            b"insert into scalings (host, at, workers, wanted, target) values ('h', now() + interval '1 hour', 1, 9, 2)"
        )

    memory, _, _ = await read_memory(database, "h")

    assert (memory.known_s, memory.most_wanted, memory.changed_s) == (None, None, None)
