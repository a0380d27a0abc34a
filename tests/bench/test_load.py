"""The evaluation of the records of a bench under load."""

from pathlib import Path

from blogworker.bench.load.history import JobTimes, Sample, longest_wait_s
from blogworker.bench.load.shares import minutes

WEIGHTS = {"a": 1.0, "b": 2.0, "dry": 1.0}


def started(site: str, at_s: float) -> JobTimes:
    return JobTimes(1, site, 0.0, at_s, None, 1, "PROCESSING")


def sample(at_s: float, **waiting: int) -> Sample:
    return Sample(at_s, {}, waiting, WEIGHTS, {})


def test_a_site_is_served_evenly_when_it_gets_what_its_weight_is() -> None:
    """The first minute is the ramp and does not count. Neither does an incomplete minute at the end."""
    jobs = [started("a", 100.0), started("a", 115.0), started("b", 116.0), started("b", 117.0)]
    tokens = [{"at_s": 114.0, "instance_id": "a", "tokens": 500}, {"at_s": 120.0, "instance_id": "b", "tokens": 1_000}]
    samples = [sample(113.0, a=3, b=3), sample(121.0, a=2, b=2)]

    found = minutes(jobs, tokens, samples, until_s=130.0, minute_s=12.0)

    assert [(minute.sites, minute.tokens, minute.started) for minute in found] == [(2, 1.0, 1.0)]


def test_a_site_that_had_nothing_waiting_for_a_while_is_not_counted() -> None:
    """A site without jobs is not starved."""
    jobs = [started("a", 0.0), started("a", 61.0), started("b", 62.0), started("b", 63.0)]
    samples = [sample(61.0, a=3, b=3, dry=1), sample(100.0, a=2, b=2, dry=0)]

    (found,) = minutes(jobs, [], samples, until_s=120.0, minute_s=60.0)

    assert (found.sites, found.started) == (2, 1.0)


def test_a_minute_in_which_one_site_had_everything_shows() -> None:
    jobs = [started("a", 0.0), started("a", 61.0), started("a", 62.0)]

    (found,) = minutes(jobs, [], [sample(61.0, a=3, b=3)], until_s=120.0, minute_s=60.0)

    assert found.started == 0.5


def test_the_longest_wait_for_a_quota_is_found_among_other_lines(tmp_path: Path) -> None:
    """Workers also print lines that are not JSON, such as a traceback."""
    log = tmp_path / "worker.log"
    log.write_text('limiter_waited?\n{"event": "limiter_waited", "wait_s": 1.5}\n{"event": "job_settled"}\n')

    assert longest_wait_s([log]) == 1.5
    log.write_text('{"event": "job_settled"}\n')
    assert longest_wait_s([log]) is None
