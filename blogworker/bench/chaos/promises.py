"""The promises. Each function returns whether the evidence shows that a promise was kept."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from signal import SIGKILL
from typing import Any

from blogworker.bench.chaos.evidence import Evidence

RETRIED_KINDS = ("LeaseLost", "OutcomeUnknown", "Unavailable", "PredictionFailed", "PredictionGone")
NO_RESTART = (0, 2)  # exit codes after which systemd does not restart a worker
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Promise:
    name: str
    kept: bool
    evidence: str


def done_once(found: Evidence) -> Promise:
    submissions = found.report.submissions
    statuses = {job["topic"]: job["status"] for job in found.jobs}
    lost = [topic for topic in submissions.accepted if statuses.get(topic) != "DONE"]
    again = [job["topic"] for job in found.jobs if job["done"] > 1]
    twice = [topic for topic, count in Counter(job["topic"] for job in found.jobs).items() if count > 1]
    undeleted = [topic for topic in submissions.deleted if topic in statuses]
    evidence = f"{len(submissions.accepted)} accepted, {len(lost)} not DONE, {len(again) + len(twice)} more than once"
    kept = not (lost or again or twice or undeleted)
    return Promise("every accepted job is DONE exactly once", kept, evidence + _list(lost + again + twice + undeleted))


def published_once(found: Evidence) -> Promise:
    jobs = [*found.jobs, *found.poisoned]
    ours = sorted(str(job["post_id"]) for job in jobs if job["status"] == "DONE")
    theirs = sorted(str(post["id"]) for post in found.posts)
    wix = found.stats["wix"]
    # A poisoned job may fail after its draft was created.
    drafts_left = wix["drafts_created"] - len(ours)
    may_leave = sum(job["status"] != "DONE" for job in found.poisoned)
    kept = ours == theirs and len(set(ours)) == len(ours) and 0 <= drafts_left <= may_leave and not wix["duplicates"]
    evidence = f"{len(ours)} jobs DONE, {wix['drafts_created']} drafts, {len(theirs)} posts"
    different = set(ours) ^ set(theirs)
    return Promise("each job has one draft and one post on its site", kept, evidence + _list(different | _titles(wix)))


def paid_once(found: Evidence) -> Promise:
    repeated, bound = found.paid - found.stored, len(found.interrupted)
    evidence = f"{repeated} paid answers lost, at most {bound} calls in flight when an attempt or an answer was lost"
    return Promise("a paid call is repeated only if it was in flight", repeated <= bound, evidence)


def nothing_stuck(found: Evidence) -> Promise:
    stuck = [f"{job['job_id']} {job['status']}" for job in found.jobs if not job["ended"]]
    return Promise("no job is stuck", not stuck, f"{len(stuck)} not ended" + _list(stuck))


def failed_for_a_reason(found: Evidence) -> Promise:
    failed = [end for end in found.ordinary_ends if end["new_status"] in ("FAILED", "CANCELLED")]
    other = [f"{end['job_id']}: {end['error']}" for end in failed if end["kind"] not in RETRIED_KINDS]
    evidence = f"{len(failed)} out of attempts, all reset by hand" if not other else f"{len(other)} for another reason"
    return Promise("a job ends FAILED only without attempts or rescues left", not other, evidence + _list(other))


def spend_recorded_once(found: Evidence) -> Promise:
    recorded = found.spend["recorded"]
    evidence = f"{found.stored} paid answers stored, {recorded} calls in the ledger"
    return Promise("the cost of a call is recorded once, with its answer", recorded == found.stored, evidence)


def workers_can_restart(found: Evidence) -> Promise:
    exits, logs = found.report.exits, found.report.logs
    final = sum(exits[code] for code in NO_RESTART)
    kept = not (final or logs.tracebacks or logs.unexpected)
    evidence = f"{final} exits without a restart, {logs.tracebacks} tracebacks, {logs.unexpected} unexpected errors"
    return Promise("no worker crashes, or exits with a code that prevents its restart", kept, evidence)


def workers_end_only_when_signalled(found: Evidence) -> Promise:
    """A worker that starts while the database is unavailable may exit to be restarted."""
    exits, killed = found.report.exits, found.report.killed
    other = exits - Counter({-SIGKILL.value: killed, os.EX_TEMPFAIL: exits[os.EX_TEMPFAIL]})
    codes = [f"{count} with code {code}" for code, count in sorted(other.items())]
    evidence = f"{killed} killed by the bench, {other.total()} exited by themselves"
    return Promise("no worker process exits by itself", not other, evidence + _list(codes))


def poison_is_isolated(found: Evidence) -> Promise:
    submissions = found.report.submissions
    done = {job["topic"] for job in found.jobs if job["status"] == "DONE"}
    not_done = [topic for topic in submissions.accepted if topic not in done]
    refused = found.report.refused
    evidence = (
        f"{found.report.poisons} poisoned rows accepted, {refused.total()} refused; "
        f"{len(not_done)} of {len(submissions.accepted)} other jobs not DONE, {len(found.broken_sites)} of "
        f"{len(submissions.sites)} other sites without a valid place in the line"
    )
    kept = not (not_done or found.broken_sites)
    return Promise("poisoned rows affect no other job or site", kept, evidence + _list(found.broken_sites))


def poison_ends(found: Evidence) -> Promise:
    stuck = [f"{job['topic']} {job['status']}" for job in found.poisoned if not job["ended"]]
    by_status = Counter(str(job["status"]) for job in found.poisoned)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(by_status.items()))
    evidence = f"{counts or 'no poisoned rows'}; {len(stuck)} neither ended nor scheduled"
    return Promise("each poisoned row ends, or waits for its own time", not stuck, evidence + _list(stuck))


def only_poison_fails(found: Evidence) -> Promise:
    others = [f"{job['topic']}: {job['error']}" for job in found.jobs if job["status"] == "FAILED"]
    failed = [job for job in found.poisoned if job["status"] == "FAILED"]
    no_reason = [f"{job['topic']}" for job in failed if not job["error"]]
    evidence = f"{len(failed)} poisoned FAILED, {len(no_reason)} of them without a reason; {len(others)} others FAILED"
    kept = not (others or no_reason)
    return Promise("only poisoned jobs end FAILED, with a reason", kept, evidence + _list(others + no_reason))


def incompatible_database_uses_no_attempt(found: Evidence) -> Promise:
    spent = [
        f"{end['job_id']} {end['kind']}"
        for end in found.incompatible_ends
        if end["spent"] or end["new_status"] == "FAILED"
    ]
    failed = sum(end["new_status"] == "FAILED" for end in found.incompatible_ends)
    evidence = f"{len(spent)} attempts used, {failed} jobs FAILED because of a missing grant or function"
    return Promise("an incompatible database uses no attempt", not spent, evidence + _list(spent))


def claims_continue(found: Evidence) -> Promise:
    """Until the last ordinary job was claimed. If the fleet stops for good, `done_once` fails."""
    times = [claim["at"] for claim in found.ordinary_claims]
    pauses = [(later - sooner).total_seconds() for sooner, later in pairwise(times)]
    longest = max(pauses, default=0.0)
    evidence = f"longest pause between claims {longest:.1f} s, limit {found.report.longest_pause_s:.0f} s"
    return Promise("claims of the other jobs continue", longest <= found.report.longest_pause_s, evidence)


def _titles(wix: dict[str, Any]) -> set[str]:
    return {f"{duplicate['site']}: {duplicate['title']}" for duplicate in wix["duplicates"]}


def _list(items: Iterable[object]) -> str:
    shown = [str(item) for item in items]
    return f": {', '.join(shown[:SHOWN])}" if shown else ""
