"""Sites split over two databases by the producer: what stays true, and what the databases no longer share.

sql/README.md, Beyond one server, says what follows from it.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4
from zlib import crc32

import pytest
from anyio import create_task_group, current_time, move_on_after, sleep
from psycopg.types.json import Json

from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.enqueue import enqueue
from blogworker.queue.job import Done
from blogworker.queue.settle import move
from blogworker.queue.validation import NewJob
from blogworker.quota import Bucket
from blogworker.quota.limiter import Limiter
from blogworker.settings import DatabaseSettings

from .conftest import register

pytestmark = pytest.mark.anyio

SITES = [f"site-{n}" for n in range(40)]
CALLS = 30
PER_MINUTE = 600
WITHIN_S = 45.0


class Router:
    """What a producer does: a site always goes to the same database."""

    def __init__(self, databases: list[Database]) -> None:
        self.databases = databases

    def of(self, site: str) -> Database:
        return self.databases[crc32(site.encode()) % len(self.databases)]


@pytest.fixture
async def router(databases, template) -> AsyncIterator[Router]:
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2):
            url = stack.enter_context(databases.copy(template))
            settings = DatabaseSettings(url=url, pool_min=1, pool_max=10, _env_file=None)
            opened.append(await stack.enter_async_context(Database(settings)))
        yield Router(opened)


async def values(database: Database, text: str) -> list[object]:
    async with database.connection() as connection:
        rows = await (await connection.execute(text.encode())).fetchall()
        return [next(iter(row.values())) for row in rows]


async def test_each_job_is_done_once_in_the_database_of_its_site(router):
    """Keys, titles, checkpoints and the line of a site need no other site, so nothing of them crosses databases."""
    for _ in range(2):  # the producer repeats everything, as after a lost answer
        for n in range(3):
            for site in SITES:
                job = NewJob(site, "keyword", None, {"keyword": f"subject {n}"}, idempotency_key=f"key-{n}")
                await enqueue(router.of(site), job)
    done: Counter[str] = Counter()
    for database in router.databases:
        worker_id = await register(database, uuid4())
        while found := (await claim(database, worker_id, slots=10, site_window=2)).claims:
            assert max(Counter(each.instance_id for each in found).values()) <= 2
            rows = [
                {"job_id": each.job_id, "attempt": each.attempt, "status": move(Done()).status, "delay_s": 0,
                 "spent": False, "error": None, "failure": None}
                for each in found
            ]  # fmt: skip
            await database.rows("queue/settle", worker_id=worker_id, outcomes=Json(rows))
            done.update(each.instance_id for each in found)

    assert done == Counter(dict.fromkeys(SITES, 3))
    homes = [set(await values(database, "select distinct instance_id from sites")) for database in router.databases]
    assert all(homes)
    assert not homes[0] & homes[1]


async def test_ids_of_jobs_are_unique_within_a_database_only(router):
    for site in SITES:
        await enqueue(router.of(site), NewJob(site, "keyword", None, {"keyword": "k"}))
    ids = [await values(database, "select id from blog_generations") for database in router.databases]

    assert set(ids[0]) & set(ids[1]), "so a producer keeps the site beside the id"


@pytest.mark.parametrize(("each", "overrun"), [(PER_MINUTE, True), (PER_MINUTE // 2, False)], ids=["whole", "half"])
async def test_the_limits_of_a_provider_have_to_be_divided(router, each, overrun):
    """Two databases that both have the whole limit let twice as many calls through as the provider allows."""
    granted: list[float] = []

    async def call(limiter: Limiter) -> None:
        async with limiter.permit("openai/mini"):
            granted.append(current_time())

    with move_on_after(WITHIN_S):
        async with create_task_group() as calls:
            for database in router.databases:
                bucket = Bucket("openai/mini", "openai", requests_per_minute=each, tokens_per_minute=None)
                limiter = Limiter(database, {bucket.name: bucket})
                await limiter.start()
                for _ in range(CALLS):
                    calls.start_soon(call, limiter)
            while len(granted) < CALLS:
                await sleep(0.05)
            calls.cancel_scope.cancel()
    in_time = granted[CALLS - 1] - granted[0]

    allowed = PER_MINUTE / 60 * (1 + in_time)  # the burst of a second, and what the time adds
    assert (allowed + 4 < CALLS) == overrun
