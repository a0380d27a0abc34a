"""What was promised, one by one: whether it was kept, and the figures that say so."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from signal import SIGKILL
from typing import Any

from blogworker.bench.chaos.evidence import Evidence
from blogworker.bench.chaos.logbook import NEVER_AGAIN

# Worn out, not refused.
DOCUMENTED = ("LeaseLost", "OutcomeUnknown", "Unavailable", "PredictionFailed", "PredictionGone")
LONGEST_PAUSE_S = 30.0  # between two claims: a link that is silent, then a grant that is missing, then a new process
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Promise:
    """One of them, and whether it was kept."""

    name: str
    kept: bool
    evidence: str


def done_once(found: Evidence) -> Promise:
    ledger = found.report.ledger
    statuses = {blog["topic"]: blog["status"] for blog in found.blogs}
    lost = [topic for topic in ledger.accepted if statuses.get(topic) != "DONE"]
    again = [blog["topic"] for blog in found.blogs if blog["done"] > 1]
    twice = [topic for topic, count in Counter(blog["topic"] for blog in found.blogs).items() if count > 1]
    returned = [topic for topic in ledger.deleted if topic in statuses]
    evidence = f"{len(ledger.accepted)} accepted, {len(lost)} not DONE, {len(again) + len(twice)} more than once"
    kept = not (lost or again or twice or returned)
    return Promise(
        "every accepted blog is DONE, exactly once", kept, evidence + _named(lost + again + twice + returned)
    )


def published_once(found: Evidence) -> Promise:
    blogs = [*found.blogs, *found.poisoned]
    ours = sorted(str(blog["post_id"]) for blog in blogs if blog["status"] == "DONE")
    theirs = sorted(str(post["id"]) for post in found.posts)
    wix = found.stats["wix"]
    # A poisoned blog may fail at its end, with its draft made.
    drafts_left = wix["drafts_created"] - len(ours)
    may_leave = sum(blog["status"] != "DONE" for blog in found.poisoned)
    kept = ours == theirs and len(set(ours)) == len(ours) and 0 <= drafts_left <= may_leave and not wix["duplicates"]
    evidence = f"{len(ours)} blogs, {wix['drafts_created']} drafts, {len(theirs)} posts"
    strangers = set(ours) ^ set(theirs)
    return Promise("each has one draft and one post on its site", kept, evidence + _named(strangers | _titles(wix)))


def paid_once(found: Evidence) -> Promise:
    repeated, bound = found.paid - found.stored, len(found.interrupted)
    evidence = f"{repeated} answers lost, at most {bound} in flight when an attempt was cut off or its answer lost"
    return Promise("a paid call is repeated only for the effect in flight", repeated <= bound, evidence)


def nothing_stuck(found: Evidence) -> Promise:
    stuck = [f"{blog['job_id']} {blog['status']}" for blog in found.blogs if not blog["ended"]]
    return Promise("no blog is stuck", not stuck, f"{len(stuck)} not ended" + _named(stuck))


def failed_for_a_reason(found: Evidence) -> Promise:
    failed = [end for end in found.innocent_ends if end["became"] in ("FAILED", "CANCELLED")]
    other = [f"{end['job_id']}: {end['error']}" for end in failed if end["kind"] not in DOCUMENTED]
    evidence = f"{len(failed)} worn out by the storm, all reset by hand" if not other else f"{len(other)} otherwise"
    return Promise("FAILED only after as many rescues or failures as documented", not other, evidence + _named(other))


def spend_recorded_once(found: Evidence) -> Promise:
    recorded = found.spend["recorded"]
    evidence = f"{found.stored} paid answers stored, {recorded} in the books"
    return Promise("what a call cost is booked once, with its answer", recorded == found.stored, evidence)


def workers_come_back(found: Evidence) -> Promise:
    exits, book = found.report.exits, found.report.logbook
    given_up = sum(exits[code] for code in NEVER_AGAIN)
    kept = not (given_up or book.tracebacks or book.unforeseen)
    evidence = f"{given_up} ended unasked for good, {book.tracebacks} tracebacks, {book.unforeseen} unforeseen errors"
    return Promise("no worker crashes, or ends where systemd would not start it again", kept, evidence)


def workers_end_only_when_killed(found: Evidence) -> Promise:
    """One that is started while the database is away may end and be started again."""
    exits, killed = found.report.exits, found.report.killed
    other = {code: count for code, count in exits.items() if code not in (-SIGKILL, os.EX_TEMPFAIL)}
    other |= {-SIGKILL.value: exits[-SIGKILL] - killed} if exits[-SIGKILL] > killed else {}
    codes = [f"{count} with code {code}" for code, count in sorted(other.items())]
    evidence = f"{killed} killed by us, {sum(other.values())} ended by themselves"
    return Promise("no worker process ends by itself", not other, evidence + _named(codes))


def poison_harms_nobody(found: Evidence) -> Promise:
    ledger = found.report.ledger
    done = {blog["topic"] for blog in found.blogs if blog["status"] == "DONE"}
    held_up = [topic for topic in ledger.accepted if topic not in done]
    refused = found.report.refused
    evidence = (
        f"{found.report.poisons} poisoned rows accepted, {refused.total()} refused; "
        f"{len(held_up)} of {len(ledger.accepted)} innocent blogs not DONE, {len(found.lost_places)} of "
        f"{len(ledger.sites)} innocent sites without a place in the line"
    )
    kept = not (held_up or found.lost_places)
    return Promise("poisoned rows harm no innocent blog or site", kept, evidence + _named(found.lost_places))


def poison_ends(found: Evidence) -> Promise:
    stuck = [f"{blog['topic']} {blog['status']}" for blog in found.poisoned if not blog["ended"]]
    became = Counter(str(blog["status"]) for blog in found.poisoned)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(became.items()))
    evidence = f"{counts or 'none there'}; {len(stuck)} neither ended nor put off"
    return Promise("each poisoned row ends, or waits for its own time", not stuck, evidence + _named(stuck))


def only_poison_fails(found: Evidence) -> Promise:
    innocent = [f"{blog['topic']}: {blog['error']}" for blog in found.blogs if blog["status"] == "FAILED"]
    failed = [blog for blog in found.poisoned if blog["status"] == "FAILED"]
    silent = [f"{blog['topic']}" for blog in failed if not blog["error"]]
    evidence = f"{len(failed)} poisoned FAILED, {len(silent)} of them without a reason; {len(innocent)} others FAILED"
    kept = not (innocent or silent)
    return Promise("what ends FAILED is poisoned, and says why", kept, evidence + _named(innocent + silent))


def incompatible_database_is_free(found: Evidence) -> Promise:
    spent = [
        f"{end['job_id']} {end['kind']}" for end in found.incompatible_ends if end["spent"] or end["became"] == "FAILED"
    ]
    failed = sum(end["became"] == "FAILED" for end in found.incompatible_ends)
    evidence = f"{len(spent)} attempts spent, {failed} blogs FAILED by a missing grant or function"
    return Promise("a database that does not fit costs no attempt", not spent, evidence + _named(spent))


def claims_go_on(found: Evidence) -> Promise:
    """Until the last of the innocent blogs was claimed. A fleet that stopped for good shows as blogs not DONE."""
    times = [claim["at"] for claim in found.innocent_claims]
    pauses = [(later - sooner).total_seconds() for sooner, later in pairwise(times)]
    longest = max(pauses, default=0.0)
    evidence = f"longest pause between claims {longest:.1f} s, at most {LONGEST_PAUSE_S:.0f} s"
    return Promise("claims of innocent blogs go on", longest <= LONGEST_PAUSE_S, evidence)


def _titles(wix: dict[str, Any]) -> set[str]:
    return {f"{twice['site']}: {twice['title']}" for twice in wix["duplicates"]}


def _named(culprits: Iterable[object]) -> str:
    shown = [str(culprit) for culprit in culprits]
    return f": {', '.join(shown[:SHOWN])}" if shown else ""
