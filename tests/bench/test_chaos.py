"""The parts of the chaos bench: what they do to a database and to processes, and what the audit makes of it."""

import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anyio import fail_after, sleep

from blogworker.bench.chaos import promises
from blogworker.bench.chaos.crowd import Crowd
from blogworker.bench.chaos.evidence import Evidence, Report, watch
from blogworker.bench.chaos.fleet import Fleet
from blogworker.bench.chaos.incompatible import IncompatibleDatabase
from blogworker.bench.chaos.logbook import Logbook
from blogworker.bench.chaos.poison import Poisoner, poisons
from blogworker.bench.chaos.producers import Ledger
from blogworker.bench.chaos.storm import Tally
from blogworker.db.pool import Database

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
SLEEP = "import time; time.sleep(600)"


def evidence(**other: Any) -> Evidence:
    report = Report(
        ledger=Ledger(1), tally=Tally(), exits=Counter(), killed=0, logbook=Logbook(Counter(), ()), poisons=1
    )
    report.ledger.accepted.add("walnut desk no. 1")
    facts: dict[str, Any] = {
        "report": report,
        "blogs": [blog()],
        "poisoned": [blog(topic="poison 1: NaN", poisoned=True, status="FAILED", error="cannot be read")],
        "ends": [],
        "claims": [],
        "lost_places": [],
        "spend": {"stored": 3, "recorded": 3},
        "stats": {},
        "posts": [],
    }
    return Evidence(**{**facts, **other})


def blog(**other: Any) -> dict[str, Any]:
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
    ended = {"job_id": 1, "instance_id": "chaos-site-0", "attempt": 1, "became": "PENDING", "error": "x", "at": NOON}
    return {**ended, "spent": False, "buying": False, "kind": None, **other}


def claims(*seconds: float, site: str = "chaos-site-0") -> list[dict[str, Any]]:
    return [{"job_id": 1, "instance_id": site, "attempt": 1, "at": NOON + timedelta(seconds=s)} for s in seconds]


def exits(codes: Mapping[int, int], *, killed: int) -> Evidence:
    found = evidence()
    return replace(found, report=replace(found.report, exits=Counter(codes), killed=killed))


def test_an_audit_of_a_fleet_that_kept_its_promises_finds_them_kept() -> None:
    found = evidence()

    for promise in (
        *(promises.done_once, promises.nothing_stuck, promises.poison_harms_nobody, promises.poison_ends),
        *(promises.only_poison_fails, promises.incompatible_database_is_free, promises.claims_go_on),
        promises.workers_end_only_when_killed,
    ):
        assert promise(found).kept, promise(found)


def test_an_innocent_blog_that_is_not_done_was_harmed() -> None:
    assert not promises.poison_harms_nobody(evidence(blogs=[blog(status="PENDING", ended=False)])).kept
    assert not promises.poison_harms_nobody(evidence(blogs=[])).kept


def test_a_site_whose_place_in_the_line_is_no_number_was_harmed() -> None:
    assert not promises.poison_harms_nobody(evidence(lost_places=["chaos-site-0"])).kept


def test_a_poisoned_row_that_waits_for_ever_is_stuck() -> None:
    waits = blog(topic="poison 1: deep", poisoned=True, status="PENDING", ended=False)

    assert not promises.poison_ends(evidence(poisoned=[waits])).kept


def test_what_fails_is_poisoned_and_says_why() -> None:
    silent = blog(topic="poison 1: NaN", poisoned=True, status="FAILED", error=None)

    assert not promises.only_poison_fails(evidence(blogs=[blog(status="FAILED", error="worn out")])).kept
    assert not promises.only_poison_fails(evidence(poisoned=[silent])).kept


@pytest.mark.parametrize("kind", ["InsufficientPrivilege", "UndefinedFunction", "UndefinedColumn"])
def test_an_attempt_that_a_database_misfit_costs_breaks_the_promise(kind: str) -> None:
    assert not promises.incompatible_database_is_free(evidence(ends=[end(kind=kind, spent=True)])).kept
    assert not promises.incompatible_database_is_free(evidence(ends=[end(kind=kind, became="FAILED")])).kept
    assert promises.incompatible_database_is_free(evidence(ends=[end(kind=kind)])).kept


@pytest.mark.parametrize("kind", ["Unavailable", "LeaseLost", "NumericValueOutOfRange", None])
def test_an_attempt_that_ended_for_another_reason_says_nothing_of_a_misfit(kind: str | None) -> None:
    assert promises.incompatible_database_is_free(evidence(ends=[end(kind=kind, spent=True)])).kept


def test_a_process_that_ends_by_itself_is_told_from_one_that_was_killed() -> None:
    """75 is a worker that was started while the database was away: systemd tries again."""
    assert promises.workers_end_only_when_killed(exits({-9: 4, 75: 2}, killed=4)).kept
    assert promises.workers_end_only_when_killed(exits({-9: 3}, killed=4)).kept, "one may not have been waited for"
    assert not promises.workers_end_only_when_killed(exits({-9: 5}, killed=4)).kept, "somebody else killed one"
    assert not promises.workers_end_only_when_killed(exits({1: 1}, killed=0)).kept


def test_a_pause_of_innocent_claims_is_seen_behind_those_of_others() -> None:
    longest = promises.LONGEST_PAUSE_S

    assert promises.claims_go_on(evidence(claims=claims(0, longest, 2 * longest))).kept
    paused = [*claims(0), *claims(longest / 2, site="burst-1"), *claims(longest + 1)]
    assert not promises.claims_go_on(evidence(claims=paused)).kept


async def test_each_poisoned_row_is_in_the_table_or_was_refused(database: Database) -> None:
    """Whether the database takes a row is not the bench's business; that none is forgotten is."""
    await watch(database)
    poisoner = Poisoner(database)

    await poisoner.insert()

    there = [blog for blog in await database.rows("bench/chaos_blogs") if blog["poisoned"]]
    assert len(there) == len(poisoner.accepted)
    assert len(poisoner.accepted) + poisoner.refused.total() == len(list(poisons()))
    assert all(len(sqlstate) == 5 for sqlstate in poisoner.refused)


async def test_a_burst_is_over_as_soon_as_it_is_there(database: Database) -> None:
    crowd = Crowd(database, "", sites=50)

    await crowd.burst()

    assert sorted(crowd.acts.values()) == [25, 25, 50]
    assert (await database.one("bench/chaos_state"))["open"] == 0


async def test_a_function_that_was_renamed_has_its_name_again(database: Database) -> None:
    await IncompatibleDatabase(database).rename(0)

    assert (await database.one("bench/chaos_quota_round"))["there"]


async def test_only_the_fleets_own_processes_are_killed(tmp_path: Path) -> None:
    """A pid out of a table may be anybody's by now."""
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
