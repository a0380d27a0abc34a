"""The rate limits, without a clock."""

import math

import pytest

from blogworker.simulator.buckets import Bucket, Limit, PeakMeter, Window, go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.1196, "120ms"), (1, "1s"), (41.7, "41.7s"), (360, "6m0s"), (3723.5, "1h2m3.5s")],
)
def test_durations_are_formatted_as_in_go(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_a_bucket_refills_continuously() -> None:
    """After one burst, the rate is that of the limit."""
    bucket, limit = Bucket(), Limit(60, burst=0.5)
    for _ in range(30):
        assert bucket.wait_s(1, limit, now=0.0) == 0
        bucket.take(1, limit, now=0.0)

    assert bucket.wait_s(1, limit, now=0.0) == pytest.approx(1.0)
    assert bucket.wait_s(1, limit, now=0.4) == pytest.approx(0.6)
    assert bucket.wait_s(31, limit, now=0.0) == math.inf


def test_a_correction_gives_tokens_back_up_to_the_capacity() -> None:
    bucket, limit = Bucket(), Limit(6_000)
    bucket.take(4_000, limit, now=0.0)

    bucket.take(-1_000, limit, now=0.0)
    assert bucket.remaining(limit, now=0.0) == 3_000

    bucket.take(-9_000, limit, now=0.0)
    assert bucket.remaining(limit, now=0.0) == 6_000


def test_rejected_requests_alone_do_not_make_the_level_negative() -> None:
    bucket, limit = Bucket(), Limit(60, burst=1 / 60)
    bucket.take(1, limit, now=0.0)
    for _ in range(50):
        bucket.charge_rejected(limit, now=0.0)

    assert bucket.wait_s(1, limit, now=0.0) == pytest.approx(1.0)


def test_a_window_lasts_a_minute_from_its_first_call() -> None:
    window = Window()

    assert [window.take(2, now=at) for at in (5.0, 6.0, 7.0, 64.9, 65.0)] == [True, True, False, False, True]


def test_the_limit_of_a_window_is_proportional_to_its_length() -> None:
    """A minute at speed 20 lasts three seconds."""
    window = Window()

    assert [window.take(40, now=at, length_s=3.0) for at in (5.0, 6.0, 7.0, 8.0)] == [True, True, False, True]


def test_the_peak_is_the_most_in_any_minute() -> None:
    """Amounts 59 seconds apart are in one minute; amounts 61 seconds apart are not."""
    meter = PeakMeter()
    for now, amount in ((0.0, 5), (59.0, 5), (61.0, 2), (200.0, 1)):
        meter.add(amount, now)

    assert meter.peak == 10
