"""Postgres 15 is upgraded to 18 by logical replication, under a queue in use, as sql/inspect/README.md says."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg.rows import dict_row

from blogworker.db.embedded.place import PORT, Place
from tests.forks import Forks

from .conftest import Program, Queue, Start, Vendors, until

OLD = Path("/usr/lib/postgresql/15/bin")  # the new one is what the other tests use
NEWEST = 18  # the version of the wheel
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "logical",
    "listen_addresses": "",
    "port": str(PORT),
}

pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not (OLD / "postgres").exists(), reason="PostgreSQL 15 is not installed"),
]


@dataclass(frozen=True, slots=True)
class Server:
    place: Place

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.place.socket_dir()}&port={PORT}"

    @contextmanager
    def queue(self) -> Iterator[Queue]:
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            yield Queue(connection)


@pytest.fixture
def servers() -> Iterator[dict[str, Server]]:
    """An old and a new server."""
    started: list[Place] = []
    with TemporaryDirectory(prefix="upgrade-", ignore_cleanup_errors=True) as ground:
        Path(ground).chmod(0o755)
        try:
            for name, programs in (("old", OLD), ("new", None)):
                chosen = Place.choose(Path(ground) / name)
                place = Place(chosen.home, chosen.user, programs or chosen.bin)
                place.make()
                place.initdb(durable=False)
                started.append(place)
                version = int((place.data / "PG_VERSION").read_text())
                if name == "new" and version < NEWEST:
                    pytest.skip(f"the new server is PostgreSQL {version}, not {NEWEST}: {place.bin}")
                assert place.launch({**SETTINGS, "unix_socket_directories": str(place.socket_dir())}) is None
            yield {name: Server(place) for name, place in zip(("old", "new"), started, strict=True)}
        finally:
            for place in started:
                place.halt("immediate")


RUNBOOK = (Path(__file__).parents[2] / "sql/inspect/README.md").read_text()
FILLED = next(line.rstrip(";") for line in RUNBOOK.splitlines() if line.startswith("truncate "))
BEHIND = """
    select coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)), 1) as bytes
    from pg_replication_slots as s
    where s.slot_name = 'blogworker'
"""
FIGURES = """
    select
        (select count(*) from blog_generations) as jobs, (select count(*) from generation_stages) as checkpoints,
        (select count(*) from blog_posts) as posts, (select sum(requests) from provider_usage) as calls,
        (select count(*) from sites where ready) as ready,
        (select max(applied_at) from blogworker_migrations) as applied
"""


def test_a_queue_moves_to_another_version_of_postgres(
    servers: dict[str, Server], vendors: Vendors, start: Start, site: str, tmp_path: Path, forks: Forks
) -> None:
    """Only the workers pause. What one of them held when it died is taken back on the new server."""
    with servers["old"].queue() as old, servers["new"].queue() as new:
        assert old.value("show server_version").startswith("15.")
        assert int(new.value("show server_version_num")) >= NEWEST * 10_000
        _move(old, new, servers, vendors, start, site, tmp_path, forks)


def _move(
    old: Queue,
    new: Queue,
    servers: dict[str, Server],
    vendors: Vendors,
    start: Start,
    site: str,
    tmp_path: Path,
    forks: Forks,
) -> None:
    urls = {name: server.url for name, server in servers.items()}

    def command(*arguments: str, server: str) -> str:
        environment = {
            "PATH": os.defpath,
            "HOME": str(tmp_path),
            "BLOGWORKER_ENV_FILE": "",
            "DATABASE_URL": urls[server],
        }
        ran = forks.run(arguments, folder=tmp_path, environment=environment)
        assert ran.code == 0, ran.err
        return ran.out

    def worker(server: str, name: str) -> Program:
        return start(vendors, "--name", name, DATABASE_URL=urls[server], BLOGWORKER_LEASE="3", WIX_SLOWEST_DRAFT="2")

    command("migrate", server="old")
    sites = [site, f"{site[:-4]}0002"]
    for each in sites:
        old.add(each, *(f"clay {n}" for n in range(15)))
    drained, killed = worker("old", "drained"), worker("old", "killed")
    until(lambda: old.count("status = 'DONE'") > 3, of=drained.said)

    command("migrate", server="new")
    new.run(FILLED)
    old.run("create publication blogworker for tables in schema public")
    new.run(f"create subscription blogworker connection '{urls['old']}' publication blogworker")
    until(lambda: new.value("select count(*) from pg_subscription_rel where srsubstate <> 'r'") == 0)

    for each in sites:
        old.add(each, *(f"glaze {n}" for n in range(10)))
    killed.tell(signal.SIGKILL)
    drained.tell(signal.SIGTERM)
    assert drained.ended() == 0, drained.said()
    until(lambda: old.value(BEHIND) == 0)
    figures = old.run(FIGURES)
    assert new.run(FIGURES) == figures
    new.run("drop subscription blogworker")

    told = json.loads(command("reconcile", "--json", server="new"))
    assert {name.rpartition(".")[2] for name in told["sequences"]} >= {"blog_generations_id_seq"}
    assert "replicated logically" in told["reason"]
    for each in sites:
        new.add(each, *(f"kiln {n}" for n in range(5)))
    moved = worker("new", "moved")
    until(new.queue_is_empty, within_s=60, of=new.told)

    assert moved.events("schema_mismatch_found") == []
    assert len(vendors.posts(*sites)) == 60
    assert vendors.duplicates(*sites) == []
    assert new.count("failures > 0") == 0
    with pytest.raises(psycopg.DatabaseError, match="cannot go from DONE to PROCESSING"):
        new.run("update blog_generations set status = 'PROCESSING' where status = 'DONE'")
