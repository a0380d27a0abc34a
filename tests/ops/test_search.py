"""A search that has not read all jobs says where the next one continues."""

import pytest

from blogworker.ops import jobs
from blogworker.ops.jobs import JobFilter, cancellable, list_jobs, searched_to

pytestmark = pytest.mark.anyio


async def test_a_search_continues_where_the_last_one_ended(database, monkeypatch):
    monkeypatch.setattr(jobs, "SCANNED", 10)
    async with database.connection() as connection:
        await connection.execute(
            "insert into blog_generations (instance_id, source_type, source_id) "
            "select 'shop', 'keyword', 'k ' || n from generate_series(1, 25) as n"
        )
    found, before, pages = [], None, 0
    while True:
        wanted = JobFilter(text="k 3", before=before)
        found += [job.source for job in await list_jobs(database, wanted, most=50)]
        pages += 1
        if (before := await searched_to(database, wanted)) is None:
            break

    assert (found, pages) == (["k 3"], 3)


async def test_all_jobs_that_match_are_cancelled_also_those_beyond_one_search(database, monkeypatch):
    monkeypatch.setattr(jobs, "SCANNED", 10)
    monkeypatch.setattr(jobs, "BATCH", 4)
    async with database.connection() as connection:
        await connection.execute(
            "insert into blog_generations (instance_id, source_type, source_id, created_at, run_at) "
            "select 'shop', 'keyword', case when n % 3 = 0 then 'mug ' else 'jug ' end || n, "
            "now() - n * interval '1 hour', now() + case when n % 2 = 0 then interval '1 day' else '0 s' end "
            "from generate_series(1, 60) as n"
        )
        await connection.execute("update blog_generations set status = 'CANCELLED' where source_id = 'mug 9'")

    found = await cancellable(database, JobFilter(text="mug", older_than_s=12.5 * 3_600))
    waiting = await cancellable(database, JobFilter(within_s=12.5 * 3_600))

    assert sorted(found) == [n for n in range(13, 61) if n % 3 == 0]
    assert sorted(waiting) == [n for n in range(1, 13) if n != 9]
