"""A database that is older than what its workers have done: what the providers have is found, and not made again."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from blogworker.db.embedded import find_pg_bin
from blogworker.db.pool import Database
from blogworker.providers.wix.client import WixClient
from blogworker.settings import DatabaseSettings
from blogworker.stages.records import Output

from .conftest import SITE
from .pipeline_harness import Harness

pytestmark = pytest.mark.anyio

KEYED = "insert into blog_generations (instance_id, source_type, source_id, idempotency_key) values (%s, %s, %s, %s)"
Dump = Callable[[], Path]


@pytest.fixture
def dump(database_url: str, tmp_path: Path) -> Dump:
    """Dumps the database of the test, as it is now."""

    def made() -> Path:
        run("pg_dump", "-f", str(tmp_path / "dump.sql"), database_url)
        return tmp_path / "dump.sql"

    return made


@pytest.fixture
def restored_url(databases: Any) -> Iterator[str]:
    with ExitStack() as stack:
        yield stack.enter_context(databases.copy("template0"))


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(find_pg_bin() / program), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def restore(harness: Harness, restored_url: str) -> Any:
    """Restores a dump: the same harness on the restored database."""
    async with Database(DatabaseSettings(url=restored_url, _env_file=None)) as database:

        async def restored(dump: Path) -> Harness:
            await to_thread.run_sync(run, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), restored_url)
            return replace(harness, database=database, paused=frozenset())

        yield restored


# What a promoted standby that was behind looks like: a new timeline, and rows as they were.
PROMOTED = "update database_history set timeline = 0, written_by = pg_current_xact_id()"
LOST = "delete from generation_stages where stage like 'publish%'"


async def lose(harness: Harness, *statements: str) -> None:
    """Promote a standby that has not received what these statements undo."""
    await harness.run("select from note_restore(null)")
    async with harness.database.connection() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        for statement in (*statements, PROMOTED):
            await connection.execute(statement.encode())


async def stopped_before(harness: Harness, stage: str | None) -> None:
    """Let the job do all that comes before a stage; None: nothing."""
    if stage is not None:
        await replace(harness, paused=frozenset([stage])).attempt()


async def published(harness: Harness) -> Output:
    job = await harness.attempt()
    assert job["status"] == "DONE", job
    return (await harness.checkpoints())["publish"]


@pytest.mark.parametrize("stage", [None, "image"])
async def test_a_post_made_after_the_dump_is_published_once(
    harness: Harness, dump: Dump, restore: Any, stage: str | None
):
    """Also if the text is written again, under another title: the draft has the mark of its job."""
    await stopped_before(harness, stage)
    backup = await to_thread.run_sync(dump)
    before = await published(harness)
    predictions = await harness.calls("replicate", "predictions.create")
    assert await harness.calls("wix", "drafts.list") == 0, "without a loss the site is not searched"

    after = await published(again := await restore(backup))

    assert after["wix_post_id"] == before["wix_post_id"]
    assert (after["published"], after["url"]) == (True, before["url"])
    assert [post["id"] for post in await harness.room.posts(SITE)] == [before["wix_post_id"]]
    assert await harness.calls("wix", "drafts.create") == 1
    if stage is not None:  # with another text the picture has to be another one
        assert await harness.calls("replicate", "predictions.create") == predictions
    assert await again.run("select reason from restores") == [
        {"reason": "the database is a copy: a dump was restored, or its rows were replicated logically"}
    ]


async def test_an_unpublished_draft_of_the_lost_part_is_published(harness: Harness):
    await harness.room.fault(kind="status", vendor="wix", operation="drafts.publish", status=503)
    assert (await harness.attempt())["status"] in ("PENDING", "SCHEDULED")
    await harness.room.forgive()
    draft = (await harness.checkpoints())["publish.draft"]

    await lose(harness, LOST)

    after = await published(harness)
    assert (after["wix_draft_id"], after["wix_media_id"]) == (draft["id"], draft["media_id"])
    assert await harness.calls("wix", "drafts.create") == await harness.calls("wix", "media.import") == 1


async def test_a_creation_that_may_still_be_under_way_is_waited_for(harness: Harness, monkeypatch: pytest.MonkeyPatch):
    """It was requested in the lost part, and Wix may take half a minute."""
    await stopped_before(harness, "publish")
    await lose(harness)
    monkeypatch.setattr(WixClient, "slowest_draft_s", 600)

    job = await harness.attempt()

    assert (job["status"], job["failures"]) == ("PENDING", 0)
    assert job["error"] == "the database has lost history: waits for a draft that may have been requested"
    monkeypatch.setattr(WixClient, "slowest_draft_s", 0.01)
    assert (await published(harness))["published"] is True
    assert await harness.calls("wix", "drafts.create") == 1


async def test_a_job_that_its_producer_adds_again_finds_its_post(harness: Harness):
    """The job itself was lost. Its producer adds it again to be sure: its key is the same."""
    await harness.run("delete from blog_generations")
    await harness.run(KEYED, SITE, "keyword", "curtains", "spring-1")
    before = await published(harness)

    await lose(harness, "delete from blog_generations", "delete from generation_stages", "delete from blog_posts")
    await harness.run(KEYED, SITE, "keyword", "curtains", "spring-1")
    after = await published(harness)

    assert after["wix_post_id"] == before["wix_post_id"]
    assert len(await harness.room.posts(SITE)) == 1


async def test_a_new_job_does_not_take_the_post_of_another(harness: Harness):
    """Ids are given again after a restore. The mark of a job tells more than its id."""
    [job] = await harness.run("select id from blog_generations")
    await published(harness)

    await lose(harness, "delete from blog_generations", "delete from generation_stages", "delete from blog_posts")
    await harness.run("select setval('blog_generations_id_seq', %s, false)", job["id"])
    assert await harness.add(SITE) == job["id"]
    await published(harness)

    assert len({post["id"] for post in await harness.room.posts(SITE)}) == 2
