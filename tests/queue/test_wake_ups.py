"""Notifications: whatever makes a job claimable wakes an idle worker."""

import pytest

from blogworker.queue.promote import promote
from blogworker.queue.rescue import rescue

from .conftest import dry

pytestmark = pytest.mark.anyio


async def heard(listener) -> int:
    """Notifications until none came for a while."""
    return len([n async for n in listener.connection.notifies(timeout=0.3)])


async def insert(psql, database, claimer) -> None:
    await psql.insert("shop", 1)


async def insert_as_function(psql, database, claimer) -> None:
    await psql.run("select enqueue_blog('shop', 'keyword', 'k')")


async def reset(psql, database, claimer) -> None:
    await psql.run("update blog_generations set status = 'PENDING' where status = 'FAILED'")


async def take_back(psql, database, claimer) -> None:
    await psql.run("update blog_generations set status = 'PENDING' where status = 'PROCESSING'")


async def hand_over(psql, database, claimer) -> None:
    await psql.run("update blog_generations set instance_id = 'idle' where status = 'PENDING'")


async def wake_by_hand(psql, database, claimer) -> None:
    await psql.run("update blog_generations set run_at = now() where status = 'PENDING' and line is null")


async def end_of_a_rest(psql, database, claimer) -> None:
    await psql.run("alter table blog_generations disable trigger guard_line")
    await psql.run("update blog_generations set run_at = now() where instance_id = 'rests'")
    await psql.run("alter table blog_generations enable trigger guard_line")
    assert await promote(database) == 1


async def promote_due(psql, database, claimer) -> None:
    await psql.run("update blog_generations set run_at = now() where status = 'SCHEDULED'")
    await promote(database)


async def rescue_dead(psql, database, claimer) -> None:
    await psql.run("update workers set lease_until = now() - interval '1 second'")
    await rescue(database)


async def resume(psql, database, claimer) -> None:
    await psql.run("update sites set paused_at = null where instance_id = 'paused'")


async def end_at_cap(psql, database, claimer) -> None:
    await psql.run("update blog_generations set status = 'DONE' where instance_id = 'capped' and status = 'PROCESSING'")


async def raise_cap(psql, database, claimer) -> None:
    await psql.run("update sites set max_in_flight = 2 where instance_id = 'capped'")


@pytest.mark.parametrize(
    "way_in",
    [
        insert,
        insert_as_function,
        reset,
        take_back,
        hand_over,
        wake_by_hand,
        end_of_a_rest,
        promote_due,
        rescue_dead,
        resume,
        end_at_cap,
        raise_cap,
    ],
)
async def test_every_way_to_add_a_job_wakes_a_worker(psql, another_psql, database, claimer, way_in):
    """Any statement that makes a job claimable wakes an idle worker before its next poll."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1), ('idle', null)")
    await psql.insert("running", 1)
    await psql.insert("failed", 1)
    await psql.insert("capped", 2)
    await psql.insert("later", 1, run_at="2100-01-01Z")
    await psql.insert("rests", 1)
    await dry(claimer)
    await psql.run("update blog_generations set status = 'FAILED' where instance_id = 'failed'")
    await psql.run("update blog_generations set status = 'PENDING', run_at = '2100-01-01Z' where instance_id = 'rests'")
    await psql.insert("paused", 1)
    await psql.run("update sites set paused_at = now() where instance_id = 'paused'")
    await dry(claimer)
    await another_psql.run("listen blogworker_jobs")

    await way_in(psql, database, claimer)

    assert await heard(another_psql) >= 1


async def test_an_unanswered_notification_is_not_repeated(psql, another_psql, claimer):
    """NOTIFY serialises the commits of producers, so one notification serves all jobs that are added within moments."""
    await another_psql.run("listen blogworker_jobs")
    async with psql.connection.transaction():  # in one go, so that no slow machine stretches the moments
        for n in range(5):
            await psql.insert(f"shop{n}", 1)

    assert await heard(another_psql) == 1
    assert await psql.value("select count(*) from site_arrivals") == 5

    await dry(claimer)
    await psql.insert("shop0", 1)
    assert await heard(another_psql) == 1


async def test_an_old_notification_does_not_suppress_new_ones(psql, another_psql):
    """A notification is lost when no worker listens. It suppresses others for moments only."""
    await psql.insert("shop", 1)
    await psql.run("update site_arrivals set announced_at = announced_at - interval '1 second'")
    await another_psql.run("listen blogworker_jobs")

    await psql.insert("other", 1)

    assert await heard(another_psql) == 1


async def test_a_job_that_was_never_committed_wakes_nobody(psql, another_psql, claimer):
    await another_psql.run("listen blogworker_jobs")

    await psql.run("begin")
    await psql.insert("shop", 1)
    await psql.run("rollback")

    assert await heard(another_psql) == 0
    assert not (await claimer()).look_again
