"""Producers may write any value of the columns: the database refuses it, or the rest of the system handles it."""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from anyio import create_task_group
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from blogworker.cli.output import _plain
from blogworker.cli.queue import _job_parts, _status_tables
from blogworker.db.pool import Database
from blogworker.db.sql import sql_dir
from blogworker.ops.jobs import JobFilter, list_jobs, show_job
from blogworker.ops.status import fleet_status
from blogworker.post.site import usable
from blogworker.queue.admit import Reopening
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, Scan, claim
from blogworker.queue.job import Claim, Done, Failure, Outcome, PauseSite, Reject
from blogworker.queue.promote import promote
from blogworker.queue.reconcile import reconcile
from blogworker.queue.rescue import claim_suspect, rescue
from blogworker.queue.settle import Settler
from blogworker.settings import DatabaseSettings
from blogworker.stages.checkpoint import load

from .any_value import Write, writes

EXAMPLES = 500 if settings.default.max_examples >= 300 else 50  # `make search`, and `make test`
ROUNDS = 40  # of claims, at most, until nothing is left
PLAIN = ("plain 1", "plain 2", "plain 3")
PACED = ClaimFilter(
    pacing=Pacing(
        [None, "openai/a", "openai/a", "replicate/predictions", None],
        [0, 2_000, 4_000, 0, 0],
        [0.0, 1.0, 5.0, 20.0, 30.0, 40.0],
        5.0,
        200,
        8,
    )
)
VIEWS = ("v_waiting", "v_quotas", "v_scale", "site_service", "service_fairness", "spending", "fleet_needs()")
QUESTIONS = [  # of sql/inspect
    question
    for path in Path(str(sql_dir())).glob("inspect/*.sql")
    for question in re.sub(r"^\\echo.*$", "", path.read_text(), flags=re.MULTILINE).split(";\n")
    if "select" in question.lower()
]
COUNTS: Counter[tuple[str, str, str]] = Counter()  # of writes, by way, table and what became of them


@dataclass(repr=False)
class System:
    """One database with a producer on it, and the program's own view of it."""

    url: str
    portal: BlockingPortal
    database: Database
    producer: psycopg.Connection[Any]
    worker_id: UUID = field(default_factory=uuid4)
    written: int = 0

    def write(self, write: Write) -> bool:
        """Do as the producer says. Whether the database took it."""
        self.written += 1
        site = f"odd {self.written}"
        ways = {"insert": self._insert, "copy": self._copy, "update": self._update, "enqueue": self._enqueue}
        try:
            with self.producer.transaction():
                ways[write.way](write, site)
                if write.table == "sites":
                    self._plain_blog(site)
        except psycopg.Error:
            COUNTS[write.way, write.table, "refused"] += 1
            return False
        COUNTS[write.way, write.table, "taken"] += 1
        return True

    def _insert(self, write: Write, site: str) -> None:
        values, types = self._row(write, site)
        columns = ", ".join(values)
        marks = ", ".join(f"%s::{types.get(name, 'text')}" for name in values)
        self._run(f"insert into {write.table} ({columns}) values ({marks})", *values.values())

    def _copy(self, write: Write, site: str) -> None:
        values, _ = self._row(write, site)
        with (
            self.producer.cursor() as cursor,
            cursor.copy(f"copy {write.table} ({', '.join(values)}) from stdin".encode()) as copy,
        ):
            copy.write_row(list(values.values()))

    def _update(self, write: Write, site: str) -> None:
        blog = self._plain_blog(site)
        if write.table == "scheduled_blogs":
            self._run("insert into scheduled_blogs (blog_generation_id, publish_at) values (%s, now())", blog)
        key = {"blog_generations": "id", "sites": "instance_id", "scheduled_blogs": "blog_generation_id"}[write.table]
        changes = ", ".join(f"{name} = %s::{write.types[name]}" for name in write.values)
        self._run(
            f"update {write.table} set {changes} where {key} = %s",
            *write.values.values(),
            site if write.table == "sites" else blog,
        )

    def _enqueue(self, write: Write, site: str) -> None:
        values = {"source_type": "keyword", "source_id": "k"} | write.values
        passed = ", ".join(f"{name} => %s::{write.types[name]}" for name in values)
        self._run(f"select * from enqueue_blog(instance_id => %s, {passed})", site, *values.values())

    def _row(self, write: Write, site: str) -> tuple[dict[str, Any], dict[str, str]]:
        """A row that would be taken, with the values of the write in it."""
        types = dict(write.types)
        match write.table:
            case "blog_generations":
                base = {"instance_id": site, "source_type": "keyword", "source_id": "k"}
            case "sites":
                base = {"instance_id": site}
            case _:
                base = {"blog_generation_id": str(self._plain_blog(site)), "publish_at": "now"}
                types["blog_generation_id"] = "bigint"
        return base | write.values, types

    def _plain_blog(self, site: str) -> int:
        (found,) = self._run(
            "insert into blog_generations (instance_id, source_type, source_id) values (%s, 'keyword', 'k') "
            "returning id",
            site,
        )
        return int(found[0])

    def _run(self, text: str, *parameters: object) -> list[Any]:
        cursor = self.producer.execute(text.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def rows(self, text: str) -> list[Any]:
        return self._run(text)

    async def work(self, only: ClaimFilter, attempted: "Attempts") -> None:
        """A worker's life, without its waits: claim and settle until nothing is left."""
        settler = Settler(self.database, self.worker_id)
        scan = Scan()
        async with create_task_group() as keepers:
            keepers.start_soon(settler.run)
            for _ in range(ROUNDS):
                await promote(self.database)
                found = await claim(self.database, self.worker_id, slots=50, site_window=20, only=only, scan=scan)
                saved = await load(self.database, [c.job_id for c in found.claims])
                async with create_task_group() as jobs:
                    for taken in found.claims:
                        jobs.start_soon(settler.settle, taken, attempted(taken, saved[taken.job_id]))
                if not found.claims and not found.look_again:
                    break
            while (taken := await claim_suspect(self.database, self.worker_id, None)) is not None:
                saved = await load(self.database, [taken.job_id])
                await settler.settle(taken, attempted(taken, saved[taken.job_id]))
            await rescue(self.database)
            await reconcile(self.database)
            await Reopening().run_once(self.database)
            keepers.cancel_scope.cancel()

    async def look(self, job_ids: list[int]) -> None:
        """Everything that an operator reads, drawn as it is drawn for people and written as it is for machines."""
        rows = self.database.rows
        status = await fleet_status(self.database)
        listed = await list_jobs(self.database, JobFilter(), most=1000)
        shown = [found for job_id in job_ids if (found := await show_job(self.database, job_id))]
        others = [await rows(name) for name in ("ops/heartbeat", "spend/spending", "ops/failed_kinds", "queue/outlook")]
        others.append(await rows("spend/check_budgets", now=None))
        others.append(await rows("queue/outstanding", within_s=600.0, stages=None))
        json.dumps([asdict(found) for found in (status, *listed, *shown)] + others, default=_plain)
        out = Console(file=io.StringIO(), width=100)
        for part in _status_tables(status) + [part for found in shown for part in _job_parts(found)]:
            out.print(part)
        for query in VIEWS:
            self._run(f"select * from {query}")
        for question in QUESTIONS:
            self._run(question)

    def clear(self) -> None:
        for name in ("blog_generations", "site_arrivals", "site_bills", "site_titles", "sites", "quotas", "site_spend"):
            self._run(f"delete from {name}")
        self.portal.call(self._begin)

    async def _begin(self) -> None:
        await self.database.execute(
            "queue/register_worker",
            name="test",
            worker_id=self.worker_id,
            host="here",
            pid=1,
            version="0",
            concurrency=50,
            lease_s=600,
        )
        for name, tokens in (("openai/a", 2**31 - 1), ("replicate/predictions", None)):
            await self.database.execute(
                "quota/upsert_bucket",
                name=name,
                provider=name.partition("/")[0],
                requests_per_minute=60_000,
                tokens_per_minute=tokens,
                burst_s=1.0,
            )


@dataclass
class Attempts:
    """What the stages of a job would do with what they are handed, as far as it depends on that."""

    seen: set[int] = field(default_factory=set)

    def __call__(self, taken: Claim, saved: dict[str, Any]) -> Outcome:
        self.seen.add(taken.job_id)
        if taken.unreadable is not None:
            return Reject(Failure(taken.stage, "Unreadable", taken.unreadable))
        if taken.site_unreadable is not None:
            return PauseSite(Failure(taken.stage, "Unreadable", taken.site_unreadable))
        json.dumps([taken.source_data, taken.site, saved])
        usable(taken.site)
        assert taken.publish_left_s >= 0
        assert taken.created_at.tzinfo is not None
        return Done()


@contextmanager
def _system(url: str) -> Iterator[System]:
    with start_blocking_portal() as portal:
        opening = Database(DatabaseSettings(url=url, pool_min=1, pool_max=6, _env_file=None))
        with portal.wrap_async_context_manager(opening) as database, psycopg.connect(url, autocommit=True) as producer:
            yield System(url, portal, database, producer)


@pytest.fixture(scope="module")
def system(module_url: str) -> Iterator[System]:
    with _system(module_url) as system:
        yield system


@pytest.mark.slow
@pytest.mark.search
@pytest.mark.timeout(1_800)
@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])
@given(odd=st.lists(writes, min_size=1, max_size=12), paced=st.booleans(), late=st.lists(writes, max_size=3))
# The pool draws its jitter in a thread of its own, maybe while values are drawn here.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
def test_other_sites_are_served_whatever_producers_write(
    system: System, odd: list[Write], paced: bool, late: list[Write]
) -> None:
    """A row can fail its own job or delay its own site, never another, and it hides nothing from operators."""
    system.clear()
    for site in PLAIN:
        system._plain_blog(site)
    for write in odd:
        system.write(write)
    attempted = Attempts()

    system.portal.call(system.work, PACED if paced else ALL, attempted)
    for write in late:  # into a system that has history
        system.write(write)
    for site in PLAIN:
        system._plain_blog(site)
    system.portal.call(system.work, ALL, attempted)

    ended = system.rows("select instance_id, status, error from blog_generations where instance_id like 'plain%'")
    assert [status for _, status, _ in ended] == ["DONE"] * 2 * len(PLAIN), ended
    assert system.rows(LEFT_OVER) == []
    ids = [row[0] for row in system.rows("select id from blog_generations where instance_id not like 'plain%'")]
    system.portal.call(partial(system.look, ids))


# Jobs of ordinary sites that nothing delays and that have not ended, or that have ended or wait without a reason.
LEFT_OVER = """
select g.id, g.status, g.attempt, g.error, to_jsonb(s)
from blog_generations as g
join sites as s using (instance_id)
where
    (g.status = 'FAILED' and g.error is null and g.attempt > 0 and g.worker_id is not null)
    or (
        g.status in ('PENDING', 'PROCESSING')
        and g.line is not null
        and s.paused_at is null
        and s.max_in_flight is null
        and s.virtual_time < 1e12
        and (s.ready or not exists (select from site_arrivals as a where a.instance_id = s.instance_id))
        and not s.at_cap
        and s.ready
    )
"""
