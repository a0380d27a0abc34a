"""A search that has not read all jobs says where the next one continues."""

import pytest

from blogworker.ops import jobs
from blogworker.ops.jobs import JobFilter, list_jobs, searched_to

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
