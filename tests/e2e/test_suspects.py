"""What kills workers runs alone before it is given up, and takes nothing else with it."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from .conftest import Program, Queue, Start, Vendors, until

QUICK_LEASE = {"BLOGWORKER_LEASE": "3"}


def holder(queue: Queue, job_id: int) -> int | None:
    """The process that holds the job."""
    rows = queue.run(
        "select w.pid from blog_generations as g join workers as w using (worker_id) "
        "where g.id = %s and g.status = 'PROCESSING'",
        job_id,
    )
    return rows[0]["pid"] if rows else None


def is_descendant_of(pid: int, parents: list[int]) -> bool:
    while pid > 1 and pid not in parents:
        try:
            status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return False
        pid = int(status.rpartition(")")[2].split()[1])
    return pid in parents


@pytest.mark.timeout(260)
def test_only_the_blog_that_kills_its_workers_fails(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    """Twenty innocents were FAILED with it: all that the worker held when it died."""
    vendors.set("faults", kind="latency", operation="drafts.create", site=site, delay_s=1.0)
    (poison,) = queue.add(site, "poison")
    queue.add(f"{site}-other", *(f"topic {n}" for n in range(8)))
    workers: list[Program] = []

    def keep_running() -> None:
        """As systemd does."""
        if not workers or workers[-1].process.poll() is not None:
            workers.append(start(vendors, "--name", "one", "--concurrency", "10", **QUICK_LEASE))

    def ended() -> bool:
        keep_running()
        ours = [worker.process.pid for worker in workers]
        if (pid := holder(queue, poison)) is not None and is_descendant_of(pid, ours):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return queue.count("status not in ('DONE', 'FAILED')") == 0

    until(ended, within_s=200, of=queue.told)

    assert queue.jobs("status") == [("FAILED",)] + [("DONE",)] * 8, queue.told()
    ((error,),) = [tuple(row.values()) for row in queue.run("select error from blog_generations where id = %s", poison)]
    assert "the last time while it ran alone" in error
    assert len(workers) <= 5, "its own process dies with a suspect, not a worker"
    assert vendors.duplicates(site, f"{site}-other") == []


def test_a_process_for_suspects_ends_with_its_worker(
    slow_vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """Else each restart would leave one behind."""
    queue.add(site, "celadon")
    queue.run("update blog_generations set rescues = 2")
    worker = start(slow_vendors, "--name", "one", "--drain-timeout", "2", **QUICK_LEASE)
    until(lambda: queue.count("status = 'PROCESSING'") == 1, of=worker.said)
    assert queue.value("select count(*) from workers") == 2

    worker.tell(signal.SIGKILL)

    until(lambda: queue.value("select count(*) from workers where name = 'one/suspects'") == 0, of=queue.told)
    assert queue.jobs("status", "failures", "rescues", "lone_rescues") == [("PENDING", 0, 0, 0)]


def test_a_drain_waits_for_the_suspect_too(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    vendors.set("faults", kind="latency", operation="drafts.create", site=site, delay_s=1.0)
    queue.add(site, "celadon")
    queue.run("update blog_generations set rescues = 2")
    worker = start(vendors, "--name", "one")
    until(lambda: queue.count("status = 'PROCESSING' and stage = 'publish'") == 1, of=worker.said)

    worker.tell(signal.SIGTERM)

    assert worker.ended() == 0, worker.said()
    assert queue.jobs("status") == [("DONE",)]
    assert queue.value("select count(*) from workers") == 0
