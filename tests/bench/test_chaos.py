"""The parts of the chaos bench: what they do to a database and to processes, and the audit."""

import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from anyio import fail_after, sleep

from blogworker.bench.chaos import promises
from blogworker.bench.chaos.evidence import ANSWER_HISTORY, JOB_HISTORY, Evidence, Report, record
from blogworker.bench.chaos.incompatible import IncompatibleDatabase
from blogworker.bench.chaos.injector import Injected
from blogworker.bench.chaos.plan import LONGEST_PAUSE_S
from blogworker.bench.chaos.poison import Poisoner, poisons
from blogworker.bench.chaos.producers import Submissions
from blogworker.bench.chaos.spikes import LoadSpikes
from blogworker.bench.chaos.worker_logs import WorkerLogs
from blogworker.bench.environment.fleet import Fleet
from blogworker.db.pool import Database

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SLEEP = "import time; time.sleep(600)"


def evidence(**other: Any) -> Evidence:
    report = Report(Submissions(1), Injected(), exits=Counter(), killed=0, logs=WorkerLogs(Counter(), ()), poisons=1)
    report.submissions.accepted.add("walnut desk no. 1")
    facts: dict[str, Any] = {
        "report": report,
        "jobs": [job()],
        "poisoned": [job(topic="poison 1: NaN", poisoned=True, status="FAILED", error="cannot be read")],
        "ends": [],
        "claims": [],
        "broken_sites": [],
        "spend": {"stored": 3, "recorded": 3},
        "stats": {},
        "posts": [],
    }
    return Evidence(**{**facts, **other})


def job(**other: Any) -> dict[str, Any]:
    ended = {
        "job_id": 1,
        "topic": "walnut desk no. 1",
        "poisoned": False,
        "status": "DONE",
        "error": None,
        "ended": True,
    }
    return {**ended, "attempt": 1, "post_id": "p", "done": 1, **other}


def end(**other: Any) -> dict[str, Any]:
    ended = {"job_id": 1, "instance_id": "chaos-site-0", "attempt": 1, "new_status": "PENDING", "error": "x"}
    return {**ended, "at": NOON, "spent": False, "unpaid": False, "kind": None, **other}


def claims(*seconds: float, site: str = "chaos-site-0") -> list[dict[str, Any]]:
    return [{"job_id": 1, "instance_id": site, "attempt": 1, "at": NOON + timedelta(seconds=s)} for s in seconds]


def exits(codes: Mapping[int, int], *, killed: int = 0) -> Evidence:
    found = evidence()
    return replace(found, report=replace(found.report, exits=Counter(codes), killed=killed))


def test_normal_evidence_keeps_every_promise() -> None:
    found = evidence()

    for promise in (
        *(promises.done_once, promises.nothing_stuck, promises.poison_is_isolated, promises.poison_ends),
        *(promises.only_poison_fails, promises.incompatible_database_uses_no_attempt, promises.claims_continue),
        promises.workers_end_only_when_signalled,
    ):
        assert promise(found).kept, promise(found)


def test_another_job_that_is_not_done_breaks_the_isolation() -> None:
    assert not promises.poison_is_isolated(evidence(jobs=[job(status="PENDING", ended=False)])).kept
    assert not promises.poison_is_isolated(evidence(jobs=[])).kept


def test_another_site_without_a_finite_virtual_time_breaks_the_isolation() -> None:
    assert not promises.poison_is_isolated(evidence(broken_sites=["chaos-site-0"])).kept


def test_a_poisoned_row_that_waits_forever_is_stuck() -> None:
    waiting = job(topic="poison 1: deep", poisoned=True, status="PENDING", ended=False)

    assert not promises.poison_ends(evidence(poisoned=[waiting])).kept


def test_only_poisoned_jobs_fail_with_a_reason() -> None:
    no_reason = job(topic="poison 1: NaN", poisoned=True, status="FAILED", error=None)

    assert not promises.only_poison_fails(evidence(jobs=[job(status="FAILED", error="worn out")])).kept
    assert not promises.only_poison_fails(evidence(poisoned=[no_reason])).kept


@pytest.mark.parametrize("kind", ["InsufficientPrivilege", "UndefinedFunction", "UndefinedColumn"])
def test_an_attempt_used_by_an_incompatible_database_breaks_the_promise(kind: str) -> None:
    assert not promises.incompatible_database_uses_no_attempt(evidence(ends=[end(kind=kind, spent=True)])).kept
    assert not promises.incompatible_database_uses_no_attempt(evidence(ends=[end(kind=kind, new_status="FAILED")])).kept
    assert promises.incompatible_database_uses_no_attempt(evidence(ends=[end(kind=kind)])).kept


@pytest.mark.parametrize("kind", ["Unavailable", "LeaseLost", "NumericValueOutOfRange", None])
def test_an_attempt_that_ended_for_another_reason_does_not_count_as_incompatible(kind: str | None) -> None:
    assert promises.incompatible_database_uses_no_attempt(evidence(ends=[end(kind=kind, spent=True)])).kept


def test_a_process_that_exits_by_itself_is_distinguished_from_a_killed_one() -> None:
    """Code 75: the worker started while the database was unavailable. systemd restarts it."""
    assert promises.workers_end_only_when_signalled(exits({-9: 4, 75: 2}, killed=4)).kept
    assert promises.workers_end_only_when_signalled(exits({-9: 3}, killed=4)).kept, "one exit may be missing"
    assert not promises.workers_end_only_when_signalled(exits({-9: 5}, killed=4)).kept, "another process killed one"
    assert not promises.workers_end_only_when_signalled(exits({1: 1})).kept


async def test_only_the_exit_of_a_worker_that_was_stopped_is_not_counted(tmp_path: Path) -> None:
    """And a worker is stopped only once it handles the signal."""
    waits = "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); signal.pause()"
    programs = {"waits": waits, "never": "import signal; signal.pause()", "ends": ""}
    fleet = Fleet({}, tmp_path, command=lambda name: [sys.executable, "-c", programs[name]])
    with fail_after(30):
        async with fleet.supervised(["waits", "never"]):
            while not (fleet.pid("waits") and fleet.handles("waits", SIGTERM)):
                await sleep(0.02)
            assert not fleet.handles("never", SIGTERM)
            first = fleet.send_signal("waits", SIGTERM)
            while fleet.pid("waits") == first:
                await sleep(0.02)
            assert fleet.exits == {}
        async with fleet.supervised(["ends"]):
            while not fleet.exits[0]:
                await sleep(0.02)


def test_claims_of_the_burst_do_not_hide_a_pause() -> None:
    longest = LONGEST_PAUSE_S

    assert promises.claims_continue(evidence(claims=claims(0, longest, 2 * longest))).kept
    paused = [*claims(0), *claims(longest / 2, site="burst-1"), *claims(longest + 1)]
    assert not promises.claims_continue(evidence(claims=paused)).kept


async def test_each_poisoned_row_is_in_the_table_or_was_refused(database: Database) -> None:
    """The database may refuse any row, but the bench must count each."""
    await record(database, JOB_HISTORY, ANSWER_HISTORY)
    poisoner = Poisoner(database)

    await poisoner.insert()

    stored = [job for job in await database.rows("bench/chaos_jobs") if job["poisoned"]]
    assert len(stored) == len(poisoner.accepted)
    assert len(poisoner.accepted) + poisoner.refused.total() == len(list(poisons()))
    assert all(len(sqlstate) == 5 for sqlstate in poisoner.refused)


async def test_a_burst_leaves_no_open_job(database: Database) -> None:
    spikes = LoadSpikes(database, "", sites=50)

    await spikes.burst()

    assert sorted(spikes.counts.values()) == [25, 25, 50]
    assert (await database.one("bench/chaos_state"))["open"] == 0


async def test_a_renamed_function_gets_its_name_back(database: Database) -> None:
    await IncompatibleDatabase(database).rename(0)

    assert (await database.one("bench/chaos_quota_round"))["exists"]


async def test_only_the_fleets_own_processes_are_killed(tmp_path: Path) -> None:
    """A pid from a table may belong to another process by now."""
    parent = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid, flush=True)"
    command = [sys.executable, "-c", f"{parent}; {SLEEP}", SLEEP]
    fleet, others = Fleet({}, tmp_path, command=lambda _: command), Fleet({}, tmp_path, command=lambda _: command)
    try:
        worker, stranger = await fleet.start("one"), await others.start("two")
        with fail_after(10):
            while not (child := fleet.log("one").read_text()).endswith("\n"):
                await sleep(0.01)

        assert not fleet.kill_pid(stranger.pid)
        assert not fleet.kill_pid(os.getpid())
        assert fleet.kill_pid(int(child))
        assert fleet.killed == 0, "a worker's child is not a worker"
        assert fleet.kill_pid(worker.pid)
        assert await worker.wait() == -9
        assert fleet.killed == 1
        assert stranger.returncode is None
    finally:
        for each in (fleet, others):
            await each.stop()
