"""A database that changes under running workers costs no blog an attempt."""

import psycopg
import pytest

from .conftest import Queue, Start, Vendors, until

BLOGS = 6
HOLD = "alter function quota_round rename to quota_round_away"
GRANTS = (
    "grant usage on schema public to {role}",
    "grant select, insert, update, delete on all tables in schema public to {role}",
    "grant execute on all functions in schema public to {role}",
)


def unspent(queue: Queue) -> bool:
    return queue.count("failures > 0 or rescues > 0 or status = 'FAILED'") == 0


def test_a_worker_of_an_older_version_drains_and_says_so(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """`migrate` by a newer version, while this one runs: 500 blogs were used up in a minute."""
    vendors.set("faults", kind="latency", operation="drafts.create", site=site, delay_s=2.0)
    queue.add(site, *(f"topic {n}" for n in range(BLOGS)))
    worker = start(vendors, "--name", "old", "--drain-timeout", "3")
    until(lambda: queue.count("stage = 'publish'") > 0, of=worker.said)

    with queue.connection.transaction():
        queue.run("alter table generation_stages rename column output to result")
        table = queue.value("select relname from pg_class where relname ~ 'migrations$' and relkind = 'r'")
        queue.run(f"insert into {table} (version, name, checksum) values (9999, 'newer', 'x')")

    assert worker.ended() == 2, worker.said()
    assert unspent(queue), queue.told()
    assert queue.count("status = 'PROCESSING'") == 0
    assert len(worker.events("newer_database_found")) == 1
    assert "upgrade blogworker" in worker.errors.read_text()


@pytest.fixture
def role(queue: Queue, site: str):
    """A role of its own for the worker, with the grants that it needs; its DSN."""
    name = f"w{site.replace('-', '')[:20]}"
    queue.run(f"create role {name} login")
    for grant in GRANTS:
        queue.run(grant.format(role=name))
    yield name, psycopg.conninfo.make_conninfo(queue.connection.info.dsn, user=name)
    queue.run(f"drop owned by {name}")
    queue.run(f"drop role {name}")


@pytest.mark.parametrize(
    ("privilege", "table"),
    [
        ("insert", "generation_stages"),
        ("update", "blog_posts"),
        ("update", "blog_generations"),
        ("select", "sites"),
        ("insert", "provider_usage"),
    ],
)
def test_a_grant_that_is_missing_for_a_while_costs_nothing(
    vendors: Vendors, queue: Queue, start: Start, site: str, role: tuple[str, str], privilege: str, table: str
) -> None:
    """Every blog was FAILED after its ideas had been bought five times."""
    name, dsn = role
    queue.add(site, *(f"topic {n}" for n in range(BLOGS)))
    worker = start(vendors, "--name", "one", "--until-empty", DATABASE_URL=dsn)
    worker.logged("worker_started")

    queue.run(f"revoke {privilege} on {table} from {name}")
    worker.logged("schema_mismatch_found")
    queue.run(f"grant {privilege} on {table} to {name}")

    assert worker.ended(within_s=50) == 0, worker.said()
    assert queue.queue_is_empty(), queue.told()
    assert unspent(queue)
    assert worker.events("database_lost") == []
    calls = vendors.get("stats")
    assert vendors.duplicates(site) == [], calls
    bought = queue.run("select stage, count(*) as times from generation_stages where model is not null group by stage")
    assert {row["times"] for row in bought} <= {BLOGS}


def test_a_function_that_is_missing_for_a_while_costs_nothing(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    queue.add(site, *(f"topic {n}" for n in range(BLOGS)))
    worker = start(vendors, "--name", "one", "--until-empty")
    worker.logged("worker_started")

    queue.run(HOLD)
    worker.logged("schema_mismatch_found")
    queue.run("alter function quota_round_away rename to quota_round")

    assert worker.ended(within_s=50) == 0, worker.said()
    assert queue.queue_is_empty(), queue.told()
    assert unspent(queue)
