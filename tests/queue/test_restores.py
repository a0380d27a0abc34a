"""How the database notices that it has lost history."""

from datetime import UTC, datetime, timedelta

import pytest
from anyio import create_task_group
from structlog.testing import capture_logs

from blogworker.ops.restores import reconcile_restore
from blogworker.queue.restores import RestoreWatch

pytestmark = pytest.mark.anyio

PROMOTED = """
    update database_history set timeline = 0, written_by = pg_current_xact_id(), seen_at = '2026-01-01Z'
"""


async def note(psql, remembered=None):
    (row,) = await psql.run("select * from note_restore(%s)", remembered)
    return row


async def added(psql, **columns):
    await psql.insert("shop", 1, **columns)
    return await psql.value("select max(id) from blog_generations")


def later(place: str) -> str:
    """The same place with more of the write-ahead log."""
    system, timeline, _ = place.split()
    return f"{system} {timeline} FFFFFF/0"


async def test_a_database_that_continues_has_lost_nothing(psql):
    place = (await note(psql))["place"]
    await psql.run("vacuum (freeze) database_history")
    await psql.run("vacuum full database_history")

    assert (await note(psql, place))["noted"] is False
    assert await psql.value("select count(*) from restores") == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("timeline = 0, written_by = pg_current_xact_id()", "timeline 0 has become 1: a standby was promoted"),
        ("system_identifier = 1, written_by = pg_current_xact_id()", "the server is another one"),
        ("written_by = '7'", "the database is a copy"),
    ],
)
async def test_another_server_timeline_or_copy_is_noted_once(psql, change, reason):
    await note(psql)
    await psql.run(f"update database_history set seen_at = '2026-01-01Z', {change}")

    first, second = await note(psql), await note(psql)

    assert (first["noted"], second["noted"], first["since"]) == (True, False, datetime(2026, 1, 1, tzinfo=UTC))
    assert reason in first["reason"]
    assert await psql.value("select count(*) from restores") == 1


async def test_a_disk_that_was_set_back_is_noted_by_a_worker_that_remembers(psql):
    """A snapshot of a volume has the same identifier and timeline, and a shorter write-ahead log."""
    place = (await note(psql))["place"]
    assert (await note(psql, place))["noted"] is False

    found = await note(psql, later(place))

    assert found["noted"]
    assert "older than a worker remembers" in found["reason"]


async def test_a_former_primary_is_noted(psql):
    """It was started again after a failover: workers remember a later timeline."""
    system, timeline, lsn = (await note(psql))["place"].split()

    assert (await note(psql, f"{system} {int(timeline) + 1} {lsn}"))["noted"]


async def test_places_of_another_server_are_not_compared(psql):
    place = (await note(psql))["place"]

    assert (await note(psql, f"1 9 {place.split()[2]}"))["noted"] is False


async def test_an_open_transaction_delays_nobody(psql, another_psql):
    """Whoever has the row locked: jobs that start meanwhile must know of the loss all the same."""
    await note(psql)
    job = await added(psql)
    await psql.run(PROMOTED)
    async with another_psql.connection.transaction():
        await another_psql.run("select from database_history for update")
        await psql.run("set lock_timeout = '1s'")

        (origin,) = await psql.run("select * from job_origin(%s, null)", job)

    assert origin["since"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert origin["found_at"] is not None


EMPTIED = "delete from database_history"


@pytest.mark.parametrize("loss", [PROMOTED, EMPTIED])
async def test_many_workers_note_one_restore(database, psql, loss):
    """Also a worker that read the history before another one noted the restore, and locks it after that."""
    await note(psql)
    watches = [RestoreWatch() for _ in range(8)]
    for rounds in range(1, 31):
        await psql.run(loss)

        async with create_task_group() as tasks:
            for watch in watches:
                tasks.start_soon(watch.check, database)

        assert await psql.value("select count(*) from restores") == rounds
    assert all(watch.latest is not None for watch in watches)


async def test_each_worker_logs_it(database, psql):
    first, second = RestoreWatch(), RestoreWatch()
    await first.check(database)
    await second.check(database)
    await psql.run(PROMOTED)

    with capture_logs() as logs:
        for watch in (first, second, first, second):
            await watch.check(database)

    assert [entry["event"] for entry in logs] == ["restore_found", "restore_found"]


async def test_only_jobs_that_may_have_lost_work_are_in_doubt(psql):
    """Jobs added after it have lost nothing, unless their producer repeats what was lost."""
    old = await added(psql)
    await note(psql)
    await psql.run(PROMOTED)
    await note(psql)
    new = await added(psql)
    repeated = await added(psql, idempotency_key="k")

    doubted = [
        job
        for job in (old, new, repeated)
        if (await psql.value("select since from job_origin(%s, null)", job)) is not None
    ]

    assert doubted == [old, repeated]
    marks = {await psql.value("select mark from job_origin(%s, null)", job) for job in (old, new, repeated)}
    assert len(marks) == 3


async def test_a_restore_is_noted_by_hand_with_its_audit(database, psql):
    await psql.insert("shop", 3)
    since = datetime.now(UTC) - timedelta(hours=1)

    found = await reconcile_restore(database, since=since)

    assert (found.noted, found.since, found.open_jobs) == (True, since, 3)
    assert await psql.value("select action from audit") == "restore.note"
    job = await psql.value("select min(id) from blog_generations")
    assert await psql.value("select since from job_origin(%s, null)", job) == since


async def test_sequences_that_are_behind_are_advanced(database, psql):
    """Logical replication copies rows and no sequences: the next insert would fail."""
    await psql.insert("shop", 5)
    await psql.run("select setval('blog_generations_id_seq', 1, false)")

    found = await reconcile_restore(database)

    assert [name.rpartition(".")[2] for name in found.sequences] == ["blog_generations_id_seq"]
    assert await added(psql) == 6
    assert (await reconcile_restore(database)).sequences == {}


async def test_only_a_text_from_before_the_loss_may_have_a_picture(psql):
    """After a failover, jobs whose text is written now must not each search the whole list of predictions."""
    kept, written_again = await added(psql), await added(psql)
    store = "insert into generation_stages (generation_id, stage, output, attempt) values (%s, 'content', '{}', 1)"
    await note(psql)
    await psql.run(store, kept)
    await psql.run(PROMOTED)
    await note(psql)
    await psql.run(store, written_again)

    survived = {
        job: await psql.value("select text_survived from job_origin(%s, null)", job) for job in (kept, written_again)
    }

    assert survived == {kept: True, written_again: False}
