"""How a bucket changes its pace: by blocks, new limits, and what the provider says of its own bucket."""

import pytest

from blogworker.db.sql import query

from .bucket import Tap, changes
from .clocks import near


def test_a_block_delays_every_call_and_the_longer_one_wins(clock):
    tap = Tap(clock, rpm=6000)
    tap.block(30)
    tap.block(5)

    assert tap.wait_s() == near(30)


def test_a_block_does_not_end_in_a_burst(clock):
    """Otherwise all waiting calls would start at that moment, and cause the next block."""
    tap = Tap(clock, rpm=60, burst_s=0)
    tap.block(30)

    assert [tap.wait_s() for _ in range(3)] == [near(30), near(31), near(32)]


def test_the_limits_follow_the_settings(clock):
    """A new tier at the provider is a restart, not a migration; what was used stays used."""
    tap = Tap(clock, rpm=60, tpm=600, burst_s=3)
    tap.round([0] * 20)
    assert tap.ahead_s() == near(17)

    clock.session.execute(
        query("quota/upsert_bucket"),
        {"name": "q", "provider": "p", "requests_per_minute": 120, "tokens_per_minute": None, "burst_s": 3},
    )

    after = tap.row()
    assert (after["requests_per_minute"], after["tokens_per_minute"]) == (120, None)
    assert tap.ahead_s() == near(7)


@changes
def test_a_change_of_the_bucket_clears_the_line(clock, change):
    """Waiting callers ask again under the new limits: their old places must not delay them."""
    tap = Tap(clock, rpm=60, burst_s=1)
    tap.round([0] * 20)
    epoch = tap.row()["epoch"]

    change(tap)

    assert tap.round()["epoch"] > epoch
    assert tap.next_s() <= 2, "one call, which may be under way"


@pytest.mark.parametrize(("tpm", "wait_s"), [(6_000, 1), (60_000, 0.1), (300, 20)])
def test_what_was_used_ahead_of_time_is_paid_back_at_the_new_limit(clock, tpm, wait_s):
    """A limit that was too low by mistake stopped the fleet for hours after it was corrected."""
    tap = Tap(clock, rpm=60_000, tpm=600, burst_s=0)
    tap.round([50])
    tap.reconcile(tap.granted[0], used=100)
    assert tap.ahead_s() == near(10)

    tap.set(tpm=tpm)

    assert tap.ahead_s() == near(wait_s)


@changes
def test_places_from_before_a_change_are_not_refunded(clock, change):
    """The line was cleared already: refunds would let all of them start at once."""
    tap = Tap(clock, rpm=60, burst_s=0)
    tap.round([0] * 20)
    line = tap.granted
    change(tap)
    tap.round([0] * 5)
    before = tap.now() + tap.next_s()

    for call in line:
        tap.undo(call)

    assert tap.now() + tap.next_s() == near(before)


def test_new_limits_apply_to_the_next_call(clock):
    tap = Tap(clock, rpm=60, burst_s=0)
    tap.set(rpm=600)

    assert tap.round([0] * 11)["waits"][-1] == near(1)


def test_a_lower_limit_of_the_provider_wins_over_the_settings(clock):
    tap = Tap(clock, rpm=600, tpm=60_000, burst_s=0)
    tap.learn(requests_limit=60, tokens_limit=600)

    assert tap.round([100, 100])["waits"] == [0, near(10)]
    assert tap.row()["requests_per_minute"] == 600


@pytest.mark.parametrize(
    ("left", "pace"), [(1.0, 1.0), (0.5, 1.0), (0.25, 0.5), (0.1, 0.2), (0.0, 0.02)], ids=lambda value: f"{value:g}"
)
def test_the_pace_follows_the_remaining_quota_of_the_provider(clock, left, pace):
    """Another application draws from the same key: we take in proportion to what remains."""
    tap = Tap(clock, rpm=60, tpm=600)
    tap.learn(requests_left=1.0, tokens_left=left)

    assert tap.pace() == pytest.approx(pace, abs=0.01)


def test_old_reports_of_the_provider_fade(clock):
    """A worker that makes no calls learns nothing new: it must not stay slow for ever."""
    tap = Tap(clock, rpm=60)
    tap.learn(requests_left=0.0)

    paces = []
    for seconds in (10, 30, 30):
        tap.pass_time(seconds)
        paces.append(tap.pace())

    assert paces == [pytest.approx(0.02, abs=0.02), pytest.approx(0.52, abs=0.02), 1]


def test_a_line_granted_at_a_slow_pace_is_cleared_when_the_pace_recovers(clock):
    """At a tenth of the pace thirty calls reach five minutes ahead; all is well again a second later."""
    tap = Tap(clock, rpm=60, burst_s=1)
    tap.learn(requests_left=0.05)
    tap.round([0] * 30)
    assert tap.next_s() > 250
    tap.learn(requests_left=1.0)

    assert tap.next_s() <= 2
    assert tap.round([0] * 30)["waits"][-1] <= 31


def test_small_changes_of_the_pace_do_not_clear_the_line(clock):
    tap = Tap(clock, rpm=60, burst_s=1)
    tap.round([0] * 10)
    tap.learn(requests_left=0.45)

    assert tap.round()["epoch"] == 0
    assert tap.next_s() == near(9)


def test_slow_down_halves_the_pace_which_recovers(clock):
    tap = Tap(clock, rpm=60)
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
def test_a_clock_set_back_leaves_a_slow_bucket_slow(clock, back_s):
    """As after a failover. A pace of nothing could not be divided by, and one below it would let everything through."""
    tap = Tap(clock, rpm=60)
    tap.slow_down()

    tap.pass_time(-back_s)

    assert tap.pace() == pytest.approx(0.5, abs=0.02)
