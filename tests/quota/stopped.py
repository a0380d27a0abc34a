"""A database clock that only a test moves: then no figure depends on the speed of the machine."""

from typing import Any

import psycopg

from blogworker.db.sql import query

# Sessions without the setting have the real time.
TICK_S = 0.0001
STOPPED = "coalesce(nullif(current_setting('tests.time', true), '')::timestamptz, clock_timestamp())"


def at_stopped_time(statement: str) -> bytes:
    return statement.replace("clock_timestamp()", STOPPED).encode()


class StoppedClock:
    """A session in which functions, views and statements read the time of a setting."""

    def __init__(self, session: psycopg.Connection[dict[str, Any]]) -> None:
        self.session = session
        definitions = session.execute(
            "select pg_get_functiondef(p.oid) as text from pg_proc as p "
            "where p.pronamespace = to_regnamespace(current_schema()) and p.prosrc like '%clock_timestamp()%' "
            "union all "
            "select format('create or replace view %I as %s', v.viewname, v.definition) "
            "from pg_views as v where v.schemaname = current_schema() and v.definition like '%clock_timestamp()%'"
        ).fetchall()
        assert definitions, "nothing reads the clock"
        for definition in definitions:
            session.execute(at_stopped_time(definition["text"]))

    def reset(self) -> None:
        """Set it to the real time."""
        self.session.execute("select set_config('tests.time', clock_timestamp()::text, false)")

    def now(self) -> float:
        """In seconds since 1970."""
        row = self.session.execute("select extract(epoch from current_setting('tests.time')::timestamptz)::float8 as t")
        return row.fetchone()["t"]

    def tick(self) -> None:
        """Let a round end: no two have the same time."""
        self.move(TICK_S)

    def move(self, seconds: float) -> None:
        self.session.execute(
            "select set_config('tests.time', "
            "(current_setting('tests.time')::timestamptz + make_interval(secs => %s))::text, false)",
            [seconds],
        )

    def run(self, statement: str, /, **parameters: Any) -> psycopg.Cursor[dict[str, Any]]:
        """Run `sql/queries/quota/<statement>.sql`."""
        return self.session.execute(at_stopped_time(query(f"quota/{statement}")), parameters)
