"""Those who ask for blogs during the storm, each in a manner of its own, and a ledger of what they were promised.

opening      in bulk, before the storm: the same number for each site
callers      `enqueue_blog`, through the same poor link as the workers, repeated with its key until answered
typists      plain INSERTs, one of them in a transaction that stays open for a minute
operators    reset what FAILED to PENDING, and DELETE what has not begun
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import TypeVar

import psycopg
from anyio import create_task_group, fail_after, sleep
from psycopg_pool import PoolTimeout

from blogworker.bench.chaos.plan import Plan
from blogworker.db.pool import Database, Statements
from blogworker.db.retrying import is_transient
from blogworker.errors import QueueFull
from blogworker.queue.enqueue import enqueue, enqueue_many
from blogworker.queue.validation import NewJob

T = TypeVar("T")

SITE = "chaos-site-"  # begins the name of each innocent site
OPENING = 0.4  # part of all blogs
CALLED = 0.3
HELD_OPEN = 0.1  # the rest is typed
AGAIN_S = 0.3
ANSWER_S = 5.0
RESET_S = 4.0
DELETED = 0.03  # part of the typed
SUBJECTS = ("linen curtains", "walnut desk", "stoneware bowl", "wool blanket", "brass lamp", "cedar chest", "jute rug")


class Ledger:
    """What producers know: a topic is theirs alone, so each blog can be told from all others."""

    def __init__(self, sites: int) -> None:
        self.sites = [f"{SITE}{number}" for number in range(sites)]
        self.accepted: set[str] = set()  # the database said yes
        self.unsure: set[str] = set()  # it was asked to, and its answer was lost
        self.deleted: set[str] = set()
        self.acts: Counter[str] = Counter()
        self._made = 0

    def topic(self) -> str:
        self._made += 1
        return f"{SUBJECTS[self._made % len(SUBJECTS)]} no. {self._made}"

    def blog(self, site: str) -> NewJob:
        topic = self.topic()
        return NewJob(site, "keyword", topic, {}, idempotency_key=topic)


async def in_bulk(database: Database, ledger: Ledger, *, each: int) -> list[str]:
    """The same number of blogs for each site, at once; their topics."""
    blogs = [ledger.blog(site) for _ in range(each) for site in ledger.sites]
    await enqueue_many(database, blogs, counts=Counter(blog.instance_id for blog in blogs))
    topics = [str(blog.source_id) for blog in blogs]
    ledger.accepted.update(topics)
    ledger.acts["in bulk"] += len(blogs)
    return topics


class Producers:
    """`near` is past the link, `far` behind it."""

    def __init__(self, plan: Plan, near: Database, far: Database) -> None:
        self._plan = plan
        self._near = near
        self._far = far
        self._random = Random(f"{plan.seed} producers")
        self.ledger = Ledger(plan.sites)

    async def open(self) -> list[str]:
        """The opening blogs; their topics."""
        return await in_bulk(self._near, self.ledger, each=max(1, round(self._plan.blogs * OPENING / self._plan.sites)))

    async def produce(self) -> None:
        """All the others, spread over the storm; ends when each was answered."""
        blogs = self._plan.blogs
        called, held = round(blogs * CALLED), max(2, round(blogs * HELD_OPEN))
        typed = max(2, blogs - len(self.ledger.accepted) - called - held)
        async with create_task_group() as tasks:
            tasks.start_soon(self._spread, called, self._call)
            tasks.start_soon(self._spread, typed, self._type)
            tasks.start_soon(self._hold_open, held)

    async def operate(self) -> None:
        """Reset what failed, for ever."""
        while True:
            await sleep(RESET_S)
            rows = await until_answered(lambda: self._near.rows("bench/chaos_reset"))
            self.ledger.acts["FAILED reset to PENDING by hand"] += len(rows)

    async def _spread(self, count: int, act: Callable[[], Awaitable[None]]) -> None:
        for _ in range(count):
            await act()
            await sleep(self._random.uniform(0.5, 1.3) * self._plan.seconds / count)

    async def _call(self) -> None:
        blog = self.ledger.blog(self._site())
        await until_answered(lambda: enqueue(self._far, blog))
        self.ledger.accepted.add(str(blog.source_id))
        self.ledger.acts["by enqueue_blog"] += 1

    async def _type(self) -> None:
        topic = self.ledger.topic()
        try:
            await self._insert(self._near, self._site(), topic)
        except (psycopg.OperationalError, PoolTimeout, TimeoutError):
            self.ledger.unsure.add(topic)
            return
        self.ledger.accepted.add(topic)
        self.ledger.acts["by plain INSERT"] += 1
        if self._random.random() < DELETED:
            await self._delete(topic)

    async def _delete(self, topic: str) -> None:
        try:
            with fail_after(ANSWER_S):
                row = await self._near.maybe("bench/chaos_delete", topic=topic)
        except (psycopg.OperationalError, PoolTimeout, TimeoutError):
            self.ledger.accepted.discard(topic)
            self.ledger.unsure.add(topic)
            return
        if row is not None:
            self.ledger.accepted.discard(topic)
            self.ledger.deleted.add(topic)
            self.ledger.acts["DELETE of a blog that waits"] += 1

    async def _hold_open(self, count: int) -> None:
        """Half of the blogs at the beginning of the transaction, half at its end; begun again whenever it is broken."""
        while True:
            topics = [self.ledger.topic() for _ in range(count)]
            try:
                async with self._near.transaction() as statements:
                    await self._insert_all(statements, topics[::2])
                    await sleep(self._plan.open_transaction_s)
                    await self._insert_all(statements, topics[1::2])
            except (psycopg.OperationalError, PoolTimeout):
                self.ledger.unsure.update(topics)
                self.ledger.acts["open transactions broken"] += 1
                await sleep(AGAIN_S)
                continue
            self.ledger.accepted.update(topics)
            self.ledger.acts[f"in a transaction open for {self._plan.open_transaction_s:.0f} s"] += count
            return

    async def _insert_all(self, statements: Statements, topics: Iterable[str]) -> None:
        for topic in topics:
            await self._insert(statements, self._site(), topic)

    async def _insert(self, runner: Database | Statements, site: str, topic: str) -> None:
        with fail_after(ANSWER_S):
            await runner.execute("bench/chaos_insert", instance_id=site, topic=topic)

    def _site(self) -> str:
        return self._random.choice(self.ledger.sites)


async def until_answered(act: Callable[[], Awaitable[T]], *, within_s: float = ANSWER_S) -> T:
    """Ask again while the database is away, or the queue is full: fit for what may be repeated."""
    while True:
        try:
            with fail_after(within_s):
                return await act()
        except QueueFull:
            pass
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            if not is_transient(error):
                raise
        await sleep(AGAIN_S)
