"""No group of slots runs more jobs than it has slots, and no job passes those that wait for a slot."""

from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.daemon.occupancy import Occupancy
from blogworker.slots import ALL_STAGES, SlotGroup, slot_groups

sizes = st.dictionaries(st.sampled_from(ALL_STAGES), st.integers(1, 3), max_size=3)


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
    many jobs as slots."""
    groups, _, _ = worker
    slots, at, ending, jobs = Occupancy(groups), {}, set(), 0

    def go_on() -> None:
        act = data.draw(st.sampled_from(["enter", "ending", "end"]))
        if at and (attempt := data.draw(st.sampled_from(sorted(at)))):
            if act == "enter" and attempt not in ending:
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

    for _ in range(data.draw(st.integers(0, 20))):
        go_on()
        for group, free in slots.free() if data.draw(st.booleans()) else ():
            with slots.reserved(group):
                for _ in range(data.draw(st.integers(0, 3))):
                    go_on()
                found = data.draw(st.integers(0, free))
                slots.claimed(group, all_found=found == free)
                for _ in range(found):
                    jobs += 1
                    at[jobs, 1] = stage = data.draw(st.sampled_from(group.stages))
                    slots.start((jobs, 1), stage)
        for group in groups:
            running = [attempt for attempt, stage in at.items() if stage in group.stages]
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

    assert (image, 1) in list(slots.free())
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
