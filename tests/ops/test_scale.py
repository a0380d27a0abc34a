"""How many workers should run: the decision, the need, and the view that it follows from."""

import math
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.scale import Bounds, Memory, ScaleFacts, decide, read_memory, read_scale
from blogworker.queue.admit import admit

from .scaling import BOUNDS, MINUTE_S, SLOTS, Need, Remembered, steady


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
