"""The process that runs suspects of killing workers: it ends with its worker, and in good order. That only what kills
workers alone ends FAILED is shown by test_storm.py."""

import signal

from .conftest import Queue, Start, Vendors, until

QUICK_LEASE = {"BLOGWORKER_LEASE": "3"}


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
