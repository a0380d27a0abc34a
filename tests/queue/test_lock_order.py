"""Who locks what, and who never waits.

Sites are locked by claims, admits and retires, all of which skip what others have locked, and by people; no transaction
locks a site and waits for a job. Quotas are locked one at a time; their upkeep skips locked ones
(tests/quota/test_sites.py).
The order of locks is tested in test_deadlocks.py.
"""

from typing import Any
from uuid import UUID, uuid4

import pytest
from anyio import create_task_group, fail_after
from psycopg.types.json import Json

from blogworker.db.pool import Database
from blogworker.db.sql import query
from blogworker.queue.claim import claim
from blogworker.queue.rescue import MOST, MOST_LONE

from .conftest import register
from .locking import PACED, asked, outcome

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class Stage:
    """One site at its cap and one without, with a job of every kind in each."""

    def __init__(self, psql, database: Database, worker_id: UUID) -> None:
        self.psql, self.database, self.worker_id = psql, database, worker_id
        self.dead = uuid4()

    async def set(self) -> None:
        await self.psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 3), ('free', null)")
        await self.psql.run("insert into sites (instance_id, paused_at, resume_at) values ('due', now(), now())")
        for site in ("capped", "free"):
            await self.psql.insert(site, 1)
        await register(self.database, self.dead, "dead")
        await claim(self.database, self.dead, slots=100, site_window=10)
        await self.psql.run("delete from workers where name = 'dead'")
        for site in ("capped", "free"):
            await self.psql.insert(site, 2)
        await claim(self.database, self.worker_id, slots=100, site_window=10)
        await self.psql.run("update blog_generations set status = 'FAILED' where id in (4, 6)")
        for site in ("capped", "free"):
            await self.psql.insert(site, 1, run_at="2100-01-01Z")
            await self.psql.insert(site, 2)
        await self.psql.run("update blog_generations set run_at = now() where status = 'SCHEDULED'")
        await self.psql.run("insert into site_bills (instance_id, correction) values ('capped', 1), ('free', 1)")

    async def run(self, connection, name: str) -> list[dict[str, Any]]:
        rows = await self.psql.run(
            "select id, attempt from blog_generations where status = 'PROCESSING' and worker_id = %s", self.worker_id
        )
        every = [row["id"] for row in await self.psql.run("select id from blog_generations")]
        parameters = {
            "queue/admit_sites": {"batch": 50, "only": None, "skipped": []},
            "queue/forget_arrivals": {},
            "queue/reconcile_sites": {"batch": 50, "only": None, "skipped": []},
            "queue/claim": asked(self.worker_id),
            "queue/claim paced": asked(self.worker_id, PACED),
            "queue/retire_sites": {"instance_ids": ["capped", "free"], "ahead": 2},
            "queue/promote": {"batch": 100, "only": None, "skipped": []},
            "queue/rescue": {"batch": 100, "most_lone": MOST_LONE, "most": MOST, "only": None, "skipped": []},
            "queue/release_lost_claims": {
                "worker_id": self.worker_id,
                "known": [],
                "older_than_s": -1,
                "only": None,
                "skipped": [],
            },
            "queue/retry": {"job_ids": every, "retry_from": None},
            "ops/prune": {"older_than_s": 0, "batch": 100},
            "spend/check_budgets": {"now": None},
            "queue/settle": {
                "worker_id": self.worker_id,
                "outcomes": Json([outcome(row["id"], row["attempt"], "PENDING") for row in rows]),
            },
        }[name]
        return await (await connection.execute(query(name.split()[0]), parameters)).fetchall()


@pytest.fixture
async def stage(psql, database, claimer, worker_id) -> Stage:
    stage = Stage(psql, database, worker_id)
    await stage.set()
    return stage


# To how many jobs each does its work while another transaction has locked every site.
AT_HELD_SITES = {
    "queue/promote": 2,
    "queue/rescue": 2,
    "queue/release_lost_claims": 2,
    "queue/retry": 2,
    "ops/prune": 2,
    "queue/settle": 2,
}
NEVER_WAIT = [
    "spend/check_budgets",
    "queue/admit_sites",
    "queue/forget_arrivals",
    "queue/reconcile_sites",
    "queue/claim",
    "queue/claim paced",
    "queue/retire_sites",
    "queue/promote",
    "queue/rescue",
    "queue/release_lost_claims",
    "queue/retry",
    "ops/prune",
]


@pytest.mark.parametrize(
    ("name", "held"),
    [
        *((name, held) for name in NEVER_WAIT for held in ("blog_generations", "sites", "site_arrivals", "site_bills")),
        ("queue/settle", "sites"),
        ("queue/settle", "site_arrivals"),
        ("queue/settle", "site_bills"),
    ],
)
async def test_statements_of_keepers_do_not_wait_for_open_transactions(stage, psql, another_psql, name, held):
    """A transaction left open at psql, or a stuck backend, must not stop the fleet."""
    await another_psql.run("begin")
    await another_psql.run(f"select from {held} for no key update")
    await psql.run("set lock_timeout = '1s'")

    rows = await stage.run(psql.connection, name)

    await another_psql.run("rollback")
    if held == "sites" and name in AT_HELD_SITES:
        assert rows[0].get("promoted", rows[0].get("pruned", len(rows))) == AT_HELD_SITES[name]


@pytest.mark.parametrize("locked", ["quotas", "quota_waits", "workers"])
async def test_a_claim_reads_locked_quotas_without_waiting(stage, psql, another_psql, locked):
    """Every round of a limiter locks its bucket's row for a moment; claims would queue up behind the busiest bucket."""
    await psql.run("insert into quotas (name, provider, requests_per_minute) values ('openai/q', 'openai', 60000)")
    await stage.run(psql.connection, "queue/admit_sites")
    await another_psql.run("begin")
    await another_psql.run(f"select from {locked} for update")
    await psql.run("set lock_timeout = '1s'")

    rows = await stage.run(psql.connection, "queue/claim paced")

    assert [row["job_id"] for row in rows if row["job_id"] is not None] != []
    await another_psql.run("rollback")


async def test_paced_claims_wait_for_each_other_and_for_nothing_else(psql, another_psql, database, claimer):
    """Each has to count the jobs that earlier ones took. A claim without quotas does not wait."""
    await psql.insert("shop", 2)
    await another_psql.run("begin")
    await another_psql.connection.execute(query("queue/claim_turn"))

    waited = await claim(database, claimer.worker_id, slots=1, site_window=1, only=PACED)
    free = await claim(database, claimer.worker_id, slots=1, site_window=1)
    await another_psql.run("commit")
    then = await claim(database, claimer.worker_id, slots=1, site_window=1, only=PACED)

    assert (waited.claims, waited.look_again) == ((), True), "it gave up, and comes again within milliseconds"
    assert [len(free.claims), len(then.claims)] == [1, 1]


async def test_a_settle_concurrent_with_a_claim_reopens_its_site(psql, another_psql, database, claimer):
    """The claim finds the site at its cap because of a job that ends meanwhile; nothing else would reopen the site."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 2)")
    await psql.insert("capped", 3)
    (running,) = (await claimer(1)).claims
    await another_psql.run("begin")
    await another_psql.connection.execute(
        query("queue/claim"),
        asked(claimer.worker_id, slots=1),
    )

    await psql.run("set lock_timeout = '1s'")
    await psql.connection.execute(
        query("queue/settle"),
        {"worker_id": claimer.worker_id, "outcomes": Json([outcome(running.job_id, running.attempt)])},
    )
    await another_psql.run("commit")

    assert await psql.value("select at_cap from sites")
    assert await claimer.sites() == ["capped"]
    assert await psql.value("select count(*) from blog_generations where status = 'PROCESSING'") == 2


async def test_a_claim_concurrent_with_an_uncommitted_settle_keeps_the_cap(psql, another_psql, claimer):
    """The job has not ended yet, so the cap applies, and the next claim finds the site."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('capped', 1)")
    await psql.insert("capped", 2)
    await claimer()
    await another_psql.run("begin")
    await another_psql.run("update blog_generations set status = 'DONE' where status = 'PROCESSING'")

    await psql.run("set lock_timeout = '1s'")
    assert await claimer.sites() == []

    await another_psql.run("commit")
    assert await claimer.sites() == ["capped"]


@pytest.mark.parametrize("cap_first", [True, False])
async def test_a_cap_set_while_jobs_end_does_not_leave_the_site_at_its_cap(psql, another_psql, claimer, cap_first):
    """The settle saw no cap, the change saw the running job: together they must not leave the site at its cap."""
    await psql.insert("shop", 3)
    await claimer(1)
    first, second = "update sites set max_in_flight = 1", "update blog_generations set status = 'DONE' where id = 1"
    first, second = (first, second) if cap_first else (second, first)

    await another_psql.run("begin")
    await another_psql.run(first)
    await psql.run(second)
    await another_psql.run("commit")

    assert await claimer.sites() == ["shop"]


PRODUCE = [
    "insert into blog_generations (instance_id, source_type, source_id) values ('shop', 'keyword', 'k')",
    "update blog_generations set status = 'PENDING' where status = 'FAILED'",
]


@pytest.mark.parametrize("produce", PRODUCE)
async def test_a_site_with_uncommitted_jobs_is_not_retired(psql, another_psql, claimer, produce):
    """The retire cannot see the job, but the producer's key share lock stops it."""
    await psql.insert("shop", 2)
    await claimer(1)
    await psql.run("update blog_generations set status = 'FAILED' where status = 'PROCESSING'")
    await psql.run("delete from blog_generations where status = 'PENDING'")
    assert await psql.value("select ready from sites"), "nobody has found it dry yet"

    await another_psql.run("begin")
    await another_psql.run(produce)
    await psql.run("set lock_timeout = '1s'")
    cursor = await psql.connection.execute(query("queue/retire_sites"), {"instance_ids": ["shop"], "ahead": 0})
    open_sites = (await cursor.fetchall())[0]["open"]
    await another_psql.run("commit")

    assert open_sites == 1
    assert await claimer.sites() == ["shop"]


@pytest.mark.parametrize(("produce", "waits"), [(PRODUCE[0], True), (PRODUCE[1], False)], ids=["insert", "update"])
async def test_a_producer_concurrent_with_a_retire_announces_its_site(psql, another_psql, claimer, produce, waits):
    """The site was in the line when the job came, and was let go before the producer could hold it there. Only the
    foreign key of an insert waits."""
    await psql.insert("shop", 2)
    await claimer(1)
    await psql.run("update blog_generations set status = 'FAILED'")
    await another_psql.run("begin")
    await another_psql.connection.execute(query("queue/retire_sites"), {"instance_ids": ["shop"], "ahead": 0})

    with fail_after(10):
        async with create_task_group() as tasks:
            tasks.start_soon(psql.run, produce)
            if waits:
                await another_psql.until_waiting(1)
                await another_psql.run("commit")
    if not waits:
        await another_psql.run("commit")

    assert set(await claimer.sites()) == {"shop"}


async def test_a_claim_skips_locked_rows(psql, another_psql, claimer):
    """Skipped, not waited for, and not lost: the held one is taken when it is let go."""
    await psql.insert("shop", 5)
    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id in (2, 4) for update")

    first = [c.job_id for c in (await claimer()).claims]
    await another_psql.run("rollback")
    second = [c.job_id for c in (await claimer()).claims]

    assert (first, second) == ([1, 3, 5], [2, 4])
