"""The arithmetic of a bucket, on the database's own function.

Calls are granted however far ahead, so that one round shows the whole arithmetic. Those that are not granted yet, and
the order in which they go, are in test_line.py.
"""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from blogworker.db.sql import query

from .bucket import Tap
from .clocks import ROUNDING_S, near, round_of


def test_an_idle_bucket_grants_at_once(clock):
    tap = Tap(clock, rpm=60)

    assert tap.wait_s() == 0


def test_calls_beyond_the_burst_are_spread_at_the_rate(clock):
    """A provider enforces by the second: a minute's quota in one second is a row of 429s."""
    tap = Tap(clock, rpm=60, burst_s=2)

    waits = [tap.wait_s() for _ in range(6)]

    assert waits == [0, 0, 0, near(1), near(2), near(3)]


def test_time_without_calls_saves_up_no_more_than_the_burst(clock):
    tap = Tap(clock, rpm=60, burst_s=2)
    tap.wait_s()
    tap.pass_time(3600)

    assert [tap.wait_s() for _ in range(4)] == [0, 0, 0, near(1)]


def test_tokens_bound_the_calls_too(clock):
    """600 tokens a minute are 10 a second: the second call waits for what the first one reserved."""
    tap = Tap(clock, rpm=6000, tpm=600, burst_s=1)

    assert [tap.wait_s(tokens=100) for _ in range(3)] == [0, near(9), near(19)]


def test_a_bucket_without_a_token_limit_ignores_tokens(clock):
    tap = Tap(clock, rpm=6000, tpm=None, burst_s=1)

    assert [tap.wait_s(tokens=1_000_000) for _ in range(2)] == [0, 0]


def test_a_wait_that_is_too_long_takes_nothing(clock):
    """The slot goes to another job; the quota must not go with it."""
    tap = Tap(clock, rpm=60, burst_s=0)
    tap.wait_s()
    tap.wait_s()
    before = tap.row()

    refused = tap.round([0, 0], longest_wait_s=0.5)

    assert (refused["waits"], refused["refused"]) == ([None, None], [True, True])
    assert refused["expected_s"] == [near(2), near(2)]
    assert tap.row() == before


def test_calls_that_waited_for_tokens_are_spread_as_requests_too(clock):
    tap = Tap(clock, rpm=60, tpm=600, burst_s=0)
    tap.wait_s(tokens=100)

    assert [tap.wait_s() for _ in range(3)] == [near(10), near(11), near(12)]


def test_an_error_names_the_missing_bucket(clock):
    with pytest.raises(Exception, match="no quota named elsewhere"):
        clock.session.execute(query("quota/round"), round_of([1], name="elsewhere"))


def test_a_round_serves_its_callers_in_their_order(clock):
    tap = Tap(clock, rpm=60, tpm=600, burst_s=0)

    row = tap.round([10, 20, 10, 10], longest_wait_s=3.5)

    assert row["waits"] == [0, near(1), near(3), None]
    assert row["expected_s"] == [None, None, None, near(4)]


def test_a_read_of_a_bucket_writes_nothing(clock):
    """Workers that wait look twice a second; each look a new row version would be."""
    tap = Tap(clock, rpm=60, tpm=600)
    tap.wait_s(tokens=10)
    before = clock.session.execute("select ctid, * from quotas").fetchone()

    tap.next_s()

    assert clock.session.execute("select ctid, * from quotas").fetchone() == before


def test_a_round_commits_asynchronously_and_only_itself(clock):
    """The bucket's row is held until the commit is over; what comes after on the same connection is durable again."""
    tap = Tap(clock, rpm=60)
    clock.session.execute("set synchronous_commit = on")

    def setting() -> str:
        return clock.session.execute("show synchronous_commit").fetchone()["synchronous_commit"]

    with clock.session.transaction():
        tap.wait_s()
        during = setting()

    assert (during, setting()) == ("off", "on")


def test_concurrent_processes_share_one_line(clock, module_url):
    """Eight connections race: the row's lock makes one order of it, and no two calls share a slot."""
    tap = Tap(clock, rpm=6000, burst_s=0.1)
    began = tap.now()
    a_round = query("quota/round").rstrip().rstrip(";")
    ask = f"select extract(epoch from clock_timestamp())::float8 as at, r.waits from ({a_round}) as r"

    def worker(_: int) -> list[float]:
        with psycopg.connect(module_url, autocommit=True) as connection:
            rows = [connection.execute(ask, round_of([0, 0, 0])).fetchone() for _ in range(40)]
        return [at + wait_s for at, waits in rows for wait_s in waits]

    with ThreadPoolExecutor(8) as threads:
        starts = sorted(start for each in threads.map(worker, range(8)) for start in each)

    assert len(starts) == 960
    assert starts[-1] - began >= 959 * 0.01 - 0.1
    ahead_s = (tap.row()["requests_clock"].timestamp() - began) - 960 * 0.01
    assert ahead_s >= -ROUNDING_S
