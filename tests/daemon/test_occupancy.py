"""No group of slots runs more jobs than it has slots, and no job passes those that wait for a slot."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.daemon import occupancy
from blogworker.daemon.occupancy import LONGEST_AHEAD_S, MOST_AHEAD, PACE_OF, PACE_OF_LEAST, Occupancy
from blogworker.slots import ALL_STAGES, SlotGroup, slot_groups

sizes = st.dictionaries(st.sampled_from(ALL_STAGES), st.integers(1, 3), max_size=3)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@st.composite
def workers(draw):
    slots = draw(sizes)
    others = draw(st.sets(st.sampled_from(ALL_STAGES)))
    stages = [stage for stage in ALL_STAGES if stage in {*slots, *others}] or list(ALL_STAGES)
    return slot_groups(4, stages, slots), stages, slots


@given(workers())
def test_each_stage_of_a_worker_is_in_one_group(worker):
    groups, stages, slots = worker

    assert [stage for group in groups for stage in group.stages] == stages
    assert sum(group.size for group in groups) == (sum(slots.values()) or 4)


@settings(max_examples=500)
@given(worker=workers(), data=st.data())
def test_a_group_never_runs_more_than_its_slots(worker, data):
    """Also while a claim is on its way. Jobs whose outcome is being stored need no slot, and there are at most twice as
    many jobs as slots. The number of those ahead is bounded."""
    groups, _, _ = worker
    slots, at, ending, jobs, clock = Occupancy(groups), {}, set(), 0, Clock()

    def go_on() -> None:
        clock.now += data.draw(st.sampled_from([0, 0.001, 0.1, 10]))
        act = data.draw(st.sampled_from(["enter", "ending", "end"]))
        if at and (attempt := data.draw(st.sampled_from(sorted(at)))):
            if act != "end" and (attempt in ending or attempt in slots.ahead()):
                return
            if act == "enter":
                stage = data.draw(st.sampled_from(ALL_STAGES))
                if slots.enter(attempt, stage):
                    at[attempt] = stage
            elif act == "ending":
                ending.add(attempt)
                slots.ending(attempt)
            elif act == "end":
                del at[attempt]
                ending.discard(attempt)
                slots.end(attempt)

    def claim() -> None:
        nonlocal jobs
        for group, free in slots.rooms():
            with slots.reserved(group):
                for _ in range(data.draw(st.integers(0, 3))):
                    go_on()
                found = data.draw(st.integers(0, free))
                slots.claimed(group, all_found=found == free)
                for _ in range(found):
                    jobs += 1
                    at[jobs, 1] = stage = data.draw(st.sampled_from(group.stages))
                    slots.start((jobs, 1), stage)

    with patch.object(occupancy, "monotonic", clock):
        for _ in range(data.draw(st.integers(0, 20))):
            go_on()
            if data.draw(st.booleans()):
                claim()
            for group in groups:
                claimed = [attempt for attempt, stage in at.items() if stage in group.stages]
                running = [attempt for attempt in claimed if attempt not in slots.ahead()]
                assert len(claimed) - len(running) <= (MOST_AHEAD + 1) * group.size
                assert len([attempt for attempt in running if attempt not in ending]) <= group.size
                assert len(running) <= 2 * group.size + 1


def test_a_job_does_not_pass_those_that_wait_for_its_slots():
    content, image = SlotGroup(("source", "ideas", "content"), 2), SlotGroup(("image", "publish"), 1)
    slots = Occupancy([content, image])
    for job in (1, 2):
        slots.start((job, 1), "content")

    assert slots.enter((1, 1), "image")
    assert not slots.enter((2, 1), "image")
    slots.end((1, 1))
    assert slots.is_wanted, "job 2 is in the line now"
    slots.start((3, 1), "content")
    assert not slots.enter((3, 1), "image")

    assert (image, 1) in list(slots.rooms())
    slots.claimed(image, all_found=False)
    assert slots.enter((3, 1), "image")


def test_one_group_lets_every_stage_continue():
    slots = Occupancy(slot_groups(1, ALL_STAGES, {}))
    slots.start((1, 1), "source")

    assert all(slots.enter((1, 1), stage) for stage in ALL_STAGES)
    assert not slots.has_room
    assert not slots.is_wanted


def test_no_job_enters_a_group_that_a_claim_may_fill():
    content, image = SlotGroup(("content",), 1), SlotGroup(("image",), 1)
    slots = Occupancy([content, image])
    slots.start((1, 1), "content")

    with slots.reserved(image):
        assert not slots.enter((1, 1), "image")
        slots.claimed(image, all_found=False)

    assert slots.enter((1, 1), "image")


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(occupancy, "monotonic", clock)
    return clock


def busy(clock: Clock, size: int, *, job_s: float) -> Occupancy:
    """Return full slots, after jobs of this duration."""
    slots = Occupancy(slot_groups(size, ALL_STAGES, {}))
    for n in range(max(PACE_OF_LEAST, PACE_OF * size) + 1):
        clock.now += job_s / size
        slots.start((-n, 1), "source")
        slots.ending((-n, 1))
        slots.end((-n, 1))
    for n in range(1, size + 1):
        slots.start((n, 1), "source")
    return slots


def asked(slots: Occupancy) -> int:
    return sum(room for _, room in slots.rooms())


def test_as_many_jobs_are_claimed_ahead_as_end_in_a_tenth_of_a_second(clock):
    assert asked(busy(clock, 50, job_s=0.2)) == 25
    assert asked(busy(clock, 50, job_s=0.001)) == MOST_AHEAD * 50
    assert asked(busy(clock, 50, job_s=30)) == 0


def test_nothing_is_claimed_ahead_when_one_fault_ends_the_jobs_of_all_slots(clock):
    slots = Occupancy(slot_groups(50, ALL_STAGES, {}))
    for n in range(50):
        slots.start((n, 1), "source")
    clock.now = 30
    for n in range(50):
        slots.ending((n, 1))
        slots.end((n, 1))
    for n in range(50, 100):
        slots.start((n, 1), "source")

    assert not slots.has_room


def test_fewer_are_claimed_ahead_the_longer_none_has_ended(clock):
    slots = busy(clock, 50, job_s=0.2)
    clock.now += 1
    assert 0 < asked(slots) < 10
    clock.now += 20
    assert not slots.has_room


def test_a_claim_ahead_takes_many_jobs(clock):
    slots = busy(clock, 50, job_s=0.2)
    for n in range(100, 113):
        slots.start((n, 1), "source")
    assert not slots.has_room, "more than half of those ahead still wait"

    slots.ending((1, 1))

    assert asked(slots) == 13


def test_jobs_that_were_claimed_ahead_start_in_the_order_of_their_claims(clock):
    slots = busy(clock, 2, job_s=0.1)
    slots.admitted.clear()
    for n in (11, 12, 13):
        slots.start((n, 1), "source")
    assert not slots.admitted

    slots.end((1, 1))
    slots.ending((2, 1))

    assert list(slots.admitted) == [(11, 1), (12, 1)]
    assert slots.ahead() == [(13, 1)]


def test_a_job_that_waits_too_long_for_its_slot_is_late(clock):
    assert LONGEST_AHEAD_S <= 1
    slots = busy(clock, 1, job_s=0.01)
    assert slots.late_in_s is None
    slots.start((2, 1), "source")
    clock.now += LONGEST_AHEAD_S / 2
    slots.start((3, 1), "source")
    assert slots.late() == []
    assert slots.late_in_s == pytest.approx(LONGEST_AHEAD_S / 2)

    clock.now += LONGEST_AHEAD_S / 2

    assert (slots.late(), slots.late_in_s) == ([(2, 1)], 0)
    slots.ending((2, 1))
    slots.end((2, 1))
    assert (slots.late(), slots.late_in_s) == ([], pytest.approx(LONGEST_AHEAD_S / 2))
    slots.ending((1, 1))
    slots.end((1, 1))
    assert (3, 1) in slots.admitted
    assert slots.late_in_s is None
