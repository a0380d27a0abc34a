"""Helpers of the tests that add jobs."""

from collections import Counter

from blogworker.queue.enqueue import enqueue_many
from blogworker.queue.validation import NewJob


def blog(site: str = "shop", keyword: str = "mugs", **columns) -> NewJob:
    return NewJob(site, "keyword", None, {"keyword": keyword}, **columns)


async def add_all(database, blogs, **limits) -> int:
    return await enqueue_many(database, blogs, counts=Counter(b.instance_id for b in blogs), **limits)


async def finished(psql, count: int, *, minutes_ago: float, waited_s: float = 0) -> None:
    """Insert jobs that ended `minutes_ago` and waited `waited_s` for their start, without the triggers."""
    await psql.run("insert into sites (instance_id) values ('old') on conflict do nothing")
    async with psql.connection.transaction():
        await psql.run("set local session_replication_role = replica")
        await psql.run(
            "insert into blog_generations ("
            "instance_id, source_type, source_id, status, finished_at, claimed_at, created_at) "
            "select 'old', 'keyword', 'k', 'DONE', t, t, t - make_interval(secs => %s) "
            "from (select now() - make_interval(secs => %s) as t) as f, generate_series(1, %s)",
            waited_s,
            60 * minutes_ago,
            count,
        )


async def minutes_until(psql, answer) -> float:
    return float(await psql.value("select extract(epoch from %s - now()) / 60", answer.expected_start))
