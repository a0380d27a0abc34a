"""The lease: a worker's right to its jobs, and how it ends."""

import pytest
from anyio import create_task_group, current_time

from blogworker.queue.lease import Lease, LeaseEnded, LeaseTaken
from blogworker.queue.rescue import rescue

pytestmark = pytest.mark.anyio


def lease_of(database, name: str = "host/1", lease_s: float = 15) -> Lease:
    return Lease(database, name=name, lease_s=lease_s, concurrency=50)


async def extend(lease: Lease) -> None:
    await lease.extend(in_flight=3, draining=True, stats={"done": 7})


async def test_an_extension_lasts_a_whole_lease_from_now(database, psql):
    lease = lease_of(database)
    await lease.begin()
    await psql.run("update workers set lease_until = now() + interval '1 second'")

    await extend(lease)

    (worker,) = await psql.run("select *, extract(epoch from lease_until - now()) as left_s from workers")
    assert 10 < worker["left_s"] <= 15
    assert (worker["in_flight"], worker["draining"], worker["stats"]) == (3, True, {"done": 7})


async def test_the_worker_stops_trusting_its_lease_before_the_database_does(database):
    """Counted from before the extension was sent: a slow answer makes the trust shorter, never longer."""
    lease = lease_of(database, lease_s=15)
    before = current_time()

    await lease.begin()
    after_begin = lease.good_until
    await extend(lease)

    assert before + 12.9 <= after_begin <= current_time() + 13
    assert after_begin <= lease.good_until <= current_time() + 13


async def test_a_lease_that_ended_cannot_be_extended(database, psql):
    """Other workers may have its jobs already: an extension would run them twice."""
    lease = lease_of(database)
    await lease.begin()
    await psql.run("update workers set lease_until = now() - interval '1 millisecond'")

    with pytest.raises(LeaseEnded) as ended:
        await extend(lease)
    assert not isinstance(ended.value, LeaseTaken)


async def test_an_extension_returns_the_cancelled_jobs(database, psql, claimer):
    """A running job is stopped within one extension, and nobody else's with it."""
    await psql.insert("shop", 3)
    await claimer(2)
    await database.rows("queue/cancel", job_ids=[1, 3])
    lease = lease_of(database)
    lease.worker_id = claimer.worker_id

    assert await lease.extend(in_flight=2, draining=False, stats={}) == [1]
    assert (await psql.job(3))["status"] == "CANCELLED"


async def test_extensions_are_sent_one_after_the_other(database, monkeypatch):
    """Concurrent extensions do not add load to a slow database."""
    lease = lease_of(database)
    await lease.begin()
    send, on_their_way, seen = database.maybe, 0, []

    async def counted(name: str, **parameters: object):
        nonlocal on_their_way
        on_their_way += 1
        seen.append(on_their_way)
        try:
            return await send(name, **parameters)
        finally:
            on_their_way -= 1

    monkeypatch.setattr(database, "maybe", counted)
    async with create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(extend, lease)

    assert seen == [1, 1, 1]


async def test_a_new_incarnation_fences_the_old_one_out(database, psql):
    """A restarted unit keeps its name; a twin that still runs must notice."""
    old, new = lease_of(database), lease_of(database)
    assert not (await old.begin()).replaced

    registration = await new.begin()

    assert registration.replaced
    with pytest.raises(LeaseTaken):
        await extend(old)
    await extend(new)
    assert await psql.value("select count(*) from workers") == 1


async def test_the_jobs_of_the_old_incarnation_are_free_at_once(database, psql, claimer):
    """A crashed worker is back in two seconds; its jobs must not wait out the lease."""
    await psql.insert("shop", 2)
    await claimer()

    await lease_of(database, name="test").begin()

    assert (await rescue(database)).jobs == 2


async def test_a_name_whose_lease_ended_can_be_taken(database, psql):
    old, new = lease_of(database), lease_of(database)
    await old.begin()
    await psql.run("update workers set lease_until = now() - interval '1 second'")

    assert not (await new.begin()).replaced


async def test_the_end_of_an_old_incarnation_does_not_affect_the_new_one(database):
    old, new = lease_of(database), lease_of(database)
    await old.begin()
    await new.begin()

    await old.end()

    await extend(new)


async def test_a_worker_that_leaves_frees_its_jobs(database, psql, claimer):
    await psql.insert("shop", 1)
    await claimer()

    await database.execute("queue/end_lease", worker_id=claimer.worker_id)

    assert (await rescue(database)).jobs == 1
    assert (await psql.job())["status"] == "PENDING"
