"""Rescue: jobs of dead workers are requeued, and no others."""

from collections import Counter

import psycopg
import pytest
from anyio import create_task_group, fail_after

from blogworker.queue.rescue import (
    LOST_AFTER_S,
    MOST,
    MOST_LONE,
    FormerLease,
    claim_suspect,
    release_lost_claims,
    rescue,
    take_back,
)
from blogworker.queue.unclaimable import fail_unclaimable

pytestmark = pytest.mark.anyio


async def die(psql) -> None:
    await psql.run("update workers set lease_until = now() - interval '1 second'")


async def live(psql) -> None:
    await psql.run("update workers set lease_until = now() + interval '10 minutes'")


async def test_a_dead_workers_jobs_are_ready_again(psql, database, claimer):
    await psql.insert("shop", 3)
    await claimer()
    await die(psql)

    rescued = await rescue(database)

    jobs = await psql.run("select * from blog_generations")
    assert (rescued.workers, rescued.jobs, rescued.failed) == (("test",), 3, 0)
    assert {(j["status"], j["rescues"], j["failures"], j["attempt"], j["worker_id"]) for j in jobs} == {
        ("PENDING", 1, 0, 1, None)
    }
    await live(psql)
    assert [c.attempt for c in (await claimer()).claims] == [2, 2, 2]


async def test_a_worker_whose_name_was_taken_is_named_by_its_id(psql, database, claimer):
    """A new incarnation has the name, so the name would not identify the dead worker."""
    await psql.insert("shop", 1)
    await claimer()
    (job,) = await psql.run("select worker_id from blog_generations")
    await psql.run("update workers set worker_id = gen_random_uuid()")

    assert (await rescue(database)).workers == (str(job["worker_id"]),)


async def test_a_live_workers_jobs_are_never_taken(psql, database, claimer):
    """However long they take: the lease says that the worker lives."""
    await psql.insert("shop", 3)
    await claimer()
    await psql.run("set session_replication_role = replica")
    await psql.run("update blog_generations set claimed_at = now() - interval '1 day'")
    await psql.run(
        "insert into workers (name, worker_id, host, pid, version, concurrency, lease_until) "
        "values ('dead', gen_random_uuid(), 'h', 1, '0', 1, now() - interval '1 day')"
    )

    assert (await rescue(database)).jobs == 0
    assert await psql.value("select count(*) from blog_generations where status = 'PROCESSING'") == 3


async def test_a_rescue_is_recorded_in_the_errors_of_the_job(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await die(psql)

    await rescue(database)

    (error,) = await psql.run("select * from generation_errors")
    assert (error["kind"], error["attempt"], error["stage"], error["retryable"]) == ("LeaseLost", 1, "source", True)
    assert error["message"] == (await psql.job())["error"] == "its worker died or lost the database while holding it"


async def claim_alone(database, worker_id) -> int:
    taken = await claim_suspect(database, worker_id, None)
    assert taken is not None
    return taken.job_id


async def rest_over(psql) -> None:
    async with psql.connection.transaction():
        await psql.run("set local session_replication_role = replica")
        await psql.run("update blog_generations set run_at = now() where status = 'PENDING' and run_at > now()")
    await psql.run("update blog_generations set line = 0 where status = 'PENDING' and line is null")


async def test_a_job_held_at_two_deaths_leaves_the_line(psql, database, claimer):
    """No worker that runs other jobs claims it again."""
    await psql.insert("shop", 3)
    for _ in range(2):
        await live(psql)
        assert len((await claimer()).claims) == 3
        await die(psql)
        await rescue(database)
    await live(psql)

    assert (await claimer()).claims == ()
    assert {row["line"] for row in await psql.run("select line from blog_generations")} == {-1}
    assert await psql.value("select count(*) from v_waiting where kind = 'suspect'") == 3
    assert await claim_alone(database, claimer.worker_id) == 1
    assert await claim_suspect(database, claimer.worker_id, None) is None  # one at a time


async def test_a_suspect_that_finishes_a_stage_is_cleared(psql, database, claimer):
    await psql.insert("shop", 2)
    for _ in range(2):
        await live(psql)
        await claimer()
        await die(psql)
        await rescue(database)
    await live(psql)
    job_id = await claim_alone(database, claimer.worker_id)
    await psql.run("update blog_generations set rescues = 0, lone_rescues = 0, stage = 'ideas' where id = %s", job_id)
    await psql.run("update blog_generations set status = 'PENDING' where id = %s", job_id)

    assert [c.job_id for c in (await claimer()).claims] == [job_id]


async def test_only_a_job_that_kills_its_worker_alone_fails(psql, database, claimer):
    """Otherwise one poisonous job stops the whole fleet, worker by worker, or the jobs beside it fail too."""
    await psql.insert("shop", 3)
    for _ in range(2):
        await live(psql)
        await claimer()
        await die(psql)
        assert (await rescue(database)).failed == 0
    failed = 0
    for _ in range(MOST_LONE):
        await live(psql)
        await rest_over(psql)
        await psql.run("update blog_generations set status = 'CANCELLED' where id > 1 and status = 'PENDING'")
        assert await claim_alone(database, claimer.worker_id) == 1
        await die(psql)
        failed += (await rescue(database)).failed

    job = await psql.job()
    assert failed == 1
    assert (job["status"], job["rescues"], job["lone_rescues"], job["failures"]) == ("FAILED", 5, 3, 0)
    assert "its worker died 5 times while holding it, the last time while it ran alone" in job["error"]


async def test_a_lone_death_does_not_count_when_other_workers_died_too(psql, database, claimer):
    """Something kills every worker, whatever jobs it runs."""
    await psql.insert("shop", 2)
    for _ in range(MOST_LONE + 2):
        for job_id in (1, 2):
            await psql.run("update blog_generations set run_at = now() + interval '1 hour' where id <> %s", job_id)
            await psql.run("update blog_generations set status = 'PENDING', run_at = now() where id = %s", job_id)
            await live(psql)
            taken = await claim_suspect(database, claimer.worker_id, None) or (await claimer(1)).claims[0]
            assert taken.job_id == job_id
            await die(psql)
            assert (await rescue(database)).failed == 0

    rows = await psql.run("select status, lone_rescues from blog_generations")
    assert not {row["status"] for row in rows} & {"FAILED", "DONE"}
    assert max(row["lone_rescues"] for row in rows) < MOST_LONE


async def test_two_jobs_that_kill_workers_both_fail(psql, database, claimer):
    """Each explains the deaths of the other, so the total number of deaths decides."""
    await psql.insert("shop", 2)
    for _ in range(2 * MOST + 2):
        await rest_over(psql)
        await live(psql)
        if await claim_suspect(database, claimer.worker_id, None) or (await claimer(1)).claims:
            await die(psql)
            await rescue(database)

    assert {row["status"] for row in await psql.run("select status from blog_generations")} == {"FAILED"}


async def test_a_suspect_that_died_alone_rests_before_it_runs_again(psql, database, claimer):
    await psql.insert("shop", 1)
    rests = []
    for _ in range(4):
        await rest_over(psql)
        await live(psql)
        await (claim_suspect(database, claimer.worker_id, None) if rests[1:] else claimer())
        await die(psql)
        await rescue(database)
        rests.append(await psql.value("select extract(epoch from run_at - now())::float8 from blog_generations"))
        await psql.run("update blog_generations set lone_rescues = 0")

    assert rests[0] <= 0  # anybody's worker may die once
    assert rests[1] < rests[2] < rests[3] <= 60


async def test_a_suspect_that_died_beside_others_rests_only_after_many_deaths(psql, database, claimer):
    """While workers are killed every few seconds, long rests would keep suspects from finishing a stage in between."""
    await psql.insert("shop", 2)
    await psql.run("update blog_generations set run_at = now() + interval '1 hour' where id = 2")
    rests = []
    for _ in range(11):
        await psql.run(
            "update blog_generations set run_at = now() where id = 1 and status = 'PENDING' and run_at > now()"
        )
        await live(psql)
        await (claim_suspect(database, claimer.worker_id, None) if rests[1:] else claimer())
        await die(psql)
        await psql.run(
            "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
            "values (2, 1, 'ideas', 'LeaseLost', 'its worker died', true)"
        )
        await rescue(database)
        rests.append(
            await psql.value("select extract(epoch from run_at - now())::float8 from blog_generations where id = 1")
        )

    assert max(rests[:7]) <= 1
    assert 1 < rests[8] < rests[9] < rests[10] <= 60


async def test_a_lost_lease_of_a_live_process_does_not_count_against_its_jobs(psql, database, claimer):
    """A database that was away for longer than a lease has killed nobody."""
    await psql.insert("shop", 4)
    held = tuple((c.job_id, c.attempt) for c in (await claimer(3)).claims)
    await die(psql)
    async with psql.connection.transaction():
        await psql.run("select from blog_generations where id = 1 for update")
        await rescue(database)  # another worker was sooner, but for one of them
    freed = await take_back(database, FormerLease(claimer.worker_id, held))

    rows = await psql.run("select status, rescues, line, failures from blog_generations order by id")
    assert freed == 3
    assert {tuple(row.values()) for row in rows} == {("PENDING", 0, 0, 0)}


async def test_jobs_that_others_lost_are_not_requeued_with_them(psql, database, claimer):
    await psql.insert("shop", 2)
    held = tuple((c.job_id, c.attempt + 1) for c in (await claimer(1)).claims)  # of a later attempt
    await die(psql)
    await rescue(database)

    assert await take_back(database, FormerLease(claimer.worker_id, held)) == 0
    assert (await psql.job())["rescues"] == 1


async def test_a_job_that_another_worker_has_ended_is_not_touched(psql, database, claimer):
    await psql.insert("shop")
    held = tuple((c.job_id, c.attempt) for c in (await claimer()).claims)
    await die(psql)
    await rescue(database)
    await psql.run("update blog_generations set status = 'CANCELLED'")
    before = await psql.run("select ctid, * from blog_generations")

    assert await take_back(database, FormerLease(claimer.worker_id, held)) == 0
    assert await psql.run("select ctid, * from blog_generations") == before


async def test_concurrent_rescuers_take_each_job_once(psql, database, claimer):
    """Every worker rescues; a job counted twice would fail before its time."""
    await psql.insert("shop", 60)
    await claimer(100, 100)
    await die(psql)
    taken: Counter[int] = Counter()

    async def one() -> None:
        rows = await database.rows("queue/rescue", batch=20, most_lone=MOST_LONE, most=MOST, only=None, skipped=[])
        taken.update(row["job_id"] for row in rows)

    async with create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(one)
    await rescue(database)

    assert await psql.value("select count(*) from blog_generations where rescues = 1") == 60
    assert set(taken.values()) == {1}


async def test_a_rescue_does_not_wait_for_a_job_that_is_being_settled(psql, database, claimer):
    """The transaction that locked the row decides; a rescue continues with other jobs."""
    await psql.insert("shop", 2)
    await claimer()
    await die(psql)
    await psql.run("begin")
    await psql.run("select from blog_generations where id = 1 for update")

    with fail_after(5):
        assert (await rescue(database)).jobs == 1

    await psql.run("rollback")
    assert (await rescue(database)).jobs == 1


async def test_a_rescue_frees_the_sites_cap(psql, database, claimer):
    """A dead worker must not keep its sites at their cap."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1)")
    await psql.insert("capped", 2)
    await claimer()
    await die(psql)
    await rescue(database)
    await live(psql)

    assert await claimer.sites() == ["capped"]


async def test_a_rescue_does_not_requeue_a_cancelled_job(psql, database, claimer):
    await psql.insert("shop", 1)
    await claimer()
    await database.rows("queue/cancel", job_ids=[1])
    await die(psql)

    await rescue(database)

    assert (await psql.job())["status"] == "CANCELLED"


async def test_a_worker_releases_claims_that_it_does_not_know(psql, database, claimer):
    """A claim was committed and its answer lost: the lease is still extended, so no rescue would requeue the jobs."""
    await psql.insert("shop", 4)
    await claimer(3)
    async with psql.connection.transaction():
        await psql.run("set local session_replication_role = replica")
        await psql.run(
            "update blog_generations set claimed_at = now() - make_interval(secs => %s) where id in (1, 2)",
            LOST_AFTER_S + 1,
        )
        await psql.run(
            "update blog_generations set status = 'PROCESSING', worker_id = gen_random_uuid(), "
            "claimed_at = now() - interval '1 day' where id = 4"
        )

    released = await release_lost_claims(database, claimer.worker_id, known=[2])

    rows = await psql.run("select id, status, failures from blog_generations order by id")
    assert released == 1
    assert [(row["id"], row["status"], row["failures"]) for row in rows] == [
        (1, "PENDING", 0),
        (2, "PROCESSING", 0),  # known
        (3, "PROCESSING", 0),  # just claimed: the answer may be on its way
        (4, "PROCESSING", 0),  # another worker's
    ]


async def test_a_claim_from_before_a_restore_is_released_at_once(psql, database, claimer):
    """The worker has ended these jobs in the lost history, so no answer is on its way."""
    await psql.insert("shop", 2)
    await claimer(1)
    await psql.run("insert into restores (since, reason) values (now(), 'a standby was promoted')")
    await claimer(1)

    released = await release_lost_claims(database, claimer.worker_id, known=[])

    rows = await psql.run("select status from blog_generations order by id")
    assert (released, [row["status"] for row in rows]) == (1, ["PENDING", "PROCESSING"])


async def test_a_suspect_that_cannot_be_claimed_fails_and_the_others_continue(psql, database, claimer):
    """They are claimed one by one, in one order: the first would block all others."""
    await psql.run(
        "create function refuse() returns trigger language plpgsql as $$ begin "
        "if new.source_id = 'k1' and new.status = 'PROCESSING' then raise exception 'no'; end if; return new; end $$"
    )
    await psql.run("create trigger refuse before update on blog_generations for each row execute function refuse()")
    await psql.insert("shop", 2, rescues=2)
    with pytest.raises(psycopg.errors.RaiseException):
        await claim_suspect(database, claimer.worker_id, None)

    ended = await fail_unclaimable(database, 20)

    assert [job.job_id for job in ended] == [1]
    assert await claim_alone(database, claimer.worker_id) == 2


async def test_an_unusable_job_whose_post_is_published_ends_done(psql, database, claimer):
    await psql.insert("shop", 2)
    await psql.run("update blog_generations set stage = 'publish' where id = 1")
    await psql.run(
        "insert into generation_stages (generation_id, stage, output, attempt) "
        "values (1, 'publish.post', '{\"id\": \"p\"}', 1)"
    )

    await database.execute("queue/fail_unclaimable", job_id=1, error="the database refuses to claim it")

    job = await psql.job()
    assert (job["status"], job["error"]) == ("DONE", None)
