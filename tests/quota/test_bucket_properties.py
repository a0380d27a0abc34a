"""What holds after any history of a bucket, to its callers and to the provider."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from .bucket import SLOT_S, Tap
from .bucket_history import asks, blocks, bursts, limits, passes, play, remaining, undos, usages
from .clocks import ROUNDING_S, bounded, overrun


@bounded
@given(limits, st.lists(asks | passes | remaining | blocks, max_size=20))
def test_no_window_exceeds_rate_and_burst(clock, limit, steps):
    """The promise to the provider, over every window, in requests and in tokens, whatever changes meanwhile."""
    tap = play(clock, limit, steps).tap

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
    st.lists(blocks | remaining | slowdowns | new_limits, max_size=1),
).map(lambda episode: [*episode[:2], *episode[2], *episode[3]])
lives = st.lists(episodes, min_size=2, max_size=5).map(lambda parts: [step for part in parts for step in part])


@settings(bounded, max_examples=100)
@given(counted, lives)
def test_the_bucket_of_the_provider_always_contains_what_a_call_takes(clock, limit, steps):
    """The invariant of `quota_round`: a bucket of our burst and one call refuses none.

    Calls report after seconds or minutes that they used nothing or many times their estimate, while the clocks run dry
    or the line is full, at any pace, across blocks and changes of the limits.
    """
    played = play(clock, limit, steps)

    assert played.lacking_s() <= ROUNDING_S * (1 + len(played.reports)) + played.late_s()


@bounded
@given(limits, st.lists(asks | passes | remaining | undos | usages, max_size=25))
def test_refunded_quota_is_granted_again_at_most_once(clock, limit, steps):
    """A window is ahead by no more than what was returned, at whatever pace."""
    played = play(clock, limit, steps)
    tap, slack_s = played.tap, played.returned_s()

    assert overrun(tap.granted, lambda _: 1, tap.rpm / 60, tap.burst_s + slack_s) <= 0
    if tap.tpm is not None:
        assert overrun(tap.granted, lambda c: c.tokens, tap.tpm / 60, tap.burst_s + slack_s) <= 0


@bounded
@given(limits, st.lists(asks | passes | remaining | undos | usages, max_size=25))
def test_refunds_never_create_quota(clock, limit, steps):
    """From the first call on: calls really made, and tokens really used, fit the rate. Refunds give no slack here."""
    played = play(clock, limit, steps)
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
def test_a_caller_that_leaves_changes_nothing(clock, limit, steps, tokens):
    tap = play(clock, limit, steps).tap
    before = tap.next_s()
    known = len(tap.granted)

    tap.round(tokens)
    for call in tap.granted[known:]:
        tap.undo(call)

    assert tap.next_s() <= before + ROUNDING_S


@bounded
@given(limits, st.lists(asks | passes | blocks, max_size=20))
def test_no_caller_waits_longer_than_its_limit(clock, limit, steps):
    tap = Tap(clock, *limit)
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
@given(limits, st.lists(asks | passes | remaining, max_size=20))
def test_first_come_is_first_served(clock, limit, steps):
    """A caller sleeps until its own slot: no later caller may get an earlier one."""
    tap = play(clock, limit, steps).tap

    starts = [call.start for call in tap.granted]
    assert all(later >= earlier - ROUNDING_S for earlier, later in pairwise(starts))


@bounded
@given(st.integers(30, 600), bursts, st.integers(5, 60))
def test_a_busy_bucket_is_used_fully(clock, rpm, burst_s, count):
    """The other half of the promise: paid quota that lies idle is lost."""
    tap = Tap(clock, rpm, None, burst_s)

    waits = tap.round([0] * count)["waits"]

    assert waits[-1] <= max(0.0, (count - 1) * 60 / rpm - burst_s) + ROUNDING_S


moments = st.tuples(st.integers(0, 130), st.integers(0, 3), st.integers(-50, 400))  # seconds ago, requests, tokens


@bounded
@given(st.lists(moments, max_size=12), st.integers(0, 18).map(lambda n: n * SLOT_S))
def test_the_last_minute_counts_its_calls_and_nothing_older(clock, calls, then_s):
    """In whatever order reports arrive, each is booked at the time of its call. The oldest slot counts in part."""
    tap = Tap(clock, rpm=6000, tpm=6000)
    for ago_s, requests, tokens in calls:
        tap.round(reported_s=[ago_s], reported=[(requests, tokens)])
    tap.pass_time(then_s)

    found = clock.session.execute("select * from v_quotas").fetchone()

    within = [(requests, tokens) for ago_s, requests, tokens in calls if ago_s + then_s <= 60 - SLOT_S - 1]
    nearly = [(requests, tokens) for ago_s, requests, tokens in calls if ago_s + then_s <= 60 + SLOT_S + 1]
    counted = found["requests_in_last_minute"]
    assert sum(requests for requests, _ in within) <= counted <= sum(requests for requests, _ in nearly)
    if within == nearly:
        assert found["tokens_in_last_minute"] == max(0, sum(tokens for _, tokens in within))
