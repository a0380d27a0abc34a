"""Quota arithmetic, without a clock."""

import math

import pytest

from blogworker.simulator.buckets import Bucket, Limit, PeakMeter, Window, go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.1196, "120ms"), (1, "1s"), (41.7, "41.7s"), (360, "6m0s"), (3723.5, "1h2m3.5s")],
)
def test_durations_are_told_as_go_tells_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_a_bucket_refills_all_the_time() -> None:
    """A burst is spent once; after that the pace is the limit's."""
    bucket, limit = Bucket(), Limit(60, burst=0.5)
    for _ in range(30):
        assert bucket.wait_s(1, limit, now=0.0) == 0
        bucket.take(1, limit, now=0.0)

    assert bucket.wait_s(1, limit, now=0.0) == pytest.approx(1.0)
    assert bucket.wait_s(1, limit, now=0.4) == pytest.approx(0.6)
    assert bucket.wait_s(31, limit, now=0.0) == math.inf


def test_a_correction_gives_tokens_back_but_never_more_than_fit() -> None:
    bucket, limit = Bucket(), Limit(6_000)
    bucket.take(4_000, limit, now=0.0)

    bucket.take(-1_000, limit, now=0.0)
    assert bucket.remaining(limit, now=0.0) == 3_000

    bucket.take(-9_000, limit, now=0.0)
    assert bucket.remaining(limit, now=0.0) == 6_000


def test_refusals_alone_never_dig_a_hole() -> None:
    bucket, limit = Bucket(), Limit(60, burst=1 / 60)
    bucket.take(1, limit, now=0.0)
    for _ in range(50):
        bucket.charge_refused(limit, now=0.0)

    assert bucket.wait_s(1, limit, now=0.0) == pytest.approx(1.0)


def test_a_window_opens_again_a_minute_after_it_began() -> None:
    window = Window()

    assert [window.take(2, now=at) for at in (5.0, 6.0, 7.0, 64.9, 65.0)] == [True, True, False, False, True]


def test_a_short_window_holds_as_much_less() -> None:
    """A minute at twenty times the speed: the limit of a minute, in three seconds."""
    window = Window()

    assert [window.take(40, now=at, length_s=3.0) for at in (5.0, 6.0, 7.0, 8.0)] == [True, True, False, True]


def test_the_peak_is_the_most_in_any_minute() -> None:
    """Independent of any quota: usage of 59 seconds counts together, usage of 61 does not."""
    meter = PeakMeter()
    for now, amount in ((0.0, 5), (59.0, 5), (61.0, 2), (200.0, 1)):
        meter.add(amount, now)

    assert meter.peak == 10
    assert meter.total == 13
