"""Real worker processes: what they make, how they leave, and what happens when they are killed."""

import io
import signal
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from .conftest import Queue, Start, Vendors, until

TERM, KILL, INT = signal.SIGTERM, signal.SIGKILL, signal.SIGINT
KEYS = {"OPENAI_API_KEY": "sk-hunter2", "REPLICATE_API_TOKEN": "r8-hunter2", "WIX_APP_SECRET": "hunter2"}
LATE_S = 30.0
NO_WIX = {"WIX_APP_ID": "", "WIX_APP_SECRET": ""}
PRODUCTS = ({"name": "Low Water Mug", "price": "26.00"}, {"name": "Tide Bowl", "vendor": "Tidewrack Pottery"})
NOTES = "We fire our stoneware twice. The second firing takes eleven hours and makes the glaze food safe."


def slow_down(vendors: Vendors, site: str) -> None:
    """Wix takes a second for each draft of this site."""
    vendors.set("faults", kind="latency", operation="drafts.create", site=site, delay_s=1.0)


def answer_no_drafts(vendors: Vendors, site: str, times: int) -> None:
    """Wix makes the next drafts of this site, and does not tell."""
    vendors.set("faults", kind="no_answer", operation="drafts.create", site=site, delay_s=60.0, times=times)


def unanswered(vendors: Vendors) -> int:
    return sum(fault["hits"] for fault in vendors.get("faults")["faults"])


def test_a_mixture_of_sources_becomes_published_illustrated_posts(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    sites = [f"{site}-{n}" for n in range(3)]
    for place, name in enumerate(sites):
        queue.add(name, f"glazes for beginners {place}", "how to wedge clay")
        queue.add_blog(name, "product", PRODUCTS[place % 2])
    queue.add_blog(sites[0], "text", {"text": NOTES})

    worker = start(vendors, "--until-empty", "--name", "one", **KEYS)

    assert worker.ended() == 0, worker.said()
    assert queue.queue_is_empty(), queue.told()
    posts = queue.run("select p.*, g.failures from blog_posts as p join blog_generations as g on g.id = generation_id")
    assert len(posts) == 10
    assert len({(post["instance_id"], post["title"]) for post in posts}) == 10
    for post in posts:
        assert post["failures"] == 0
        assert post["word_count"] > 300
        Image.open(io.BytesIO(post["image"])).verify()
    shown = vendors.posts(*sites)
    assert {post["id"] for post in shown} == {post["wix_post_id"] for post in posts}
    assert {post["title"] for post in shown} == {post["title"] for post in posts}
    assert len(shown) == 10
    assert vendors.duplicates(*sites) == []
    settled = worker.events("job_settled")
    assert sorted(event["job_id"] for event in settled) == [job_id for (job_id,) in queue.jobs("id")]
    assert {event["title"] for event in settled} == {post["title"] for post in posts}
    costs = {
        row["id"]: row["usd"]
        for row in queue.run(
            "select generation_id as id, sum(cost_usd)::float as usd from generation_stages group by generation_id"
        )
    }
    assert {event["job_id"]: event["cost_usd"] for event in settled} == pytest.approx(
        costs, abs=1e-5
    )  # each is rounded
    models = {
        event["stage"]: (event.get("model"), event.get("tokens", 0) > 0) for event in worker.events("stage_completed")
    }
    assert models["content"] == ("gpt-6.1-terra", True)
    assert models["image"] == ("black-forest-labs/flux-schnell", False)
    assert models["publish"] == (None, False)
    stopped = worker.logged("worker_stopped")
    assert (stopped["settled"], stopped["released"]) == (len(settled), 0)
    assert queue.value("select count(*) from workers") == 0
    assert worker.errors.read_text() == ""
    assert "hunter2" not in worker.log.read_text()


def test_without_wix_credentials_the_post_is_kept(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    (job_id,) = queue.add(site, "salt glaze")

    worker = start(vendors, "--until-empty", **NO_WIX)

    assert worker.ended() == 0, worker.said()
    assert queue.jobs("status") == [("DONE",)]
    (post,) = queue.run("select * from blog_posts where generation_id = %s", job_id)
    assert (post["wix_post_id"], post["wix_draft_id"], post["published_at"]) == (None, None, None)
    assert post["image"]
    (said,) = queue.run("select output from generation_stages where stage = 'publish'")
    assert said["output"] == {"published": False, "reason": "no Wix credentials: post kept in blog_posts"}
    assert vendors.posts(site) == []


def test_a_first_signal_lets_held_jobs_finish_and_claims_no_more(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    queue.add(site, *(f"topic {n}" for n in range(12)))
    slow_down(vendors, site)
    worker = start(vendors, "--concurrency", "4")
    until(lambda: vendors.get("stats")["in_flight"] and queue.count("stage = 'publish'") >= 2, of=worker.said)

    worker.tell(TERM)

    assert worker.ended() == 0, worker.said()
    statuses = [status for (status,) in queue.jobs("status")]
    assert set(statuses) == {"DONE", "PENDING"}, queue.told()
    assert 1 <= statuses.count("DONE") <= 8
    assert queue.count("failures > 0 or rescues > 0") == 0
    drained = worker.logged("drain_started")
    assert (drained["signal"], drained["in_flight"]) == ("SIGTERM", 4)
    assert queue.value("select count(*) from workers") == 0


def test_a_hangup_reloads_and_ends_no_job(
    vendors: Vendors, queue: Queue, start: Start, site: str, tmp_path: Path
) -> None:
    """A settings file is read again; a wrong one changes nothing, and what cannot change is named."""
    settings = tmp_path / "blogworker.env"
    settings.write_text("BLOGWORKER_CONCURRENCY=2\nBLOGWORKER_POLL_INTERVAL=9\n")
    queue.add(site, *(f"topic {n}" for n in range(12)))
    slow_down(vendors, site)
    worker = start(vendors, BLOGWORKER_ENV_FILE=str(settings))
    until(lambda: queue.count("status = 'PROCESSING'") == 2, of=worker.said)

    settings.write_text("BLOGWORKER_CONCURRENCY=0\n")
    worker.tell(signal.SIGHUP)
    assert "BLOGWORKER_CONCURRENCY" in worker.logged("reload_failed")["error"]
    settings.write_text("BLOGWORKER_CONCURRENCY=6\nBLOGWORKER_POLL_INTERVAL=3\nBLOGWORKER_LEASE=20\n")
    worker.tell(signal.SIGHUP)

    reloaded = worker.logged("settings_reloaded")
    assert reloaded["changed"] == {"BLOGWORKER_CONCURRENCY": "2 -> 6", "BLOGWORKER_POLL_INTERVAL": "9.0 -> 3.0"}
    assert reloaded["needs_restart"] == {"BLOGWORKER_LEASE": "15.0 -> 20.0"}
    until(lambda: queue.count("status = 'PROCESSING'") == 6, of=worker.said)
    assert queue.value("select concurrency from workers") == 6
    vendors.forgive()
    until(queue.queue_is_empty, of=queue.told)
    assert queue.count("failures > 0 or rescues > 0 or attempt > 1") == 0
    assert vendors.duplicates(site) == []


def test_jobs_that_outlast_the_drain_are_handed_back(
    slow_vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """With their checkpoints and without an attempt spent: whoever claims them goes on where they were."""
    queue.add(site, "raku", "celadon", "shino")
    worker = start(slow_vendors, "--drain-timeout", "0.5")
    until(lambda: queue.count("status = 'PROCESSING' and stage = 'ideas'") == 3, of=worker.said)

    worker.tell(TERM)

    assert worker.ended(within_s=30) == 0, worker.said()
    assert queue.jobs("status", "failures", "rescues", "stage") == [("PENDING", 0, 0, "ideas")] * 3
    assert [event["outcome"] for event in worker.events("job_settled")] == ["release"] * 3
    stopped = worker.logged("worker_stopped")
    assert (stopped["settled"], stopped["released"]) == (0, 3)
    assert queue.value("select count(*) from generation_stages where stage = 'source'") == 3


def test_a_second_signal_releases_what_is_held_at_once(
    slow_vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    queue.add(site, "raku", "celadon", "shino")
    worker = start(slow_vendors, "--drain-timeout", "600")
    until(lambda: queue.count("status = 'PROCESSING' and stage = 'ideas'") == 3, of=worker.said)

    worker.tell(TERM)
    worker.logged("drain_started")
    worker.tell(INT)

    assert worker.ended(within_s=30) == 0, worker.said()
    assert worker.logged("drain_interrupted")["in_flight"] == 3
    assert queue.jobs("status", "failures") == [("PENDING", 0)] * 3


def test_jobs_of_a_killed_worker_are_rescued_and_published_once(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    sites = [f"{site}-{n}" for n in range(3)]
    for name in sites:
        queue.add(name, *(f"topic {n}" for n in range(4)))
    answer_no_drafts(vendors, sites[2], 4)
    victim = start(vendors, "--name", "victim", BLOGWORKER_LEASE="3")
    # The others are done: one killed in the middle of a call would wait 40 s for a draft that never came to be.
    until(lambda: unanswered(vendors) == 4 and queue.count("status = 'DONE'") == 8, of=victim.said)

    victim.tell(KILL)
    held = queue.count("status = 'PROCESSING'")
    rescuer = start(vendors, "--name", "rescuer", "--until-empty", BLOGWORKER_LEASE="3")

    assert rescuer.ended() == 0, rescuer.said()
    assert held >= 4
    assert queue.queue_is_empty(), queue.told()
    assert sum(event["count"] for event in rescuer.events("jobs_rescued")) == held
    assert {name for event in rescuer.events("jobs_rescued") for name in event["workers"]} == {"victim"}
    assert queue.count("failures = 0") == 12
    assert queue.count("attempt >= 2") >= held  # a lease of 3 s may end on a busy machine, which costs no attempt
    assert queue.value("select count(*) from generation_errors where kind = 'LeaseLost'") == held
    assert len(vendors.posts(*sites)) == 12
    assert vendors.duplicates(*sites) == []


def test_a_new_process_of_the_same_name_takes_over_at_once(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """After a restart nobody waits out a lease; and of two with one name by mistake only one works."""
    queue.add(site, "raku", "celadon", "shino")
    answer_no_drafts(vendors, site, 3)
    first = start(vendors, "--name", "same", BLOGWORKER_LEASE="6")
    until(lambda: unanswered(vendors) == 3, of=first.said)

    second = start(vendors, "--name", "same", "--until-empty", BLOGWORKER_LEASE="6")

    assert second.logged("worker_replaced")["worker"] == "same"
    assert first.ended(within_s=30) == 1, first.said()
    complaint = first.errors.read_text()
    assert complaint.startswith("blogworker: another process now runs as same"), complaint
    assert complaint.count("\n") == 1, complaint
    assert first.events("lease_lost")
    assert second.ended() == 0, second.said()
    assert queue.queue_is_empty(), queue.told()
    assert queue.count("failures > 0") == 0
    assert len(vendors.posts(site)) == 3
    assert vendors.duplicates(site) == []


def test_a_worker_that_was_frozen_past_its_lease_begins_anew(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """A laptop lid, a live migration, a swap storm: it must not go on as if nothing had happened."""
    queue.add(site, "raku", "celadon")
    answer_no_drafts(vendors, site, 2)
    worker = start(vendors, "--name", "frozen", "--until-empty", BLOGWORKER_LEASE="3")
    until(lambda: unanswered(vendors) == 2, of=worker.said)

    worker.tell(signal.SIGSTOP)
    until(lambda: queue.value("select lease_until < now() from workers"))
    worker.tell(signal.SIGCONT)

    assert worker.ended() == 0, worker.said()
    assert worker.events("lease_lost")
    leases = [event["worker_id"] for event in worker.events("worker_started")]
    assert len(leases) == len(set(leases)) >= 2  # a busy machine may be late with an extension once more
    assert queue.queue_is_empty(), queue.told()
    assert queue.count("failures > 0") == 0
    assert len(vendors.posts(site)) == 2
    assert vendors.duplicates(site) == []


def test_a_new_blog_wakes_an_idle_worker(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    worker = start(vendors, BLOGWORKER_POLL_INTERVAL="60")
    worker.logged("listen_connected")
    until(lambda: queue.value("select count(*) from workers"), of=worker.said)

    queue.add(site, "raku")

    until(lambda: queue.count("claimed_at is not null"), of=worker.said)
    assert queue.value("select extract(epoch from claimed_at - created_at)::float from blog_generations") < 30


def test_systemd_is_told_of_ready_alive_and_stopping(
    vendors: Vendors, queue: Queue, start: Start, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        worker = start(vendors, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")

        while (ready := manager.recv(4096).decode().splitlines())[0] != "READY=1":
            assert "WATCHDOG=1" in ready  # also before there is a lease
            assert any(fact.startswith("EXTEND_TIMEOUT_USEC=") for fact in ready)
        assert queue.value("select count(*) from workers") == 1
        while b"WATCHDOG=1" not in manager.recv(4096):
            pass
        worker.tell(TERM)
        while (stopping := manager.recv(4096).decode().splitlines())[0] != "STOPPING=1":
            assert "WATCHDOG=1" in stopping

    assert ready[1].startswith("STATUS=")
    assert worker.ended() == 0, worker.said()


BRING_FORWARD = """
with sooner as (
    update scheduled_blogs set publish_at = clock_timestamp() + interval '1 second'
    returning blog_generation_id, publish_at
)
update blog_generations as g set run_at = s.publish_at from sooner as s where g.id = s.blog_generation_id
"""


def test_a_blog_with_a_date_is_made_ahead_and_published_on_time(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    worker = start(vendors, "--until-empty", "--concurrency", "1")
    queue.add_blog(site, "keyword", {"keyword": "raku"}, publish_in_s=500)

    until(lambda: queue.count("status = 'SCHEDULED' and stage = 'publish'"), of=worker.said)
    assert vendors.posts(site) == []
    assert queue.jobs("failures", "error") == [(0, "made ahead: waits for its time to be published")]
    assert queue.value("select wix_draft_id is not null and published_at is null from blog_posts")
    queue.run(BRING_FORWARD)

    assert worker.ended() == 0, worker.said()
    assert queue.jobs("status", "failures", "attempt") == [("DONE", 0, 2)]
    assert len(vendors.posts(site)) == 1
    (times,) = queue.run("select published_at, publish_at from blog_posts, scheduled_blogs")
    late = times["published_at"] - times["publish_at"]
    assert timedelta() <= late < timedelta(seconds=LATE_S)


def test_a_vendor_that_stumbles_costs_an_attempt_and_no_blog(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    queue.add(site, f"kiln wash {site}")
    vendors.set("faults", kind="status", vendor="openai", status=503, contains=site, times=1)
    vendors.set("faults", kind="status", vendor="wix", operation="media.import", status=500, site=site, times=1)

    worker = start(vendors, "--until-empty")

    assert worker.ended() == 0, worker.said()
    assert queue.jobs("status", "failures", "error") == [("DONE", 2, None)]
    errors = queue.run("select * from generation_errors order by id")
    assert [(e["provider"], e["status"], e["kind"], e["retryable"]) for e in errors] == [
        ("openai", 503, "Unavailable", True),
        ("wix", 500, "Unavailable", True),
    ]
    assert all(e["request_id"] for e in errors)
    assert [event["status"] for event in worker.events("job_settled")] == ["PENDING", "PENDING", "DONE"]
    assert vendors.duplicates(site) == []


def test_a_vendor_that_is_busy_is_waited_for_at_no_cost(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    queue.add(site, f"kiln wash {site}")
    vendors.set("faults", kind="throttle", vendor="openai", contains=site, retry_after_s=1.0, times=1)

    worker = start(vendors, "--until-empty")

    assert worker.ended() == 0, worker.said()
    assert queue.jobs("status", "failures", "attempt") == [("DONE", 0, 2)]
    (error,) = queue.run("select kind, status from generation_errors")
    assert error == {"kind": "RateLimited", "status": 429}
    assert [event["outcome"] for event in worker.events("job_settled")] == ["wait", "done"]


def test_a_site_that_left_is_paused_and_the_others_go_on(
    vendors: Vendors, queue: Queue, start: Start, site: str
) -> None:
    """Its blogs stay, with what was already paid for, until somebody resumes it."""
    gone, here = f"{site}-gone", f"{site}-here"
    queue.add(gone, "raku", "celadon")
    queue.add(here, "raku", "celadon")
    vendors.set("faults", kind="revoked", vendor="wix", site=gone)

    worker = start(vendors, "--until-empty")
    assert worker.ended() == 0

    assert queue.count(f"instance_id = '{here}' and status = 'DONE'") == 2
    assert queue.count(f"instance_id = '{gone}' and status = 'PENDING' and failures = 0") == 2
    (paused,) = queue.run("select pause_reason from sites where paused_at is not null")
    assert "App is not installed" in paused["pause_reason"]
    assert [event["instance_id"] for event in worker.events("site_paused")] == [gone]

    vendors.forgive()
    paid = vendors.get("stats")["vendors"]["openai"]["requests"]
    queue.run("update sites set paused_at = null")
    assert start(vendors, "--until-empty").ended() == 0
    assert queue.queue_is_empty(), queue.told()
    assert vendors.get("stats")["vendors"]["openai"]["requests"] == paid
    assert len(vendors.posts(gone)) == 2
    assert vendors.duplicates(gone, here) == []


def test_connections_cut_by_the_database_cost_nothing(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    """As after a failover or a restart of Postgres."""
    queue.add(site, *(f"topic {n}" for n in range(6)))
    slow_down(vendors, site)
    worker = start(vendors, "--until-empty", "--name", "cut")
    until(lambda: queue.count("stage = 'publish'"), of=worker.said)

    cut: list[dict[str, Any]] = queue.run(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid() and application_name like 'blogworker%'"
    )

    assert len(cut) >= 2
    assert worker.ended() == 0, worker.said()
    assert queue.queue_is_empty(), queue.told()
    assert queue.count("failures > 0 or rescues > 0") == 0
    assert len(vendors.posts(site)) == 6
    assert vendors.duplicates(site) == []
