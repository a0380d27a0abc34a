"""Rows inserted without the triggers are found and processed."""

import pytest

from blogworker.queue import sweep
from blogworker.queue.admit import admit
from blogworker.queue.promote import promote
from blogworker.queue.sweep import Sweep, Swept

pytestmark = pytest.mark.anyio

NOTHING = Swept(sites=0, jobs=0)


async def replicate(psql, sites: int, **columns: object) -> None:
    """A job of each site, as logical replication or `pg_restore --disable-triggers` brings it."""
    await psql.run("set session_replication_role = replica")
    await psql.run("insert into sites (instance_id) select 's' || n from generate_series(1, %s) as n", sites)
    names = "".join(f", {name}" for name in columns)
    await psql.run(
        f"insert into blog_generations (instance_id, source_type, source_id{names}) "
        f"select 's' || n, 'keyword', 'k'{', %s' * len(columns)} from generate_series(1, %s) as n",
        *columns.values(),
        sites,
    )
    await psql.run("set session_replication_role = origin")


@pytest.mark.parametrize("line", [None, 0])
async def test_jobs_inserted_without_triggers_are_found(psql, database, claimer, line):
    """Their sites were never announced, and a dump of an old version has no places in line."""
    await replicate(psql, 40, line=line)
    assert (await claimer()).claims == ()

    await promote(database)
    await Sweep().run_once(database)
    await admit(database)

    assert len(set(await claimer.sites())) == 40


async def test_the_first_sweep_covers_the_whole_table(psql, database, monkeypatch):
    monkeypatch.setattr(sweep, "BATCH", {"queue/sweep_sites": 1, "queue/sweep_jobs": 1})
    await replicate(psql, 35, line=0)

    assert await Sweep().run_once(database) == Swept(sites=35, jobs=0)


async def test_later_sweeps_take_a_step_each_until_they_find_something(psql, database, monkeypatch):
    monkeypatch.setattr(sweep, "BATCH", {"queue/sweep_sites": 2, "queue/sweep_jobs": 2})
    sweeping = Sweep()
    assert await sweeping.run_once(database) == NOTHING
    await replicate(psql, 9, line=0)
    await psql.run("update sites set ready = true where instance_id < 's3'")

    found = [(await sweeping.run_once(database)).sites for _ in range(3)]

    assert found == [0, 7, 0]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"line": 3}, 0),  # another stage than its own
        ({"line": 0, "stage": "image"}, 3),
        ({"line": 0, "run_at": "2100-01-01Z"}, None),
        ({"line": 0, "status": "SCHEDULED", "run_at": "2100-01-01Z"}, None),
        ({"line": 1, "status": "DONE", "finished_at": "2026-01-01Z"}, None),
    ],
)
async def test_a_job_gets_the_place_that_its_row_says(psql, database, columns, line):
    await replicate(psql, 1, **columns)

    assert (await Sweep().run_once(database)).jobs == 1

    assert (await psql.job())["line"] == line


async def test_a_site_blocked_by_a_clock_that_ran_ahead_is_freed(psql, database, claimer):
    await psql.insert("shop", 1)
    await admit(database)
    await psql.run("update sites set at_cap = true, capped_until = now() + interval '1 year'")
    assert (await claimer()).claims == ()

    assert (await Sweep().run_once(database)).sites == 1

    assert await claimer.sites() == ["shop"]


async def test_nothing_is_found_where_nothing_is_wrong(psql, database, claimer):
    for n in range(20):
        await psql.insert(f"s{n}", 3, stage=["source", "image"][n % 2])
    await psql.insert("later", 1, run_at="2100-01-01Z")
    await claimer(10)

    assert await Sweep().run_once(database) == NOTHING
