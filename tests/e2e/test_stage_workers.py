"""Workers of different stages share what holds for the fleet: circuit breakers, budgets and the weights of sites."""

import re

import pytest

from .conftest import Program, Queue, Start, Vendors, until

TEXTS = ("--stages", "source,ideas,content", "--slots", "content=3")
PICTURES = ("--stages", "image,publish", "--slots", "image=4,publish=5")
# A probe of an open breaker would be a call.
NO_PROBE = """
update provider_health set retry_at = now() + interval '1 hour' where provider = 'replicate' and state = 'open'
returning provider
"""
PAUSE = "insert into stage_pauses (stage, reason) values ('publish', 'the test')"


def start_fleet(start: Start, vendors: Vendors) -> dict[str, Program]:
    return {
        name: start(vendors, "--name", name, *stages, BLOGWORKER_HEARTBEAT_INTERVAL="0.2")
        for name, stages in (("texts", TEXTS), ("pictures", PICTURES))
    }


def calls(vendors: Vendors, *providers: str) -> int:
    """How many calls these providers got from workers. Wix fetches files from Replicate."""
    counted = [vendors.get("stats")["vendors"][provider] for provider in providers]
    return sum(counts["requests"] - counts["operations"].get("files.get", 0) for counts in counted)


def stages_of(worker: Program) -> set[str]:
    return {event["stage"] for event in worker.events("stage_completed")}


@pytest.mark.timeout(180)
def test_a_breaker_stops_its_provider_on_all_workers_and_only_that(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """No credit for pictures: texts go on to the last one, and no worker sends anything to Replicate."""
    vendors.set("faults", kind="no_credit", vendor="replicate")
    fleet = start_fleet(start, vendors) | {"all": start(vendors, "--name", "all", "--concurrency", "3")}
    queue.add(site, *(f"topic {n}" for n in range(6)))
    until(lambda: queue.run(NO_PROBE), of=queue.told)
    until(lambda: queue.count("status <> 'PROCESSING' and stage = 'image'") == 6, of=queue.told)
    sent = calls(vendors, "replicate")

    queue.add(site, *(f"later topic {n}" for n in range(20)))
    until(lambda: queue.count("status <> 'PROCESSING' and stage = 'image'") == 26, of=queue.told)

    assert calls(vendors, "replicate") == sent
    vendors.forgive()
    queue.run("update provider_health set state = 'closed' where provider = 'replicate'")
    until(queue.queue_is_empty, of=queue.told)
    assert queue.count("failures > 0") == 0
    assert stages_of(fleet["texts"]) == {"source", "ideas", "content"}
    assert stages_of(fleet["pictures"]) == {"image", "publish"}
    assert vendors.duplicates(site) == []


@pytest.mark.timeout(180)
def test_a_budget_that_is_used_up_stops_paid_stages_on_all_workers(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """What is paid for is published meanwhile. A higher budget lets all go on."""
    queue.run(PAUSE)
    queue.add(site, *(f"topic {n}" for n in range(30)))
    fleet = start_fleet(start, vendors)
    until(lambda: queue.count("stage = 'publish'") >= 5 and queue.count("stage = 'image'"), of=queue.told)

    queue.run("update fleet_budget set month_usd = (select sum(cost_usd) from fleet_spend)")
    until(lambda: queue.value("select stopped_until > now() from fleet_budget"), of=queue.told)
    until(lambda: queue.count("status = 'PROCESSING'") == 0, of=queue.told)
    paid = calls(vendors, "openai", "replicate")
    made = queue.count("stage = 'publish'")
    queue.run("delete from stage_pauses")
    until(lambda: queue.count("status = 'DONE'") == made, of=queue.told)
    for worker in fleet.values():  # each has had the time to claim
        beats = len(worker.events("heartbeat"))
        until(lambda worker=worker, beats=beats: len(worker.events("heartbeat")) >= beats + 5, of=worker.said)

    assert calls(vendors, "openai", "replicate") == paid
    assert 0 < made < 30
    assert queue.count("status = 'DONE'") == made
    assert all(worker.events("heartbeat")[-1]["budget_exhausted"] for worker in fleet.values())
    queue.run("update fleet_budget set month_usd = null")
    until(queue.queue_is_empty, of=queue.told)
    assert queue.count("failures > 0") == 0


NARROW_TEXTS = ("openai", 0.5, TEXTS, PICTURES)
NARROW_PUBLISHING = (
    "wix",
    0.1,
    ("--stages", "source,ideas,content", "--slots", "content=8"),
    ("--stages", "image,publish", "--slots", "image=4,publish=2"),
)


@pytest.mark.proof
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("slow", "delay_s", "texts", "pictures"), [NARROW_TEXTS, NARROW_PUBLISHING], ids=["texts", "publishing"]
)
def test_weights_hold_across_workers_of_different_stages(
    vendors: Vendors,
    queue: Queue,
    start: Start,
    site: str,
    slow: str,
    delay_s: float,
    texts: tuple[str, ...],
    pictures: tuple[str, ...],
) -> None:
    """Of two sites with a backlog, the heavier has at any moment three times the finished blogs of the other, give or
    take half the slots, whichever stage is the narrowest. A slow provider makes it so, however busy this machine is."""
    vendors.set("faults", kind="latency", vendor=slow, delay_s=delay_s)
    heavy, light = f"{site}-heavy", f"{site}-light"
    queue.run("insert into sites (instance_id, own_weight) values (%s, 3), (%s, 1)", heavy, light)
    queue.add(heavy, *(f"topic {n}" for n in range(60)))
    queue.add(light, *(f"topic {n}" for n in range(30)))
    for name, stages in (("texts", texts), ("pictures", pictures)):
        start(vendors, "--name", name, *stages)
    until(lambda: queue.count(f"instance_id = '{heavy}' and status = 'DONE'") >= 42, of=queue.told, within_s=180)

    ended = queue.run("select instance_id from blog_generations where status = 'DONE' order by finished_at, id")

    slots = sum(int(number) for number in re.findall(r"=(\d+)", f"{texts} {pictures}"))
    shares = {heavy: 0, light: 0}
    for row in ended:
        shares[row["instance_id"]] += 1
        assert abs(shares[light] - shares[heavy] / 3) <= slots / 2, shares
    assert shares[light] < 30, "it had a backlog until the end"
