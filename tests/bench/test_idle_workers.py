"""The benches whose jobs write no posts, with few jobs."""

import pytest

from blogworker.bench import io, pickup, queue

pytestmark = [pytest.mark.anyio, pytest.mark.proof]


async def test_the_cpu_time_of_workers_and_of_postgres_is_measured_apart() -> None:
    (alone, two) = await queue.measure(jobs=200, sites=10, workers=[1, 2], concurrency=10)

    for figure in (alone, two):
        assert (figure.run.twice, figure.run.unfinished) == (0, 0)
        assert figure.worker_cpu_us > 0
        assert figure.postgres_cpu_us > 0
        assert 0 < figure.run.busy_s < figure.run.seconds


async def test_each_enqueued_job_is_picked_up_once() -> None:
    found = await pickup.measure(jobs=30)

    assert (found.started, found.claimed_twice, found.unfinished) == (30, 0, 0)
    assert found.p50_ms <= found.p95_ms <= found.max_ms
    assert 0 < found.call_p50_ms > found.p50_ms


async def test_jobs_that_wait_fill_no_more_than_the_slots() -> None:
    found = await io.measure(jobs=60, slots=20)

    assert (found.claimed_twice, found.unfinished) == (0, 0)
    assert 0 < found.jobs_per_s <= found.ideal_per_s == 100
    assert found.worker_cpu_s_per_1000 > 0
    assert found.postgres_cpu_s_per_1000 > 0
