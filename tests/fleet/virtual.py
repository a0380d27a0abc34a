"""Virtual time for whole fleets: it passes only while everybody sleeps.

The event loop does not sleep but moves its clock on, and the database takes its time from the same clock: `now` and
`clock_timestamp` of a schema of their own come first in the search path. So minutes take seconds, and the same story
always runs the same way.
"""

import asyncio
import re
import selectors
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from anyio import current_time
from psycopg.rows import dict_row

from blogworker.db.pool import Row, Runner
from blogworker.db.sql import query

START = datetime(2030, 1, 1, tzinfo=UTC)
STATEMENT_S = 0.001
PATH = "virtual, pg_catalog, public"
PINNED = re.compile(r"(set search_path to) [^\n]*", re.IGNORECASE)

TRUNCATE = """
truncate sites, blog_generations, site_arrivals, site_bills, generation_stages, generation_errors, blog_posts,
scheduled_blogs, workers, provider_usage, quotas, quota_waits, quota_rounds restart identity cascade
"""
VIRTUAL = """
create schema if not exists virtual;
create or replace function virtual.now() returns timestamptz language sql stable as
$$ select current_setting('virtual.now')::timestamptz $$;
create or replace function virtual.clock_timestamp() returns timestamptz language sql stable as
$$ select current_setting('virtual.now')::timestamptz $$;
do $$
declare
    c record;
begin
    for c in
        select d.adrelid::regclass as relation, a.attname, pg_get_expr(d.adbin, d.adrelid) as expression
        from pg_attrdef as d
        join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
        where pg_get_expr(d.adbin, d.adrelid) ~ 'now[(]|clock_timestamp[(]'
    loop
        execute format(
            'alter table %s alter %I set default %s', c.relation, c.attname, replace(c.expression, 'pg_catalog.', '')
        );
    end loop;
end
$$
"""
# Functions find their names where they were made, or along a path of their own: they are made again for this clock.
FUNCTIONS = "select pg_get_functiondef(p.oid) as text from pg_proc as p where p.proname = any (own_functions())"
LOOK = """
select
    s.instance_id as site, s.weight, s.ready and not s.at_cap and s.paused_at is null as in_line,
    s.paused_at is not null as paused,
    (select count(*) from blog_generations as g where g.instance_id = s.instance_id and g.status = 'PROCESSING')
        as running,
    (select count(*) from blog_generations as g where g.instance_id = s.instance_id and g.line = 0) as waiting
from sites as s
order by s.instance_id
"""
STARTS = """
select coalesce(r.calls > 0, true) and coalesce(r.starts > 0, true) as open
from stage_rooms(
    %(buckets)s::text[], %(tokens)s::integer[], %(leads)s::float8[], %(patience_s)s, clock_timestamp()
) as r
where r.line = 0 and (%(stages)s::text[] is null or 'source' = any (%(stages)s::text[]))
"""


class VirtualLoop(asyncio.SelectorEventLoop):
    """While every task sleeps, its clock moves on to the time at which the first of them wakes."""

    def __init__(self) -> None:
        self.now = 0.0
        loop = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[Any]:
                if timeout is None:
                    raise RuntimeError("everybody sleeps for ever")
                loop.now += max(0.0, timeout)
                return super().select(0)

        super().__init__(Selector())

    def time(self) -> float:
        return self.now


@dataclass(slots=True)
class Look:
    """The sites right before a claim, or at a moment."""

    at: float
    sites: dict[str, Row]
    starts: bool = False  # new blogs may start


@dataclass(slots=True)
class Taken:
    """What one claim took."""

    before: Look
    running: Counter[str]  # after it
    jobs: list[Row]


class VirtualDatabase(Runner):
    """One connection, one statement at a time, at the loop's time. Looks at each claim."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True, row_factory=dict_row, prepare_threshold=2)
        self._heard: Callable[[], None] = lambda: None
        self.connection.execute("set search_path = public")
        made = self.connection.execute(FUNCTIONS).fetchall()
        self.connection.execute(f"set search_path = {PATH}")
        self.connection.execute(VIRTUAL)
        for function in made:
            self.connection.execute(PINNED.sub(rf"\1 {PATH}", function["text"]).encode())
        self.connection.execute("listen blogworker_jobs")
        self.connection.add_notify_handler(lambda _: self._heard())

    def begin(self, heard: Callable[[], None]) -> None:
        """Forget the last story."""
        self.taken: list[Taken] = []
        self._heard = heard
        self.connection.execute(TRUNCATE)
        self.connection.execute("select setseed(0.5)")

    def sql(self, *statements: tuple[bytes | str, Mapping[str, object]]) -> list[list[Row]]:
        """The rows of each, in one round trip and one transaction."""
        loop = asyncio.get_running_loop()
        loop.now += STATEMENT_S
        at = (START + timedelta(seconds=loop.now)).isoformat()
        clock = ("select set_config('virtual.now', %(at)s, false)", {"at": at})
        with self.connection.pipeline():
            cursors = [self.connection.execute(text, parameters) for text, parameters in (clock, *statements)]
        return [cursor.fetchall() if cursor.description else [] for cursor in cursors[1:]]

    async def rows(self, name: str, /, **parameters: object) -> list[Row]:
        return self.sql((query(name), parameters))[0]

    async def briefly(self, *statements: tuple[str, Mapping[str, object]]) -> list[Row]:
        *before, (last, parameters) = [(query(name), parameters) for name, parameters in statements]
        if statements[-1][0] != "queue/claim":
            return self.sql(*before, (last, parameters))[-1]
        *_, sites, starts, rows = self.sql(*before, (LOOK, {}), (STARTS, parameters), (last, parameters))
        self._note(self._seen(sites, starts), rows)
        return rows

    def look(self) -> Look:
        return self._seen(self.sql((LOOK, {}))[0], [])

    def _seen(self, sites: list[Row], starts: list[Row]) -> Look:
        return Look(current_time(), {row["site"]: row for row in sites}, starts=any(row["open"] for row in starts))

    def _note(self, before: Look, rows: list[Row]) -> None:
        jobs = [row for row in rows if row["job_id"] is not None]
        running = Counter({name: site["running"] for name, site in before.sites.items()})
        running.update(row["instance_id"] for row in jobs)
        self.taken.append(Taken(before, running, jobs))
