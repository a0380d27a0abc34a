"""Four workers of a booted machine under load, and what they have to show for it after each fault."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from blogworker.db.embedded import EmbeddedPostgres
from blogworker.db.embedded.postgres import free_port
from tests.e2e.conftest import Queue, Vendors, simulator, until
from tests.forks import Forks

from .machine import Machine, booted

WORKERS, SLOTS = 4, 2
SPEED = 15  # a post takes some two seconds
LEASE_S = 4
WATCHDOG_S = 4
DRAIN_S = 20
STOP_S = 3  # TimeoutStopSec: a drain takes longer, and asks for more time
WITHIN_S = 60.0
WAITING = 16  # jobs, at least, while faults are injected
DROP_IN = f"[Service]\nWatchdogSec={WATCHDOG_S}\nTimeoutStopSec={STOP_S}\n"
OPENAI_KEY, REPLICATE_TOKEN = "sk-first-1234567890", "r8_token-1234567890"


@dataclass
class Fleet:
    """The machine with its workers, their database and providers."""

    machine: Machine
    postgres: EmbeddedPostgres
    vendors: Vendors
    url: str
    settings: dict[str, str]
    sites: list[str] = field(default_factory=lambda: [str(uuid4()) for _ in range(12)])
    added: int = 0

    @contextmanager
    def queue(self) -> Iterator[Queue]:
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            yield Queue(connection)

    def top_up(self) -> None:
        """Let enough jobs wait, so that the slots are never empty for want of work."""
        with self.queue() as queue:
            for _ in range(WAITING - queue.count("status in ('PENDING', 'SCHEDULED')")):
                queue.add(self.sites[self.added % len(self.sites)], f"topic {self.added}")
                self.added += 1

    @staticmethod
    def unit(number: int) -> str:
        return f"blogworker@{number}.service"

    @property
    def units(self) -> list[str]:
        return [self.unit(number) for number in range(1, WORKERS + 1)]

    def held(self) -> dict[str, int]:
        """How many jobs each live worker runs."""
        try:
            with self.queue() as queue:
                rows = queue.run(
                    "select w.name, count(g.id) as jobs from workers as w left join blog_generations as g "
                    "on g.worker_id = w.worker_id and g.status = 'PROCESSING' "
                    "where w.lease_until > now() and not w.draining and w.name not like '%/suspects' group by w.name"
                )
        except psycopg.OperationalError:
            return {}
        return {row["name"]: row["jobs"] for row in rows}

    def incarnations(self) -> dict[str, str]:
        """The id of each worker: another one after each start."""
        with self.queue() as queue:
            return {row["name"]: str(row["worker_id"]) for row in queue.run("select name, worker_id from workers")}

    def running(self, number: int) -> list[int]:
        """The jobs that a worker runs."""
        text = "select g.id from blog_generations as g join workers as w using (worker_id) where w.name = %s"
        with self.queue() as queue:
            return [row["id"] for row in queue.run(f"{text} and g.status = 'PROCESSING'", f"machine/{number}")]

    def run_again(self, jobs: list[int]) -> bool:
        """Whether all these jobs have started once more, or had ended already."""
        self.top_up()
        with self.queue() as queue:
            text = "select count(*) from blog_generations where id = any(%s) and attempt < 2 and status <> 'DONE'"
            return not queue.value(text, jobs)

    def have_ended(self, jobs: list[int]) -> bool:
        """Whether none of these jobs is running any more."""
        self.top_up()
        with self.queue() as queue:
            text = "select count(*) from blog_generations where id = any(%s) and status = 'PROCESSING'"
            return not queue.value(text, jobs)

    def is_at_full_speed(self) -> bool:
        """Every worker uses its slots; one may be free for a moment."""
        self.top_up()
        held = self.held()
        return len(held) == WORKERS and min(held.values()) >= SLOTS - 1

    def until_full_speed(self) -> float:
        """The seconds until then."""
        began = monotonic()
        until(self.is_at_full_speed, within_s=WITHIN_S, of=lambda: f"{self.held()}\n{self.machine.told()}")
        return monotonic() - began

    def restarts(self) -> list[int]:
        return [int(self.machine.show(unit, "NRestarts")) for unit in self.units]

    def kill(self, number: int, what: signal.Signals) -> None:
        self.machine.run("systemctl", "kill", "--kill-whom=main", f"--signal={what.name}", self.unit(number))

    def change(self, **values: str) -> None:
        """Write other settings into the file."""
        self.settings |= values
        self.machine.settings(self.settings)

    def events(self, event: str, *more: str) -> list[dict[str, Any]]:
        return self.machine.entries(f"BLOGWORKER_EVENT={event}", *more)


@contextmanager
def running_fleet(folder: Path, forks: Forks) -> Iterator[Fleet]:
    """Install and start the workers as the README says; credentials plain and encrypted."""
    port = str(free_port())
    postgres = EmbeddedPostgres(folder / "postgres", durable=False, tcp=True, settings={"port": port})
    try:
        url = postgres.start()
        with simulator(folder, forks, speed=SPEED) as vendors, booted(folder) as machine:
            fleet = Fleet(machine, postgres, vendors, url, _settings(vendors, url))
            machine.run("systemd-creds", "setup")
            machine.write("/etc/systemd/system/blogworker@.service.d/test.conf", DROP_IN)
            machine.settings(fleet.settings)
            machine.write("/etc/credstore/blogworker.openai_api_key", OPENAI_KEY)
            encrypted = "/etc/credstore.encrypted/blogworker.replicate_api_token.cred"
            machine.run("mkdir", "-p", os.path.dirname(encrypted))
            machine.run("systemd-creds", "encrypt", "-", encrypted, given=REPLICATE_TOKEN)
            vendors.set("options", openai_key=OPENAI_KEY, replicate_token=REPLICATE_TOKEN)
            yield fleet
    finally:
        postgres.remove()


def _settings(vendors: Vendors, url: str) -> dict[str, str]:
    secrets = ("OPENAI_API_KEY", "REPLICATE_API_TOKEN")
    pointed: Mapping[str, str] = {name: value for name, value in vendors.environment.items() if name not in secrets}
    return {
        **pointed,
        "DATABASE_URL": url,
        "BLOGWORKER_CONCURRENCY": str(SLOTS),
        "BLOGWORKER_LEASE": str(LEASE_S),
        "BLOGWORKER_DRAIN_TIMEOUT": str(DRAIN_S),
    }
