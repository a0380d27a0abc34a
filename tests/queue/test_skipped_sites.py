"""A trigger of another program that refuses one site's rows stops no statement for the others."""

from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from blogworker.db.pool import Database
from blogworker.queue.admit import admit, arrivals
from blogworker.queue.promote import due, promote
from blogworker.queue.reconcile import bills, reconcile
from blogworker.queue.rescue import release_lost_claims, rescue
from blogworker.queue.skipped_sites import SkippedSites

pytestmark = pytest.mark.anyio

MINE = uuid4()


class Kind(NamedTuple):
    """A statement that takes a batch of many sites."""

    table: str
    refused: str  # what the trigger of the other program refuses
    seed: str  # gives each of the sites a row to work on
    left: str  # the sites whose rows are still to be worked on


class Keepers:
    """What a worker calls again and again: each remembers the sites that it passes over."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._due, self._arrivals, self._bills = due(), arrivals(), bills()
        self._orphans, self._strays = SkippedSites(), SkippedSites()

    async def promote(self) -> None:
        await promote(self._database, self._due)

    async def admit(self) -> None:
        await admit(self._database, self._arrivals)

    async def reconcile(self) -> None:
        await reconcile(self._database, self._bills)

    async def rescue(self) -> None:
        await rescue(self._database, self._orphans)

    async def release_lost_claims(self) -> None:
        await release_lost_claims(self._database, MINE, known=[], skipped=self._strays)


SITES = "from unnest(%s::text[]) as u (site)"
ADD = "insert into blog_generations (instance_id, source_type, source_id"
HELD = (
    f"{ADD}, status, attempt, worker_id, claimed_at) "
    f"select site, 'keyword', 'k', 'PROCESSING', 1, '{MINE}', now() - interval '1 hour' {SITES}"
)
LATER = f"{ADD}, status, run_at) select site, 'keyword', 'k', 'SCHEDULED', now() - interval '1 second' {SITES}"
WHICH = "select instance_id from blog_generations where status = '{}'"
KINDS = {
    "promote": Kind("blog_generations", "old.status = 'SCHEDULED'", LATER, WHICH.format("SCHEDULED")),
    "rescue": Kind("blog_generations", "old.status = 'PROCESSING'", HELD, WHICH.format("PROCESSING")),
    "release_lost_claims": Kind("blog_generations", "old.status = 'PROCESSING'", HELD, WHICH.format("PROCESSING")),
    "admit": Kind(
        "sites",
        "new.ready",
        f"insert into site_arrivals (instance_id, notified) select site, false {SITES}",
        "select instance_id from sites where not ready",
    ),
    "reconcile": Kind(
        "sites",
        "true",
        f"insert into site_bills (instance_id, correction) select site, 1 {SITES}",
        "select instance_id from site_bills",
    ),
}
REFUSE = """
    create or replace function refuse_odd() returns trigger language plpgsql as $$
    begin
        if old.instance_id like 'odd%' and {refused} then
            raise exception 'odd' using errcode = '{code}';
        end if;
        return new;
    end
    $$
"""
# Of other programs' triggers: their own checks, privileges that they lack, names that they miss, what they compute.
CODES = st.sampled_from(
    ["P0001", "42501", "42703", "42883", "3F000", "0A000", "22012", "23514", "23505", "BW409", "XX000"]
)


async def begin(psql, kind: Kind, sites: list[str], code: str) -> None:
    """Rows of these sites to work on, and the trigger that refuses those of the odd ones."""
    await psql.run("drop trigger if exists zz_odd on sites")
    await psql.run("drop trigger if exists zz_odd on blog_generations")
    await psql.run("set session_replication_role = replica")
    for table in ("blog_generations", "site_arrivals", "site_bills", "sites"):
        await psql.run(f"delete from {table}")
    await psql.run(f"insert into sites (instance_id) select site {SITES}", sites)
    await psql.run(kind.seed, sites)
    await psql.run("set session_replication_role = origin")
    await psql.run(REFUSE.format(refused=kind.refused, code=code))
    await psql.run(f"create trigger zz_odd before update on {kind.table} for each row execute function refuse_odd()")


async def left(psql, kind: Kind) -> set[str]:
    return {row["instance_id"] for row in await psql.run(kind.left)}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(odd=st.integers(1, 7), plain=st.integers(1, 40), code=CODES)
async def test_all_other_sites_are_served(psql, database, name: str, odd: int, plain: int, code: str) -> None:
    kind, keep = KINDS[name], getattr(Keepers(database), name)
    odd_sites = {f"odd {n}" for n in range(odd)}
    await begin(psql, kind, [*sorted(odd_sites), *(f"plain {n}" for n in range(plain))], code)

    with capture_logs() as logs:
        await keep()

    assert await left(psql, kind) == odd_sites
    assert sorted(line["instance_id"] for line in logs if line["event"] == "site_skipped") == sorted(odd_sites)


@pytest.mark.parametrize("name", KINDS)
async def test_no_site_is_skipped_when_every_site_is_refused(psql, database, name: str) -> None:
    """A missing privilege, or a trigger that forbids every change: it is the database that does not fit."""
    kind, keep = KINDS[name], getattr(Keepers(database), name)
    await begin(psql, kind, [f"odd {n}" for n in range(20)], "42501")

    with capture_logs() as logs, pytest.raises(psycopg.errors.InsufficientPrivilege):
        await keep()
    await psql.run(f"drop trigger zz_odd on {kind.table}")
    await keep()

    assert await left(psql, kind) == set()
    assert logs == []
