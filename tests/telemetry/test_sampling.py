"""Frequent lines are limited, and none is left out without being counted."""

from hypothesis import given
from hypothesis import strategies as st

from blogworker.telemetry import sampling
from blogworker.telemetry.sampling import Sampler


@given(st.integers(1, 5), st.lists(st.floats(0, 0.6), max_size=200))
def test_no_second_has_more_lines_and_each_line_is_written_or_counted(most, pauses):
    now, sampler = [100.0], Sampler(most)
    admitted, counted = [], 0
    original, sampling.monotonic = sampling.monotonic, lambda: now[0]
    try:
        for pause in pauses:
            now[0] += pause
            if sampler.admits():
                admitted.append(now[0])
                counted += sampler.take_unlogged() or 0
    finally:
        sampling.monotonic = original

    assert len(admitted) + counted + sampler.unlogged == len(pauses)
    assert all(late - early >= 1 for early, late in zip(admitted, admitted[2 * most :], strict=False))


def test_a_quiet_event_has_all_its_lines():
    sampler = Sampler(3)

    assert [sampler.admits() for _ in range(4)] == [True, True, True, False]
    assert (sampler.take_unlogged(), sampler.take_unlogged()) == (1, None)
