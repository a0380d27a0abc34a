"""Everybody at once over the same few sites and jobs."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Json

from blogworker.db.pool import Database
from blogworker.queue.claim import ALL, claim
from blogworker.queue.enqueue import enqueue_many
from blogworker.queue.promote import promote
from blogworker.queue.rescue import MOST, MOST_LONE
from blogworker.queue.validation import NewJob

from .conftest import register
from .locking import PACED, outcome

STORM_SITES = [f"shop{n}" for n in range(6)]
TURNS = 40


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
        """Claim and stop: work for the rescuers."""
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
        """Reserve cost, as attempts do before they pay: some fit their budgets, some pause their site."""
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
