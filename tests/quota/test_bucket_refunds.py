"""What a bucket does with quota that was not used, and with usage beyond the estimate."""

from .bucket import Call, Tap, changes
from .bucket_history import Play
from .clocks import ROUNDING_S, near


def test_a_refunded_call_lets_the_next_one_start_earlier(clock):
    tap = Tap(clock, rpm=60, tpm=600, burst_s=0)
    tap.wait_s(tokens=10)
    assert tap.wait_s(tokens=10) == near(1)
    tap.undo(tap.granted[-1])

    assert tap.wait_s(tokens=10) == near(1)


def test_unused_tokens_let_the_next_call_start_earlier(clock):
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.reconcile(tap.granted[0], 30)

    assert tap.wait_s(tokens=1) == near(3)


def test_tokens_used_beyond_the_estimate_are_charged_later(clock):
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.reconcile(tap.granted[0], 150)

    assert tap.wait_s(tokens=1) == near(15)


def test_a_late_refund_saves_no_credit(clock):
    """An estimate was too high an hour ago: that quota has expired."""
    tap = Tap(clock, rpm=60, tpm=600, burst_s=1)
    tap.wait_s(tokens=600)
    tap.pass_time(3600)
    tap.undo(tap.granted[0])

    assert [tap.wait_s(tokens=10) for _ in range(4)] == [0, 0, near(1), near(2)]


def test_callers_that_all_leave_leave_no_trace(clock):
    """A drained worker held thirty seconds of the line: the next caller goes as early as if it had never asked."""
    tap = Tap(clock, rpm=60, tpm=6000, burst_s=1)
    tap.wait_s(tokens=100)
    before = tap.next_s()
    tap.round([1, 500, 0, 90, 2000])
    for call in tap.granted[1:]:
        tap.undo(call)

    assert tap.next_s() <= before


def test_a_refund_at_another_pace_is_what_was_charged(clock):
    """Otherwise, at a fiftieth of the pace, fifty times the unused tokens would be refunded."""
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=0)
    tap.round([100, 100])
    tap.learn(tokens_left=0.0)

    tap.reconcile(tap.granted[0], 40)

    assert tap.next_s() == near(4), "the other call is taken back, because the pace has changed"


def test_unused_tokens_move_waiting_calls_up(clock):
    """Throughput follows the real usage, in the order of the line, not only once the line is used up."""
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=0)
    tap.round([100] * 4)
    first, *line = tap.granted
    starts = [call.start for call in line]

    tap.reconcile(first, 40)

    assert [call.start - start for call, start in zip(line, starts, strict=True)] == [near(-6)] * 3


def test_no_call_is_moved_up_beyond_the_limit_of_requests(clock):
    tap = Tap(clock, rpm=60, tpm=600, burst_s=0)
    tap.round([100, 1, 1, 1])
    first, *line = tap.granted

    tap.reconcile(first, 0)

    assert [call.start - first.start for call in line] == [near(1), near(2), near(3)]


def test_excess_usage_is_charged_at_its_report(clock):
    """Calls take half a minute. Charged as of their start, what they used beyond their estimates would be forgotten."""
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=1)
    tap.round([10] * 5)
    tap.pass_time(30)
    for call in list(tap.granted):
        tap.reconcile(call, 60)

    assert tap.wait_s(tokens=10) == near(5 * 5 - 1)


def test_a_call_charged_for_its_request_pays_for_all_that_it_used(clock):
    """The provider has taken no tokens yet when the usage comes: the time that the request was charged has gone by."""
    tap = Tap(clock, rpm=20, tpm=600, burst_s=0)
    tap.wait_s(tokens=0)
    tap.pass_time(10)
    tap.reconcile(tap.granted[0], 50)

    assert tap.wait_s(tokens=0) == near(5)


def test_a_full_bucket_drops_a_refund(clock):
    """Two calls started long before the next three are granted: the provider has refilled what they took."""
    played = Play(Tap(clock, rpm=600_000, tpm=600, burst_s=0))
    for step, value in [
        ("ask", [100, 100]),
        ("pass", 19.5),
        ("ask", [100, 100, 100]),
        ("reconcile", (0, 0)),
        ("reconcile", (0, 0)),
    ]:
        played.step(step, value)

    assert len(played.used) == 2
    assert played.lacking_s() <= ROUNDING_S


def test_a_refund_passes_no_call_that_waits_for_its_request(clock):
    """The provider's tokens are all there before that call can start, so what came back earlier has run over."""
    tap = Tap(clock, rpm=6, tpm=600, burst_s=0)
    tap.round([300])
    tap.round([100, 100])
    first, second, third = tap.granted
    tap.pass_time(29.5)
    tap.reconcile(first, 0)

    assert (second.start - first.start, third.start - first.start) == (near(29.5), near(39.5))
    assert tap.next_s() == near(20)


def test_tokens_count_from_the_start_of_a_call_that_waits_for_its_request(clock):
    tap = Tap(clock, rpm=6, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)
    tap.reconcile(tap.granted[0], 0)

    assert [tap.wait_s(tokens=200), tap.wait_s(tokens=1)] == [near(10), near(30)]


@changes
def test_excess_usage_survives_a_change(clock, change):
    """The change takes back the line, not what calls have used."""
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=0)
    tap.wait_s(tokens=10)
    tap.reconcile(tap.granted[0], 610)

    change(tap)

    assert tap.wait_s(tokens=10) == near(61)


def test_a_refund_of_a_slow_minute_counts_its_tokens_only(clock):
    """At a fiftieth of the pace a call is charged fifty times its time: its refund must not pay for fifty others."""
    tap = Tap(clock, rpm=6000, tpm=6000, burst_s=0)
    tap.learn(tokens_left=0.0)
    tap.wait_s(tokens=100)
    (slow,) = tap.granted
    tap.learn(tokens_left=1.0)
    tap.next_s()
    tap.pass_time(2)
    tap.wait_s(tokens=3000)

    tap.reconcile(slow, 0)

    assert tap.next_s() == near(29)


def test_a_refund_of_a_slow_minute_pays_for_no_more_of_an_excess_than_its_tokens(clock):
    """The excess was charged at the full pace, the call that gives back at half of it."""
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=0)
    tap.round([10, 10])
    tap.pass_time(10)
    tap.reconcile(tap.granted[0], 60)
    tap.slow_down()
    slow = Call(
        start=0, tokens=10, request_s=0.02, token_s=0.2, epoch=0, granted_at=0, granted=0, soonest=0, returned_s=0
    )

    tap.reconcile(slow, 0)

    assert tap.next_s() == near(4)
