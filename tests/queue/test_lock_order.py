"""Who locks what, in which order, and who never waits.

Jobs are locked in id order by those that wait for them (cancel), and skipped by the others. Sites are locked by
claims, admits and retires, all of which skip what others hold, and by people; nobody holds one and waits for a job.
Quotas are locked one at a time; their upkeep skips what others hold (tests/quota/test_sites.py).
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from anyio import create_task_group, fail_after, move_on_after
from psycopg.types.json import Json

from blogworker.db.pool import Database, connect
from blogworker.db.sql import query
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, Scan, _filter_parameters, claim
from blogworker.queue.enqueue import enqueue_many
from blogworker.queue.promote import promote
from blogworker.queue.rescue import MOST, MOST_LONE
from blogworker.queue.validation import NewJob

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PACING = Pacing(["openai/q"] * 2 + [None] * 3, [0] * 5, [0.0] * 6, patience_s=1.0, site_rpm=600, site_calls=2)
PACED = ClaimFilter(pacing=PACING)
STORM_SITES = [f"shop{n}" for n in range(6)]
TURNS = 40
FORGOTTEN_SITES = """
select s.instance_id
from sites as s
where
    (
        (not s.ready and site_has_pending(s.instance_id))
        or (s.at_cap and (s.max_in_flight is null or site_in_flight(s.instance_id) < s.max_in_flight))
    )
    and not exists (select from site_arrivals as a where a.instance_id = s.instance_id)
"""


def outcome(job_id: int, attempt: int, status: str = "DONE") -> dict[str, object]:
    return {"job_id": job_id, "attempt": attempt, "status": status, "delay_s": 0, "spent": False}


def asked(worker_id: UUID, only: ClaimFilter = ALL, *, slots: int = 100) -> dict[str, Any]:
    """The parameters of a claim."""
    return {"worker_id": worker_id, "slots": slots, "site_window": 10} | _filter_parameters(only, Scan())


async def register(database: Database, worker_id: UUID, name: str) -> None:
    await database.execute(
        "queue/register_worker",
        name=name,
        worker_id=worker_id,
        host="here",
        pid=1,
        version="0",
        concurrency=100,
        lease_s=600,
    )


class Storm:
    """Everybody at once over the same few sites and jobs. Each actor makes its turns and gets something done."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database = database
        self.random = Random(seed)
        self.deadlocks: list[str] = []
        self.idle: set[str] = set()

    async def act(self, name: str, turn: Callable[[], Awaitable[int]]) -> None:
        """Make turns until all actors have made theirs to some effect: one's work is what another one leaves behind."""
        self.idle.add(name)
        turns = 0
        while turns < TURNS or self.idle:
            turns += 1
            try:
                if await turn():
                    self.idle.discard(name)
            except psycopg.errors.DeadlockDetected as error:
                self.deadlocks.append(f"{name}: {error.diag.message_detail} {error.diag.context}")

    def shuffled(self, values: list[Any], count: int) -> list[Any]:
        return self.random.sample(values, min(count, len(values)))

    async def ids(self, *statuses: str) -> list[int]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(
                "select id from blog_generations where status = any (%s)", (list(statuses),)
            )
            return [row["id"] for row in await cursor.fetchall()]

    async def sql(self, text: str) -> int:
        async with self.database.connection() as connection:
            return (await connection.execute(text.encode())).rowcount

    async def work(self, worker_id: UUID) -> int:
        """Claim, by the quotas or without them, then settle in any order and with any outcome, as a batch."""
        passing = self.random.choice([ALL, PACED])
        found = await claim(self.database, worker_id, slots=12, site_window=4, only=passing)
        held = self.shuffled(list(found.claims), 12)
        statuses = self.random.choices(["DONE", "PENDING", "SCHEDULED", "FAILED"], k=len(held))
        outcomes = [
            outcome(c.job_id, c.attempt, status) | {"delay_s": self.random.choice([0, 0.05])}
            for c, status in zip(held, statuses, strict=True)
        ]
        rows = await self.database.rows("queue/settle", worker_id=worker_id, outcomes=Json(outcomes))
        return len(rows)

    async def die(self) -> int:
        """Claim and never come back: work for the rescuers."""
        worker_id = uuid4()
        await register(self.database, worker_id, "mortal")
        return len((await claim(self.database, worker_id, slots=6, site_window=2)).claims)

    async def stray(self, worker_id: UUID) -> int:
        await claim(self.database, worker_id, slots=6, site_window=2)
        rows = await self.database.rows(
            "queue/release_lost_claims", worker_id=worker_id, known=[], older_than_s=-1, only=None, skipped=[]
        )
        return len(rows)

    async def rescue(self) -> int:
        return len(
            await self.database.rows("queue/rescue", batch=10, most_lone=MOST_LONE, most=MOST, only=None, skipped=[])
        )

    async def promote(self) -> int:
        return await promote(self.database)

    async def cancel(self) -> int:
        ids = self.shuffled(await self.ids("PENDING", "SCHEDULED", "PROCESSING"), 8)
        return len(await self.database.rows("queue/cancel", job_ids=ids))

    async def retry(self) -> int:
        ids = self.shuffled(await self.ids("FAILED", "CANCELLED"), 8)
        rows = await self.database.rows("queue/retry", job_ids=ids, retry_from=None)
        return len(rows)

    async def prune(self) -> int:
        pruned: int = (await self.database.one("ops/prune", older_than_s=0.2, batch=5))["pruned"]
        return pruned

    async def enqueue(self) -> int:
        sites = self.shuffled([*STORM_SITES, *(f"new{n}" for n in range(40))], 6)
        blogs = [NewJob(site, "keyword", "k", {}) for site in sites for _ in range(2)]
        return await enqueue_many(self.database, blogs, counts=Counter(blog.instance_id for blog in blogs))

    async def put_off_and_bring_forward(self) -> int:
        """A person moves the time and the stage of what waits."""
        ids = self.shuffled(await self.ids("PENDING", "SCHEDULED"), 6)
        async with self.database.connection() as connection:
            cursor = await connection.execute(
                "update blog_generations set run_at = now() + mod(id, 2) * interval '50 ms', stage = 'content' "
                "where status in ('PENDING', 'SCHEDULED') and id in ("
                "select id from blog_generations where id = any (%s) order by id for update)",
                (ids,),
            )
            return cursor.rowcount

    async def insert_by_hand(self) -> int:
        values = ", ".join(f"('{site}', 'keyword', 'k')" for site in self.shuffled(STORM_SITES, 6))
        return await self.sql(f"insert into blog_generations (instance_id, source_type, source_id) values {values}")

    async def ask(self, worker_id: UUID) -> int:
        """As attempts do before they pay: some fit their budgets, some shut their site for a while."""
        found = await claim(self.database, worker_id, slots=6, site_window=2)
        for held in self.shuffled(list(found.claims), 6):
            fence = {"job_id": held.job_id, "attempt": held.attempt, "worker_id": worker_id}
            usd = self.random.choice([0.1, 9])
            await self.database.rows("spend/hold_budget", **fence, usd=usd, now=None)
        outcomes = [outcome(held.job_id, held.attempt, "PENDING") for held in found.claims]
        await self.database.rows("queue/settle", worker_id=worker_id, outcomes=Json(outcomes))
        return len(outcomes)

    async def come_back(self) -> int:
        await self.sql("update sites set budget_day_usd = 5 where instance_id = 'shop1'")
        row = await self.database.one("spend/check_budgets", now=datetime.now(UTC) + timedelta(days=1))
        return row["resumed"]

    async def change_sites(self) -> int:
        """One statement over all sites, which locks them in an order of its own."""
        cap = self.random.choice(["null", "2", "3"])
        order = self.random.choice(["asc", "desc"])
        return await self.sql(
            f"with s as (select instance_id from sites order by instance_id {order} for no key update) "
            f"update sites set max_in_flight = {cap} from s where sites.instance_id = s.instance_id"
        )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, *(pytest.param(more, marks=pytest.mark.proof) for more in (2, 3))])
async def test_no_two_statements_deadlock_whatever_the_order_of_their_rows(database_settings, psql, seed):
    """Deadlocks heal, but each costs a second in which its victims hold everybody else's rows.

    The timeout is longer than what a claim waits at most (db/wait_briefly.sql), as the default of a second is.
    """
    await psql.run(f"alter database {await psql.value('select current_database()')} set deadlock_timeout = '300ms'")
    for site in STORM_SITES:
        await psql.run("insert into sites (instance_id, max_in_flight, budget_day_usd) values (%s, 3, 5)", site)
        await psql.insert(site, 20)
    await psql.run("update fleet_budget set day_usd = 7")
    await psql.run("insert into quotas (name, provider, requests_per_minute) values ('openai/q', 'openai', 60000)")

    async with Database(database_settings) as database:
        storm = Storm(database, seed)
        workers = [uuid4() for _ in range(4)]
        for n, worker_id in enumerate(workers):
            await register(database, worker_id, f"worker{n}")
        with move_on_after(100):
            async with create_task_group() as tasks:
                for worker_id in workers[:3]:
                    tasks.start_soon(storm.act, "work", lambda worker_id=worker_id: storm.work(worker_id))
                tasks.start_soon(storm.act, "stray", lambda: storm.stray(workers[3]))
                tasks.start_soon(storm.act, "ask", lambda: storm.ask(workers[2]))
                for act in (storm.die, storm.change_sites, storm.come_back):
                    tasks.start_soon(storm.act, act.__name__, act)
                for act in (
                    storm.rescue,
                    storm.promote,
                    storm.cancel,
                    storm.retry,
                    storm.prune,
                    storm.enqueue,
                    storm.insert_by_hand,
                    storm.put_off_and_bring_forward,
                ):
                    for _ in range(2):
                        tasks.start_soon(storm.act, act.__name__, act)

        assert storm.idle == set(), "these never had anything to do"
        assert storm.deadlocks == []
        await psql.run("update sites set max_in_flight = null, paused_at = null, capped_until = now()")
        # Those that were held at several deaths are suspects, which wait for a worker of their own.
        await psql.run("update blog_generations set rescues = 0, run_at = now() where status = 'PENDING'")
        while (await claim(database, workers[0], slots=100, site_window=50)).look_again:
            pass
        assert await psql.run(FORGOTTEN_SITES) == []
        assert await psql.value("select count(*) from blog_generations where status = 'PENDING'") == 0


class Stage:
    """One site at its cap and one without, with a blog of every kind in each."""

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


# To how many blogs each does its work while another transaction has locked every site.
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
async def test_a_keepers_statement_waits_for_nobodys_open_transaction(stage, psql, another_psql, name, held):
    """A transaction left open at psql, or a stuck backend, must not stop the fleet."""
    await another_psql.run("begin")
    await another_psql.run(f"select from {held} for no key update")
    await psql.run("set lock_timeout = '1s'")

    rows = await stage.run(psql.connection, name)

    await another_psql.run("rollback")
    if held == "sites" and name in AT_HELD_SITES:
        assert rows[0].get("promoted", rows[0].get("pruned", len(rows))) == AT_HELD_SITES[name]


@pytest.mark.parametrize("locked", ["quotas", "quota_waits", "workers"])
async def test_a_claim_reads_the_quotas_without_waiting_for_who_changes_them(stage, psql, another_psql, locked):
    """Every round of a limiter locks its bucket's row for a moment; claims would queue up behind the busiest bucket."""
    await psql.run("insert into quotas (name, provider, requests_per_minute) values ('openai/q', 'openai', 60000)")
    await stage.run(psql.connection, "queue/admit_sites")
    await another_psql.run("begin")
    await another_psql.run(f"select from {locked} for update")
    await psql.run("set lock_timeout = '1s'")

    rows = await stage.run(psql.connection, "queue/claim paced")

    assert [row["job_id"] for row in rows if row["job_id"] is not None] != []
    await another_psql.run("rollback")


async def test_claims_by_the_quotas_wait_for_each_other_and_for_nothing_else(psql, another_psql, database, claimer):
    """Each has to count what those before it took. A claim without quotas goes by."""
    await psql.insert("shop", 2)
    await another_psql.run("begin")
    await another_psql.connection.execute(query("queue/claim_turn"))

    waited = await claim(database, claimer.worker_id, slots=1, site_window=1, only=PACED)
    free = await claim(database, claimer.worker_id, slots=1, site_window=1)
    await another_psql.run("commit")
    then = await claim(database, claimer.worker_id, slots=1, site_window=1, only=PACED)

    assert (waited.claims, waited.look_again) == ((), True), "it gave up, and comes again within milliseconds"
    assert [len(free.claims), len(then.claims)] == [1, 1]


async def test_a_settle_meets_a_claim_that_counts_its_site(psql, another_psql, database, claimer):
    """The claim finds the site at its cap with a blog that has ended meanwhile; nobody else would ever reopen it."""
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


async def test_a_claim_meets_a_settle_that_is_not_committed(psql, another_psql, claimer):
    """What ends has not ended yet; the cap holds, and the site is there for the next claim."""
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
async def test_a_cap_set_while_blogs_end_leaves_no_site_shut(psql, another_psql, claimer, cap_first):
    """Whoever ended the blog saw no cap, whoever set the cap saw the blog running: it must not stay at its cap."""
    await psql.insert("shop", 3)
    await claimer(1)
    first, second = "update sites set max_in_flight = 1", "update blog_generations set status = 'DONE' where id = 1"
    first, second = (first, second) if cap_first else (second, first)

    await another_psql.run("begin")
    await another_psql.run(first)
    await psql.run(second)
    await another_psql.run("commit")

    assert await claimer.sites() == ["shop"]


async def test_ending_blogs_of_two_sites_does_not_deadlock_with_a_change_of_all_sites(psql, another_psql, claimer):
    """`update sites ...` locks the sites in an order of its own; a settle locks none, and nobody waits."""
    await psql.run("insert into sites (instance_id, max_in_flight) values ('a', 1), ('b', 1)")
    for site in ("a", "b"):
        await psql.insert(site, 2)
    await claimer()
    await psql.run("set lock_timeout = '5s'")

    await another_psql.run("begin")
    await another_psql.run("update sites set weight = 2 where instance_id = 'b'")
    await psql.run("begin")
    await psql.run("update blog_generations set status = 'DONE' where instance_id = 'a' and status = 'PROCESSING'")
    await another_psql.run("set lock_timeout = '5s'")
    await another_psql.run("update sites set weight = 2 where instance_id = 'a'")
    await psql.run("update blog_generations set status = 'DONE' where instance_id = 'b' and status = 'PROCESSING'")
    await psql.run("commit")
    await another_psql.run("commit")

    assert Counter(await claimer.sites()) == {"a": 1, "b": 1}


PRODUCE = [
    "insert into blog_generations (instance_id, source_type, source_id) values ('shop', 'keyword', 'k')",
    "update blog_generations set status = 'PENDING' where status = 'FAILED'",
]


@pytest.mark.parametrize("produce", PRODUCE)
async def test_a_site_is_not_retired_under_what_is_not_committed(psql, another_psql, claimer, produce):
    """The retire cannot see the blog, but meets the key share lock of whoever brings it."""
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
async def test_a_producer_that_meets_a_retire_announces_its_site(psql, another_psql, claimer, produce, waits):
    """The site was in the line when the blog came, and was let go before the producer could hold it there. Only the
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


async def test_a_claim_takes_what_is_free_between_rows_that_are_held(psql, another_psql, claimer):
    """Skipped, not waited for, and not lost: the held one is taken when it is let go."""
    await psql.insert("shop", 5)
    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id in (2, 4) for update")

    first = [c.job_id for c in (await claimer()).claims]
    await another_psql.run("rollback")
    second = [c.job_id for c in (await claimer()).claims]

    assert (first, second) == ([1, 3, 5], [2, 4])


async def test_two_cancels_in_opposite_order_queue_up_at_the_first_row(psql, another_psql, database):
    """Both lock in id order: a third party holds the first row until both wait there, holding nothing."""
    await psql.insert("shop", 20)
    told = []

    async def cancel(ids) -> None:
        told.extend(row["job_id"] for row in await database.rows("queue/cancel", job_ids=ids))

    await another_psql.run("begin")
    await another_psql.run("select from blog_generations where id = 1 for update")
    async with create_task_group() as tasks:
        tasks.start_soon(cancel, list(range(1, 21)))
        tasks.start_soon(cancel, list(range(20, 0, -1)))
        await psql.until_waiting(2)
        await another_psql.run("rollback")

    assert sorted(told) == list(range(1, 21))


async def test_two_statements_that_make_the_same_sites_in_opposite_order_queue_up(psql, database_url, database):
    """A unique index makes the second wait; in one order, nobody waits in a circle."""
    names = [f"shop{n:02}" for n in range(20)]

    async def make(order) -> None:
        await database.execute("queue/create_sites", instance_ids=order)

    async with await connect(database_url, timeout_s=5) as third:
        await third.execute("begin")
        await third.execute("insert into sites (instance_id) values ('shop10')")
        async with create_task_group() as tasks:
            tasks.start_soon(make, names)
            tasks.start_soon(make, names[::-1])
            await psql.until_waiting(2)
            await third.execute("rollback")

    assert await psql.value("select count(*) from sites") == 20
