"""The producers of a chaos experiment, and a record of the jobs that they submitted.

initial      before the faults, in bulk: the same number for each site
function     `enqueue_blog` through the proxy, repeated with its idempotency key until it succeeds
INSERT       plain statements, some of them in one long transaction
operator     resets FAILED jobs to PENDING, and deletes some that have not started
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import TypeVar

import psycopg
from anyio import create_task_group, fail_after, sleep
from psycopg_pool import PoolTimeout

from blogworker.bench.chaos.plan import Plan
from blogworker.db.pool import Database, Runner
from blogworker.db.retrying import is_transient
from blogworker.errors import QueueFull
from blogworker.queue.enqueue import enqueue, enqueue_many
from blogworker.queue.validation import NewJob

T = TypeVar("T")

SITE = "chaos-site-"  # prefix of every site without poisoned rows
INITIAL, BY_FUNCTION, LONG_TRANSACTION = 0.4, 0.3, 0.1  # fractions of all jobs; the rest are plain INSERTs
DELETED = 0.03  # fraction of the plain INSERTs
RETRY_S = 0.3
TIMEOUT_S = 5.0
RESET_S = 4.0
SUBJECTS = ("linen curtains", "walnut desk", "stoneware bowl", "wool blanket", "brass lamp", "cedar chest", "jute rug")


class Submissions:
    """The submitted jobs by topic. Each topic is unique, and is stored as `source_id`."""

    def __init__(self, sites: int) -> None:
        self.sites = [f"{SITE}{number}" for number in range(sites)]
        self.accepted: set[str] = set()
        self.unknown: set[str] = set()  # the answer of the database was lost
        self.deleted: set[str] = set()
        self.counts: Counter[str] = Counter()  # by manner
        self._topics = 0

    @property
    def made(self) -> int:
        """The number of topics until now."""
        return self._topics

    def topic(self) -> str:
        """Return a new topic."""
        self._topics += 1
        return f"{SUBJECTS[self._topics % len(SUBJECTS)]} no. {self._topics}"

    def job(self, site: str) -> NewJob:
        """Return a new job whose idempotency key is its topic."""
        topic = self.topic()
        return NewJob(site, "keyword", topic, {}, idempotency_key=topic)


async def enqueue_evenly(database: Database, submissions: Submissions, *, per_site: int) -> list[str]:
    """Enqueue the same number of jobs for each site. Return their topics."""
    jobs = [submissions.job(site) for _ in range(per_site) for site in submissions.sites]
    await enqueue_many(database, jobs, counts=Counter(job.instance_id for job in jobs))
    topics = [str(job.source_id) for job in jobs]
    submissions.accepted.update(topics)
    submissions.counts["in bulk"] += len(jobs)
    return topics


class Producers:
    """`direct` is connected to Postgres, `proxied` through the proxy that has faults."""

    def __init__(self, plan: Plan, direct: Database, proxied: Database) -> None:
        self._plan = plan
        self._direct = direct
        self._proxied = proxied
        self._random = Random(f"{plan.seed} producers")
        self.submissions = Submissions(plan.sites)

    async def enqueue_initial(self) -> list[str]:
        """Enqueue the initial jobs. Return their topics."""
        per_site = max(1, round(self._plan.jobs * INITIAL / self._plan.sites))
        return await enqueue_evenly(self._direct, self.submissions, per_site=per_site)

    async def run(self) -> None:
        """Submit the other jobs, spread over the time of the faults. Return when each has an answer."""
        jobs = self._plan.jobs
        by_function, in_transaction = round(jobs * BY_FUNCTION), max(2, round(jobs * LONG_TRANSACTION))
        by_insert = max(2, jobs - len(self.submissions.accepted) - by_function - in_transaction)
        async with create_task_group() as tasks:
            tasks.start_soon(self._spread, by_function, self._enqueue)
            tasks.start_soon(self._spread, by_insert, self._insert_one)
            tasks.start_soon(self._insert_in_long_transaction, in_transaction)

    async def reset_failed(self) -> None:
        """Reset FAILED jobs every few seconds, forever."""
        while True:
            await sleep(RESET_S)
            rows = await until_success(lambda: self._direct.rows("bench/chaos_reset"))
            self.submissions.counts["FAILED reset to PENDING by hand"] += len(rows)

    async def _spread(self, count: int, submit: Callable[[], Awaitable[None]]) -> None:
        for _ in range(count):
            await submit()
            await sleep(self._random.uniform(0.5, 1.3) * self._plan.seconds / count)

    async def _enqueue(self) -> None:
        job = self.submissions.job(self._site())
        await until_success(lambda: enqueue(self._proxied, job))
        self.submissions.accepted.add(str(job.source_id))
        self.submissions.counts["by enqueue_blog"] += 1

    async def _insert_one(self) -> None:
        topic = self.submissions.topic()
        try:
            await self._insert(self._direct, topic)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            _require_transient(error)
            self.submissions.unknown.add(topic)
            return
        self.submissions.accepted.add(topic)
        self.submissions.counts["by plain INSERT"] += 1
        if self._random.random() < DELETED:
            await self._delete(topic)

    async def _delete(self, topic: str) -> None:
        try:
            with fail_after(TIMEOUT_S):
                row = await self._direct.maybe("bench/chaos_delete", topic=topic)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            _require_transient(error)
            self.submissions.accepted.discard(topic)
            self.submissions.unknown.add(topic)
            return
        if row is not None:
            self.submissions.accepted.discard(topic)
            self.submissions.deleted.add(topic)
            self.submissions.counts["DELETE of a blog that waits"] += 1

    async def _insert_in_long_transaction(self, count: int) -> None:
        """Insert half of the jobs at the start of a transaction and half at its end; start again if it fails."""
        open_s = self._plan.open_transaction_s
        while True:
            topics = [self.submissions.topic() for _ in range(count)]
            try:
                async with self._direct.transaction() as statements:
                    await self._insert_all(statements, topics[::2])
                    await sleep(open_s)
                    await self._insert_all(statements, topics[1::2])
            except (psycopg.Error, PoolTimeout, TimeoutError) as error:
                _require_transient(error)
                self.submissions.unknown.update(topics)
                self.submissions.counts["open transactions broken"] += 1
                await sleep(RETRY_S)
                continue
            self.submissions.accepted.update(topics)
            self.submissions.counts[f"in a transaction open for {open_s:.0f} s"] += count
            return

    async def _insert_all(self, statements: Runner, topics: Iterable[str]) -> None:
        for topic in topics:
            await self._insert(statements, topic)

    async def _insert(self, runner: Runner, topic: str) -> None:
        with fail_after(TIMEOUT_S):
            await runner.execute("bench/chaos_insert", instance_id=self._site(), topic=topic)

    def _site(self) -> str:
        return self._random.choice(self.submissions.sites)


async def until_success(act: Callable[[], Awaitable[T]], *, timeout_s: float = TIMEOUT_S) -> T:
    """Repeat an idempotent act while the database is unavailable or the queue is full. `timeout_s`: of each try."""
    while True:
        try:
            with fail_after(timeout_s):
                return await act()
        except QueueFull:
            pass
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            _require_transient(error)
        await sleep(RETRY_S)


def _require_transient(error: Exception) -> None:
    """Raise the error unless the same statement may succeed later."""
    if not is_transient(error):
        raise error
