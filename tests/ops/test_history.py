"""History: workers record each minute once; it is read in steps; old minutes go."""

from typing import Any

import pytest

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.history import read_history, record_history

pytestmark = pytest.mark.anyio
HOUR_S = 3_600


@pytest.fixture
def ended(database_url: str, sql: Any) -> Any:
    """Add jobs that ended some minutes ago."""

    def add(minutes_ago: int, number: int, *, status: str = "DONE", wait_s: float = 1.0) -> None:
        sql(
            "with added as (insert into blog_generations (instance_id, source_type, source_id) "
            "select 's', 'keyword', 'k' from generate_series(1, %s) returning id) select count(*) from added",
            number,
        )
        # As a worker leaves them; the guards would refuse these times.
        sql(
            "set session_replication_role = replica; update blog_generations set status = '" + status + "', "
            "created_at = t.ended - interval '100 s', run_at = t.ended - interval '100 s', "
            f"claimed_at = t.ended - interval '100 s' + make_interval(secs => {wait_s}), finished_at = t.ended, "
            "line = null from (select date_trunc('minute', now()) - make_interval(mins => "
            f"{minutes_ago}) + interval '30 s' as ended) as t where finished_at is null"
        )

    return add


@pytest.fixture
def sql(database_url: str) -> Any:
    import psycopg

    def run(text: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    return run


async def test_every_minute_is_recorded_once(database: Database, ended: Any, sql: Any) -> None:
    ended(5, 10, wait_s=2.0)
    ended(4, 3, status="FAILED")
    ended(3, 2, status="CANCELLED")
    ended(2, 20, wait_s=4.0)

    assert await record_history(database) >= 60
    again = await record_history(database)
    rows = sql(
        "select done, failed, cancelled, wait_p50_s, total_p95_s from history where done + failed + cancelled > 0 "
        "order by done, failed"
    )

    assert again <= 1, "a minute may have ended in between"
    assert rows == [(0, 0, 2, None, None), (0, 3, 0, None, None), (10, 0, 0, 2.0, 100.0), (20, 0, 0, 4.0, 100.0)]


async def test_steps_add_minutes_up(database: Database, ended: Any) -> None:
    ended(5, 10, wait_s=2.0)
    ended(3, 30, wait_s=6.0)
    await record_history(database)

    found = await read_history(database, within_s=HOUR_S, step_s=HOUR_S)

    assert sum(step.done for step in found.steps) == 40
    waits = [(step.wait_p50_s, step.wait_p95_s) for step in found.steps if step.done == 40]
    assert waits in ([(5.0, 6.0)], []), "weighted mean, and the worst minute; [] if the hour changed in between"


async def test_what_is_not_recorded_yet_is_shown(database: Database, ended: Any) -> None:
    await record_history(database)
    ended(0, 7)

    found = await read_history(database, within_s=HOUR_S, step_s=60)

    assert sum(step.done for step in found.steps) == 7
    assert found.steps[-1].wait_p95_s is None


async def test_stages_have_their_durations(database: Database, ended: Any, sql: Any) -> None:
    ended(2, 10)
    sql(
        "insert into generation_stages (generation_id, stage, output, attempt, duration_s) "
        "select id, 'image', '{}', 1, row_number() over () from blog_generations"
    )
    await record_history(database)

    (stage,) = (await read_history(database, within_s=HOUR_S, step_s=60)).stages

    assert (stage.stage, stage.jobs, round(stage.p50_s, 2), round(stage.p95_s, 2)) == ("image", 10, 5.5, 9.55)


async def test_stages_have_their_durations_in_each_step(database: Database, sql: Any) -> None:
    """One minute of the hour is slow for one stage. A person sees when, and which stage."""
    sql(
        "insert into history (minute, done, failed, cancelled) select date_trunc('hour', now()) - interval '2 h' "
        "+ make_interval(mins => n), 4, 0, 0 from unnest(array[1, 2, 61]) as n"
    )
    sql(
        "insert into history_stages (minute, stage, jobs, p50_s, p95_s) "
        "select h.minute, s.stage, s.jobs, s.p50_s, s.p95_s from (values (1, 'image', 1, 2.0, 3.0), "
        "(1, 'content', 1, 10.0, 11.0), (2, 'image', 3, 6.0, 90.0), (61, 'image', 4, 1.0, 2.0)) "
        "as s (n, stage, jobs, p50_s, p95_s) join history as h on h.minute = date_trunc('hour', now()) "
        "- interval '2 h' + make_interval(mins => s.n)"
    )

    by_hour = (await read_history(database, within_s=3 * HOUR_S, step_s=HOUR_S, stage_steps=True)).stage_steps
    by_minute = (await read_history(database, within_s=3 * HOUR_S, step_s=60, stage_steps=True)).stage_steps

    assert [(each.stage, each.jobs, each.p50_s, each.p95_s) for each in by_hour] == [
        ("content", 1, 10.0, 11.0),
        ("image", 4, 5.0, 90.0),
        ("image", 4, 1.0, 2.0),
    ]
    assert by_hour[0].began == by_hour[1].began < by_hour[2].began
    assert [(each.stage, each.p95_s) for each in by_minute] == [
        ("content", 11.0), ("image", 3.0), ("image", 90.0), ("image", 2.0)
    ]  # fmt: skip


async def test_old_minutes_are_deleted(database: Database, sql: Any) -> None:
    await record_history(database)
    sql("update history set minute = minute - interval '8 days' where minute < now() - interval '30 minutes'")
    before = sql("select count(*) from history")[0][0]
    await record_history(database)
    assert sql("select count(*) from history")[0][0] < before


@pytest.mark.parametrize(("within_s", "step_s"), [(59, 60), (8 * 86_400, 60), (3600, 59), (3600, 0), (3600, 90)])
async def test_impossible_steps_are_refused(database: Database, within_s: int, step_s: int) -> None:
    with pytest.raises(SettingsError):
        await read_history(database, within_s=within_s, step_s=step_s)
