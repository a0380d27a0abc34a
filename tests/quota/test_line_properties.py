"""What holds after any history of the processes that share a line."""

from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.quota.bucket_client import POLL_S

from .clocks import ROUNDING_S, Vendor, bounded, overrun
from .line import Call, Line, Process
from .line_history import Story, _Same, arrivals, buckets, play, stories, times, usages, who

stories_run = settings(bounded, max_examples=40)


@stories_run
@given(buckets, st.integers(2, 4), stories)
def test_no_window_exceeds_rate_and_burst_whatever_processes_do(clock, bucket, processes, steps):
    """The promise to the provider. A refund is granted once more, and quota is never created."""
    story = play(clock, bucket, processes, steps)
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
def test_the_bucket_of_the_provider_contains_what_calls_of_several_processes_take(clock, bucket, processes, steps):
    """The invariant of `quota_round`, as in test_bucket_properties.py, with calls of several processes.

    A process learns of its grants and of what moves them in its next round. So calls may go late, at most as late as a
    grant is ahead of its call.
    """
    story = play(clock, bucket, processes, steps)
    line = story.line
    went = [call for call in story.went() if call not in line.forgotten]
    starts = [(call.line_start, "start", call.tokens) for call in went]

    late_s = max((call.late_s for call in went), default=0.0)
    lacking_s = Vendor(line.tpm, line.burst_s).play(starts + story.reports)
    assert lacking_s <= ROUNDING_S * (1 + len(story.reports)) + late_s
    assert all(call.start <= call.line_start + line.ahead_s + ROUNDING_S for call in went)


@stories_run
@given(buckets, st.integers(2, 4), st.lists(arrivals | times, min_size=4, max_size=14))
def test_every_window_keeps_to_rate_and_burst_without_refunds(clock, bucket, processes, steps):
    """Without any slack: whichever process grants, and whichever hears of it."""
    line = play(clock, bucket, processes, steps).line

    assert overrun(line.granted, lambda _: 1, line.rpm / 60, line.burst_s) <= 0
    if line.tpm is not None:
        assert overrun(line.granted, lambda c: c.tokens, line.tpm / 60, line.burst_s) <= 0


def waited_together(one: Call, another: Call) -> bool:
    """Whether there was a moment at which both were in line and neither was granted."""
    ends = [end for call in (one, another) for end in (call.granted, call.gone) if end is not None]
    return max(one.came, another.came) < min(ends, default=float("inf"))


@stories_run
@given(buckets, st.integers(2, 4), stories)
def test_of_two_calls_that_wait_together_the_earlier_turn_goes_first(clock, bucket, processes, steps):
    """Up to what is granted ahead: a refund in between may let the later one in before."""
    story = play(clock, bucket, processes, steps)
    went = [call for call in story.went() if call.heard_at is not None]

    for first in went:
        for second in went:
            if first.turn < second.turn and waited_together(first, second):
                assert first.start <= second.start + story.line.ahead_s + ROUNDING_S
                assert story.line.granted.index(first) < story.line.granted.index(second)


@stories_run
@given(buckets, st.integers(2, 4), stories, st.integers(1, 4))
def test_every_waiting_call_is_served_or_refused_in_time(clock, bucket, processes, steps, longest_wait_s):
    """Nobody is left in line beyond its patience, however many with earlier turns come."""
    line = Line(clock, *bucket, longest_wait_s=float(longest_wait_s))
    story = Story(line, [Process(line) for _ in range(processes)])
    for step in steps:
        story.step(*step)
    story.run(_Same(), round(longest_wait_s / POLL_S) + 1)

    assert not [call for process in story.processes for call in process.waiting]
    assert all(call.refused_s >= 0 for call in line.calls if call.refused_s is not None)
