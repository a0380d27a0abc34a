"""A provider goes down under real workers: no blog pays for it, one line tells of it, and all goes on afterwards."""

import time

import pytest

from .conftest import Queue, Start, Vendors, until

NO_CREDIT = "insufficient_quota"


def spent(queue: Queue) -> list[tuple[object, ...]]:
    return [job for job in queue.jobs("id", "failures", "error") if job[1]]


def breaker(queue: Queue, provider: str) -> str:
    return str(queue.value("select state from provider_health where provider = %s", provider))


@pytest.mark.timeout(180)
def test_an_outage_of_seconds_costs_no_attempt(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    """With two workers under load, jobs in every stage, and calls under way when it begins."""
    sites = [f"{site}-{n}" for n in range(6)]
    for name in sites:
        queue.add(name, *(f"topic {n}" for n in range(8)))
    workers = [start(vendors, "--concurrency", "12", "--name", name, "--until-empty") for name in ("one", "two")]
    until(lambda: queue.count("status = 'DONE'") >= 10, of=queue.told)

    vendors.set("faults", kind="status", vendor="openai", status=503, body={"error": {"message": "overloaded"}})
    until(lambda: breaker(queue, "openai") != "closed", of=queue.told)
    time.sleep(5)  # no race: the outage goes on, and what was under way when it began comes to its end
    calls = vendors.get("stats")["vendors"]["openai"]["requests"]
    claims = queue.value("select sum(attempt) from blog_generations")
    time.sleep(3)  # the stretch that is counted
    probes = vendors.get("stats")["vendors"]["openai"]["requests"] - calls
    reclaims = queue.value("select sum(attempt) from blog_generations") - claims
    running = [worker.process.poll() is None for worker in workers]
    vendors.forgive()

    for worker in workers:
        assert worker.ended(within_s=90) == 0, worker.said()
    assert running == [True, True], "a queue that waits for a provider is not empty"
    assert queue.queue_is_empty(), queue.told()
    assert spent(queue) == []
    assert probes <= 3
    assert reclaims <= 4, "what waits is not claimed again and again"
    assert len([line for worker in workers for line in worker.events("breaker_opened")]) == 1
    assert len([line for worker in workers for line in worker.events("breaker_closed")]) == 1
    assert queue.value("select count(*) from generation_errors where not retryable") == 0
    assert len(vendors.posts(*sites)) == 48
    assert vendors.duplicates(*sites) == []


def test_one_slow_slot_is_parked_before_its_attempts_are_gone(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    (job_id,) = queue.add(site, "salt glaze")
    vendors.set("faults", kind="reset_before", vendor="openai")
    worker = start(vendors, "--concurrency", "1")
    worker.logged("breaker_opened")
    until(lambda: queue.count("status <> 'PROCESSING'") == 1, of=queue.told)

    assert queue.value("select failures from blog_generations where id = %s", job_id) < 3
    vendors.forgive()
    until(queue.queue_is_empty, of=queue.told)


@pytest.mark.timeout(300)
def test_no_credit_stops_the_lane_at_once_and_keeps_the_jobs(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """A person tops the account up: nothing was lost, and nobody has to retry anything."""
    queue.add(site, *(f"topic {n}" for n in range(8)))
    vendors.set("faults", kind="quota_exhausted", vendor="openai", code=NO_CREDIT)
    worker = start(vendors, "--concurrency", "4", "--until-empty")

    line = worker.logged("breaker_opened")
    until(lambda: queue.count("status = 'PROCESSING'") == 0, of=queue.told)
    assert line["level"] == "error"
    assert NO_CREDIT in line["reason"]
    assert queue.count("status in ('PENDING', 'SCHEDULED')") == 8
    vendors.forgive()

    assert worker.ended(within_s=60) == 0, worker.said()
    assert queue.queue_is_empty(), queue.told()
    assert spent(queue) == []
    assert len(worker.events("breaker_opened")) == len(worker.events("breaker_closed")) == 1


def test_a_provider_that_draws_pictures_stops_nothing_but_pictures(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """Text is written meanwhile; the posts wait for their covers."""
    queue.add(site, *(f"topic {n}" for n in range(10)))
    vendors.set("faults", kind="status", vendor="replicate", status=500)
    worker = start(vendors, "--concurrency", "3")

    until(lambda: queue.count("stage = 'image' and status <> 'PROCESSING'") == 10, of=queue.told)
    assert breaker(queue, "replicate") != "closed"
    vendors.forgive()
    until(queue.queue_is_empty, of=queue.told)

    assert spent(queue) == []
    assert len(worker.events("breaker_opened")) == 1


def test_posts_go_out_without_a_picture_where_that_is_wanted(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """By the setting, but for the site that would rather wait."""
    patient = f"{site}-patient"
    queue.run('insert into sites (instance_id, settings) values (%s, \'{"image_trouble": "wait"}\')', patient)
    queue.add(patient, "one", "two")
    queue.add(site, *(f"topic {n}" for n in range(8)))
    vendors.set("faults", kind="no_credit", vendor="replicate")
    start(vendors, "--concurrency", "3", BLOGWORKER_IMAGE_TROUBLE="skip")

    until(lambda: queue.count("status = 'DONE'") == 8, of=queue.told)
    until(lambda: queue.count("stage = 'image' and status <> 'PROCESSING'") == 2, of=queue.told)
    reasons = queue.run("select distinct output ->> 'reason' as reason from generation_stages where stage = 'image'")
    assert all(row["reason"].startswith("no picture: the circuit breaker of replicate is open") for row in reasons)
    vendors.forgive()
    queue.run("update provider_health set state = 'closed' where provider = 'replicate'")
    until(queue.queue_is_empty, of=queue.told)

    assert spent(queue) == []
    with_picture = queue.run("select instance_id, image is not null as pictured from blog_posts")
    assert {row["instance_id"] for row in with_picture if row["pictured"]} == {patient}
