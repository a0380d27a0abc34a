"""Anyone who may connect may NOTIFY: a worker that is shouted at keeps its lease, its memory and its work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from .conftest import Program, Queue, Start, Vendors, until

FLOOD = 150_000
SHOUTERS = 3
ROUNDS = 10
IN_THE_FLOOD = 2  # blogs
LEASE_S = 9  # a starved machine delays each answer, and that is not the flood
HEARTBEAT_S = 0.5
PICKUP_S = 10.0  # far below the poll interval, on a machine with other work
LATE_S = 4.0
MOST_GROWN = 40 << 20  # bytes
MOST_CPU_S = 5.0

# Each call: as many notifications as it is told, of payloads of every length, a third of them "cancel" and a third
# empty, each of those in a transaction of its own, because equal ones of one transaction are sent once.
SHOUT = """
do $$
begin
    for n in 1..{calls} loop
        perform pg_notify('blogworker_jobs', 'cancel');
        perform pg_notify('blogworker_jobs', '');
        perform pg_notify('blogworker_jobs', left(repeat(md5(random()::text), 250), 1 + (random() * 7998)::int));
        commit;
    end loop;
end $$
"""
RECORD = """
create table extensions (at timestamptz not null);
create function record_extension() returns trigger language plpgsql security definer as $$ begin
    insert into extensions values (clock_timestamp());
    return null;
end $$;
create trigger record_extension after insert or update of lease_until on workers
    for each row execute function record_extension();
"""
LONGEST_GAP = """
select max(extract(epoch from later.at - later.before))::float
from (select e.at, lag(e.at) over (order by e.at) as before from extensions as e) as later
"""


@pytest.fixture
def outsider_url(queue: Queue, database_url: str) -> str:
    """The test's database as a role sees it that has no rights there."""
    queue.run("do $$ begin create role outsider login; exception when duplicate_object then null; end $$")
    return make_conninfo(database_url, user="outsider")


@contextmanager
def flood(url: str) -> Iterator[None]:
    """While the block lasts; then until it has been `FLOOD` notifications."""
    over = threading.Event()

    def shout() -> None:
        rounds = 0
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.is_set() or rounds < ROUNDS:
                connection.execute(SHOUT.format(calls=FLOOD // 3 // SHOUTERS // ROUNDS).encode())
                rounds += 1

    shouters = [threading.Thread(target=shout) for _ in range(SHOUTERS)]
    for shouter in shouters:
        shouter.start()
    try:
        yield
    finally:
        over.set()
        for shouter in shouters:
            shouter.join()


def memory(pid: int, name: str) -> int:
    """Bytes that a process holds: VmRSS now, VmHWM at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def longest_gap_s(worker: Program, event: str) -> float:
    times = [datetime.fromisoformat(line["timestamp"]) for line in worker.events(event)]
    return max((later - before).total_seconds() for before, later in pairwise(times))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.timeout(300)
def test_a_flood_of_notifications_stops_nothing(
    vendors: Vendors, queue: Queue, start: Start, site: str, outsider_url: str
) -> None:
    """150,000 of them from a role without rights once stopped a worker: 700 MB, no extension, its blogs taken back."""
    queue.run(RECORD)
    settings = {"LEASE": LEASE_S, "POLL_INTERVAL": 3_600, "HEARTBEAT_INTERVAL": HEARTBEAT_S}
    worker = start(vendors, **{f"BLOGWORKER_{name}": str(value) for name, value in settings.items()})
    worker.logged("listen_connected")
    pid = worker.process.pid
    queue.add(f"{site}-before", "a blog before the flood")
    until(queue.queue_is_empty, of=worker.said)
    memory_before, cpu_before = memory(pid, "VmRSS"), cpu_s(pid)

    with flood(outsider_url):
        for n in range(IN_THE_FLOOD):
            queue.add(f"{site}-{n}", f"a blog in the flood, {n}")
            until(queue.queue_is_empty, of=worker.said)
    queue.add(f"{site}-after", "a blog after the flood")
    until(queue.queue_is_empty, of=lambda: queue.told() + worker.said())

    assert len(worker.events("listen_suspended")) == 1
    assert not worker.events("lease_lost")
    assert not worker.events("database_lost")
    assert queue.value(LONGEST_GAP) < 1.1 * LEASE_S / 3 + LATE_S
    assert longest_gap_s(worker, "heartbeat") < 1.1 * HEARTBEAT_S + LATE_S
    assert memory(pid, "VmHWM") - memory_before < MOST_GROWN
    assert cpu_s(pid) - cpu_before < MOST_CPU_S
    assert queue.count("rescues > 0 or failures > 0") == 0
    assert (
        queue.value("select max(extract(epoch from claimed_at - created_at))::float from blog_generations") < PICKUP_S
    )
