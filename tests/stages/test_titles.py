"""Titles in the database: a site never gets the same one twice, also with concurrent jobs."""

from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from anyio import create_task_group, fail_after, sleep

from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.errors import LeaseLost
from blogworker.queue.claim import claim
from blogworker.settings import DatabaseSettings
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.work import LibraryEntry

pytestmark = pytest.mark.anyio

CURTAINS = "How to wash linen curtains at home"
MANY = 100_000


class Site:
    """Blogs of one site, each claimed by one worker."""

    def __init__(self, database: Database, worker_id) -> None:
        self.database = database
        self.worker_id = worker_id

    async def run(self, text: str, *values: object) -> list[dict]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(text.encode(), values or None)
            return await cursor.fetchall() if cursor.description else []

    async def jobs(self, count: int, site: str = "shop") -> list[StoredCheckpoints]:
        await self.run(
            "insert into blog_generations (instance_id, source_type, source_id) "
            "select %s, 'keyword', 'k' || n from generate_series(1, %s) as n",
            site,
            count,
        )
        found = (await claim(self.database, self.worker_id, slots=1000, site_window=1000)).claims
        return [StoredCheckpoints(self.database, self.worker_id, each, {}) for each in found]

    async def titles(self) -> list[str]:
        return [row["title"] for row in await self.run("select title from site_titles order by created_at, title")]


async def _open(database: Database) -> Site:
    worker_id = uuid4()
    await database.execute(
        "queue/register_worker",
        name="w",
        worker_id=worker_id,
        host="h",
        pid=1,
        version="0",
        concurrency=9,
        lease_s=600,
    )
    return Site(database, worker_id)


@pytest.fixture
async def shop(database):
    return await _open(database)


@asynccontextmanager
async def without_pg_trgm(url: str):
    """A site in a database without pg_trgm."""
    connection = await connect(url, timeout_s=5)
    async with connection:
        await migrate(connection)
        await connection.execute("drop extension pg_trgm cascade")
        await migrate(connection)
    async with Database(DatabaseSettings(url=url, _env_file=None)) as database:
        yield await _open(database)


@pytest.fixture(params=["with pg_trgm", "without pg_trgm"])
async def any_shop(request, database_url, empty_url):
    if request.param == "with pg_trgm":
        async with Database(DatabaseSettings(url=database_url, _env_file=None)) as database:
            yield await _open(database)
    else:
        async with without_pg_trgm(empty_url) as site:
            yield site


async def reserve(job, *wanted, source="s", last_chance=False):
    entries = [LibraryEntry(title, "", None, ()) for title in wanted]
    return await job.claim_title(entries, source=source, last_chance=last_chance)


@pytest.mark.parametrize(
    "other",
    [
        CURTAINS,
        "How to Wash Linen Curtains at Home!",
        "How to wash linen curtain at home",
        "At home: how to wash linen curtains",
    ],
)
async def test_a_title_similar_to_one_of_the_site_is_skipped(any_shop, other):
    """With the extension and without: the answer is the same."""
    first, second = await any_shop.jobs(2)
    await reserve(first, CURTAINS)

    answer = await reserve(second, other, "Why linen creases and how to live with it", source="t")

    assert (answer.place, answer.taken) == (1, (CURTAINS,))


@pytest.mark.parametrize(
    "other", ["How to wash wool blankets by hand", "Which linen curtains keep a bedroom dark", "Как стирать шторы"]
)
async def test_another_title_is_free(any_shop, other):
    first, second = await any_shop.jobs(2)
    await reserve(first, CURTAINS)

    assert (await reserve(second, other)).place == 0


async def test_titles_without_ascii_letters_are_distinguished(any_shop):
    """A locale or an extension that sees only ASCII would take all of them for one."""
    first, second, third = await any_shop.jobs(3)
    await reserve(first, "Как выбрать льняные шторы для спальни")

    assert (await reserve(second, "Как выбрать льняные шторы для спальни?")).place is None
    assert (await reserve(third, "Чем стирать шерстяной плед")).place == 0


async def test_the_same_title_on_another_site_is_free(shop):
    """Sites do not know of each other."""
    [ours] = await shop.jobs(1)
    await reserve(ours, CURTAINS)
    [theirs] = await shop.jobs(1, site="other")

    assert (await reserve(theirs, CURTAINS)).place == 0


async def test_concurrent_jobs_of_one_site_choose_different_titles(shop):
    """The second waits for the first to be committed, and then sees what it chose: alike, though not equal."""
    first, second = await shop.jobs(2)
    answers = []

    async def choose() -> None:
        answers.append(await reserve(second, f"{CURTAINS}s"))

    async with create_task_group() as tasks, shop.database.transaction() as statements:
        in_hand = {**first._fence, "instance_id": "shop", "wanted": [CURTAINS], "entries": None}
        await statements.one("stages/claim_title", **in_hand, source="s", last_chance=False)
        tasks.start_soon(choose)
        waiting = "select pid from pg_locks where locktype = 'transactionid' and not granted"
        with fail_after(10):
            while not await shop.run(waiting):
                await sleep(0.01)

    assert [(answer.place, answer.taken) for answer in answers] == [(None, (CURTAINS,))]


async def test_a_repeated_request_returns_the_same_title(shop):
    """The answer to the first may have been lost on its way."""
    [job] = await shop.jobs(1)

    first, again = await reserve(job, CURTAINS, "Another"), await reserve(job, CURTAINS, "Another")

    assert first == again
    assert await shop.titles() == [CURTAINS]


async def test_a_writer_can_improve_its_title(shop):
    """One blog has one title."""
    [job] = await shop.jobs(1)
    await reserve(job, CURTAINS)

    await reserve(job, "Washing linen curtains without shrinking them")

    assert await shop.titles() == ["Washing linen curtains without shrinking them"]


async def test_the_last_try_accepts_the_least_similar_title_of_another_source(shop):
    """`part 2` of a keyword, a product in another colour: alike, yet not the same post."""
    first, second = await shop.jobs(2)
    await reserve(first, CURTAINS)

    assert (await reserve(second, f"{CURTAINS} 2", source="t", last_chance=False)).place is None
    assert (await reserve(second, CURTAINS, source="t", last_chance=True)).place is None
    assert (await reserve(second, f"{CURTAINS} 2", source="s", last_chance=True)).place is None
    assert (await reserve(second, f"{CURTAINS} 2", source="t", last_chance=True)).place == 0


async def test_a_lost_claim_reserves_nothing(shop):
    [job] = await shop.jobs(1)
    await shop.run("update blog_generations set status = 'PENDING'")

    with pytest.raises(LeaseLost):
        await reserve(job, CURTAINS)

    assert await shop.titles() == []


async def test_a_job_cancelled_before_its_text_is_written_releases_its_title(shop):
    """It chooses again should somebody want it after all: what it left may be taken."""
    [job] = await shop.jobs(1)
    await job.save("source", {})
    await reserve(job, CURTAINS)
    await job.save("ideas", {"chosen": {}})

    await shop.run("update blog_generations set status = 'PENDING'")
    await shop.run("update blog_generations set status = 'CANCELLED'")

    assert await shop.titles() == []
    [row] = await shop.run("select stage from blog_generations")
    assert row["stage"] == "ideas"
    assert [r["stage"] for r in await shop.run("select stage from generation_stages")] == ["source"]


async def test_a_cancel_by_the_worker_releases_the_title_too(shop):
    [job] = await shop.jobs(1)
    await reserve(job, CURTAINS)
    await shop.run("update blog_generations set stage = 'content', cancel_requested_at = now()")

    await shop.run("update blog_generations set status = 'PENDING'")

    assert (await shop.run("select status from blog_generations"))[0]["status"] == "CANCELLED"
    assert await shop.titles() == []


async def test_a_job_cancelled_after_its_text_was_bought_keeps_its_title(shop):
    """A person's retry publishes that text: nobody else may have its title by then."""
    [job] = await shop.jobs(1)
    await reserve(job, CURTAINS)
    await job.save("ideas", {})
    await job.save("content.draft", {"text": ""})

    await shop.run("update blog_generations set status = 'PENDING'")
    await shop.run("update blog_generations set status = 'CANCELLED'")

    assert await shop.titles() == [CURTAINS]


@pytest.mark.parametrize(("status", "kept"), [("DONE", [CURTAINS]), ("FAILED", [])])
async def test_a_published_title_outlives_its_row(shop, status, kept):
    """Prune deletes the row; the post is still on the site."""
    [job] = await shop.jobs(1)
    await reserve(job, CURTAINS)
    await shop.run("update blog_generations set status = %s", status)

    await shop.run("delete from blog_generations")

    assert await shop.titles() == kept


async def test_a_role_without_the_right_to_create_extensions_can_migrate(server, empty_url):
    """It owns its schema and nothing else."""
    role = f"r{uuid4().hex}"
    admin = await connect(empty_url, timeout_s=5)
    async with admin:
        await admin.execute(f"create role {role}".encode())
        await admin.execute(f"create schema ours authorization {role}".encode())
        await admin.execute(f"set role {role}".encode())
        await admin.execute("set search_path = ours")

        await migrate(admin)

        cursor = await admin.execute("select title_likeness('linen curtains', 'linen curtain') as likeness")
        assert (await cursor.fetchone())["likeness"] > 0.7
        await admin.execute("reset role")
        await admin.execute(f"drop schema ours cascade; drop role {role}".encode())


async def test_both_ways_to_compare_give_the_same_similarity(database_url, empty_url):
    pairs = [(CURTAINS, "washing curtains"), ("a b c", "c b a"), ("wäsche waschen", "wasche waschen"), ("x", "x y")]
    asked = "select title_likeness(title_key(%s), title_key(%s)) as likeness"

    async with Database(DatabaseSettings(url=database_url, _env_file=None)) as one, without_pg_trgm(empty_url) as two:
        for pair in pairs:
            [ours], [theirs] = await two.run(asked, *pair), await Site(one, None).run(asked, *pair)
            assert ours["likeness"] == pytest.approx(theirs["likeness"], abs=1e-6)


async def test_a_site_of_100_000_posts_is_searched_by_index(shop):
    """Nor is the table read from end to end."""
    [job] = await shop.jobs(1)
    [index] = await shop.run("select pg_get_indexdef('site_titles_key_trigrams_idx'::regclass) as made")
    await shop.run("drop index site_titles_key_trigrams_idx")  # quicker made at the end than kept up
    await shop.run(
        "insert into site_titles (instance_id, key, title) "
        "select 'shop', title_key(t.title), t.title from generate_series(1, %s) as n "
        "cross join lateral (select md5(n::text) || ' and ' || md5((n * 7)::text) as title) as t",
        MANY,
    )
    await shop.run(index["made"])
    await shop.run("analyze site_titles")

    async with shop.database.transaction() as statements:
        await statements.one(
            "stages/claim_title", worker_id=shop.worker_id, job_id=job._claim.job_id, attempt=1, wanted=[CURTAINS],
            source="s", last_chance=False, instance_id="shop", entries=None,
        )  # fmt: skip
        cursor = await statements._connection.execute(
            "select pg_stat_get_xact_numscans('site_titles_key_trigrams_idx'::regclass) as by_index, "
            "pg_stat_get_xact_tuples_returned('site_titles'::regclass) as read_through"
        )
        scans = await cursor.fetchone()

    assert scans["by_index"] > 0
    assert scans["read_through"] == 0
