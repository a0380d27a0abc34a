"""How many workers should run on days of load, minute by minute.

A row of tests/ops/days/*.csv holds until the next one: minute of the day, jobs that arrive in a minute, and the
provider: up, limited (LIMITED jobs may start in a minute) or down.
"""

import csv
import math
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.ops.scale import DOWN_EVERY_S, WINDOW_S

from .scaling import BOUNDS, MINUTE_S, SLOTS, Moment, Need, World

DAYS = Path(__file__).with_name("days")
LIMITED = 60.0
USEFUL = math.ceil(LIMITED / 60 * 60 * 1.25 / SLOTS)  # workers, for jobs of a minute: more cannot use more of the quota
BACKLOG = 300  # jobs that wait
CHANGES_AN_HOUR = 6


def day(name: str) -> list[tuple[float, Moment]]:
    """The moments of a day, by the second at which each begins."""
    with (DAYS / f"{name}.csv").open() as file:
        return [
            (
                int(row["minute"]) * MINUTE_S,
                Moment(
                    float(row["arrivals"]),
                    LIMITED if row["vendor"] == "limited" else None,
                    down={"up": False, "limited": False, "down": True}[row["vendor"]],
                ),
            )
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def lived(need: Need) -> Callable[[str], World]:
    """Gives a world at the end of its day."""

    @cache
    def live(name: str) -> World:
        moments = day(name)
        starts = [start for start, _ in moments]
        world = World(need, lambda now: moments[bisect(starts, now) - 1][1])
        world.pass_time(86_400)
        return world

    return live


def changes_an_hour(world: World) -> int:
    """The most changes of the number of workers in any hour."""
    times = [now for now, _ in world.memory.changes]
    return max(sum(start <= now < start + 3_600 for now in times) for start in times)


def backlogs(world: World) -> Iterator[float]:
    """The minutes that each backlog lasts: from BACKLOG waiting jobs to less than a worker's slots."""
    since = None
    for now, facts, _ in world.log:
        if since is None and facts.waiting > BACKLOG:
            since = now
        elif since is not None and facts.waiting < SLOTS:
            yield (now - since) / 60
            since = None
    assert since is None, "a backlog is left at the end"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a day may cost at most, and how many workers its busiest minute gets."""

    changes: int
    cleared_min: float
    most: int


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("steady", Bound(changes=48, cleared_min=0, most=8)),
        ("burst", Bound(changes=16, cleared_min=16, most=8)),  # eight workers take 12.5 minutes for 5,000 jobs
        ("quota", Bound(changes=36, cleared_min=170, most=USEFUL)),  # 60 jobs end in a minute, and 30 arrive
        ("outage", Bound(changes=40, cleared_min=95, most=8)),  # 72 minutes of it is the outage, with two minutes in it
    ],
)
def test_a_day_is_followed_without_flapping_and_its_backlogs_end(
    lived: Callable[[str], World], name: str, bound: Bound
) -> None:
    world = lived(name)

    world.check()
    assert changes_an_hour(world) <= CHANGES_AN_HOUR
    assert len(world.memory.changes) <= bound.changes
    assert max(backlogs(world), default=0) <= bound.cleared_min
    assert max(decision.target for _, _, decision in world.log) == bound.most


def test_a_burst_is_met_within_minutes_and_its_workers_are_given_back(lived: Callable[[str], World]) -> None:
    world = lived("burst")

    for burst in (545 * MINUTE_S, 1_045 * MINUTE_S):
        assert world.when(lambda decision: decision.target == BOUNDS.most, after=burst) <= 3
        assert world.when(lambda decision: decision.target == BOUNDS.least, after=burst + 300) <= 35


def test_a_backlog_behind_a_quota_gets_no_more_workers_and_the_reason_is_said(lived: Callable[[str], World]) -> None:
    """Thousands wait for two hours and a half."""
    behind = [
        (facts, decision)
        for now, facts, decision in lived("quota").log
        if 510 * MINUTE_S <= now < 640 * MINUTE_S and facts.waiting > BACKLOG
    ]

    assert len(behind) > 120
    assert {decision.target for _, decision in behind} == {USEFUL}
    assert {facts.limited_by for facts, _ in behind} == {"quota"}
    assert all("more workers would not use more of it" in decision.reason for _, decision in behind)


def test_an_outage_starts_nobody_and_its_backlog_is_met_at_once(lived: Callable[[str], World]) -> None:
    world = lived("outage")

    during = [decision for now, facts, decision in world.log if facts.stopped_by]
    assert len(during) > 70
    assert not any(decision.target > decision.workers for decision in during)
    assert all("the circuit breaker of openai is open" in decision.reason for decision in during)
    assert min(decision.target for decision in during) == BOUNDS.least
    assert world.when(lambda decision: decision.target >= 6, after=683 * MINUTE_S) <= 2


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
        need,
        lambda now: Moment(
            minutes[int(now // 60)] if now < end else 0.0, quota, down=down * 60.0 <= now < down * 60.0 + 600
        ),
    )

    world.pass_time(end)
    world.pending, quiet = 0.0, world.now
    world.pass_time(2 * WINDOW_S + 8 * DOWN_EVERY_S)

    world.check()
    assert world.log[-1][2].target == BOUNDS.least
    assert world.when(lambda decision: decision.target == BOUNDS.least, after=quiet) <= 60
