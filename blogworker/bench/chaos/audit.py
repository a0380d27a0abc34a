"""What was promised against what is: the database, the vendors and the history must agree."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from blogworker.bench.chaos.logbook import NEVER_AGAIN, Logbook
from blogworker.bench.chaos.producers import Ledger
from blogworker.bench.chaos.storm import Kill, Tally
from blogworker.bench.chaos.vendors import Vendors
from blogworker.bench.fairness import jain
from blogworker.db.pool import Database, Row

PAID_CALLS_A_BLOG = 3  # ideas, post, picture
LOSSES = ("LeaseLost", "OutcomeUnknown", None)  # None: handed back, which leaves no error
OUR_QUOTA = "the fleet's quota"  # waiting for it leaves none either, but nothing had been asked of the vendor
# Worn out, not refused.
DOCUMENTED = ("LeaseLost", "OutcomeUnknown", "Unavailable", "PredictionDied", "PredictionGone")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Promise:
    """One of them, and whether it was kept."""

    name: str
    kept: bool
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that a reader may want to quote."""

    promises: tuple[Promise, ...]
    facts: dict[str, int | float]

    @property
    def passed(self) -> bool:
        return all(promise.kept for promise in self.promises)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was found when the queue was empty, or should have been."""

    ledger: Ledger
    opening: Sequence[str]  # topics that were there before the storm
    tally: Tally
    exits: Counter[int]  # of workers, by code
    logbook: Logbook
    blogs: Sequence[Row]
    ends: Sequence[Row]  # attempts that did not finish their blog
    claims: Sequence[Row]
    spend: Row
    stats: dict[str, Any]
    posts: Sequence[dict[str, Any]]

    @property
    def paid(self) -> int:
        """Calls that the vendors finished and charged."""
        text = sum(model["calls"] for model in self.stats["openai"]["models"].values())
        return int(text + self.stats["replicate"]["predictions"])

    @property
    def stored(self) -> int:
        """Of them, those whose answer was stored."""
        return int(self.spend["stored"])

    @property
    def interrupted(self) -> list[Row]:
        """Attempts that were cut off, or lost an answer, in a stage whose paid answer was not stored yet."""
        return [
            end
            for end in self.ends
            if end["buying"] and end["kind"] in LOSSES and not (end["error"] or "").startswith(OUR_QUOTA)
        ]


async def gather(
    database: Database,
    vendors: Vendors,
    *,
    ledger: Ledger,
    opening: Sequence[str],
    tally: Tally,
    exits: Counter[int],
    logbook: Logbook,
) -> Evidence:
    """Ask all who know."""
    return Evidence(
        ledger=ledger,
        opening=opening,
        tally=tally,
        exits=exits,
        logbook=logbook,
        blogs=await database.rows("bench/chaos_blogs"),
        ends=await database.rows("bench/chaos_ends"),
        claims=await database.rows("bench/chaos_claims"),
        spend=await database.one("bench/chaos_spend"),
        stats=await vendors.stats(),
        posts=await vendors.posts(),
    )


def judge(found: Evidence) -> Verdict:
    return Verdict(tuple(_promises(found)), _facts(found))


def _promises(found: Evidence) -> Iterator[Promise]:
    yield _done_once(found)
    yield _published_once(found)
    yield _paid_once(found)
    yield _nothing_stuck(found)
    yield _failed_for_a_reason(found)
    yield _spend_recorded_once(found)
    yield _workers_come_back(found)


def _done_once(found: Evidence) -> Promise:
    statuses = {blog["topic"]: blog["status"] for blog in found.blogs}
    lost = [topic for topic in found.ledger.accepted if statuses.get(topic) != "DONE"]
    again = [blog["topic"] for blog in found.blogs if blog["done"] > 1]
    twice = [topic for topic, count in Counter(blog["topic"] for blog in found.blogs).items() if count > 1]
    returned = [topic for topic in found.ledger.deleted if topic in statuses]
    evidence = f"{len(found.ledger.accepted)} accepted, {len(lost)} not DONE, {len(again) + len(twice)} more than once"
    kept = not (lost or again or twice or returned)
    return Promise(
        "every accepted blog is DONE, exactly once", kept, evidence + _named(lost + again + twice + returned)
    )


def _published_once(found: Evidence) -> Promise:
    ours = sorted(str(blog["post_id"]) for blog in found.blogs if blog["status"] == "DONE")
    theirs = sorted(str(post["id"]) for post in found.posts)
    wix = found.stats["wix"]
    kept = ours == theirs and len(set(ours)) == len(ours) == wix["drafts_created"] and not wix["duplicates"]
    evidence = f"{len(ours)} blogs, {wix['drafts_created']} drafts, {len(theirs)} posts"
    strangers = set(ours) ^ set(theirs)
    return Promise("each has one draft and one post on its site", kept, evidence + _named(strangers | _titles(wix)))


def _paid_once(found: Evidence) -> Promise:
    repeated, bound = found.paid - found.stored, len(found.interrupted)
    evidence = f"{repeated} answers lost, at most {bound} in flight when an attempt was cut off or its answer lost"
    return Promise("a paid call is repeated only for the effect in flight", repeated <= bound, evidence)


def _nothing_stuck(found: Evidence) -> Promise:
    stuck = [f"{blog['job_id']} {blog['status']}" for blog in found.blogs if blog["status"] != "DONE"]
    return Promise("no blog is stuck", not stuck, f"{len(stuck)} not ended" + _named(stuck))


def _failed_for_a_reason(found: Evidence) -> Promise:
    failed = [end for end in found.ends if end["became"] in ("FAILED", "CANCELLED")]
    other = [f"{end['job_id']}: {end['error']}" for end in failed if end["kind"] not in DOCUMENTED]
    evidence = f"{len(failed)} worn out by the storm, all reset by hand" if not other else f"{len(other)} otherwise"
    return Promise("FAILED only after as many rescues or failures as documented", not other, evidence + _named(other))


def _spend_recorded_once(found: Evidence) -> Promise:
    recorded = found.spend["recorded"]
    evidence = f"{found.stored} paid answers stored, {recorded} in the books"
    return Promise("what a call cost is booked once, with its answer", recorded == found.stored, evidence)


def _workers_come_back(found: Evidence) -> Promise:
    given_up, book = sum(found.exits[code] for code in NEVER_AGAIN), found.logbook
    kept = not (given_up or book.tracebacks or book.unforeseen)
    evidence = f"{given_up} ended unasked for good, {book.tracebacks} tracebacks, {book.unforeseen} unforeseen errors"
    return Promise("no worker crashes, or ends where systemd would not start it again", kept, evidence)


def _facts(found: Evidence) -> dict[str, int | float]:
    """By their names in the table."""
    faults = {f"vendor: {name}": hits for name, hits in found.stats["faults_hit"].items()}
    events = found.logbook.events
    returns, claims = _delays(found.tally.kills, found.ends, ahead=0), _delays(found.tally.kills, found.claims, ahead=1)
    return {
        **{kind.value: hits for kind, hits in sorted(found.tally.blows.items())},
        **faults,
        **{f"blogs {act}": count for act, count in found.ledger.acts.items()},
        "blogs in the table at the end": len(found.blogs),
        "drafts made twice": found.stats["wix"]["duplicate_drafts"],
        "posts published twice": found.stats["wix"]["duplicate_posts"],
        "attempts": len(found.claims),
        "attempts held by a worker when it was killed": len(_orphaned(found.tally.kills)),
        "attempts rescued": sum(end["kind"] == "LeaseLost" for end in found.ends),
        "attempts whose late writes were refused": events["attempt_lost"],
        "leases lost by a living worker": events["lease_lost"],
        "workers started": events["worker_started"],
        "workers that began while the database was away": found.exits[os.EX_TEMPFAIL],
        "paid calls, at least": PAID_CALLS_A_BLOG * len(found.blogs),
        "paid calls": found.paid,
        "paid calls repeated": found.paid - found.stored,
        "paid calls that may be repeated": len(found.interrupted),
        "longest from a kill to its jobs taken back, s": round(max(returns, default=0.0), 2),
        "median from a kill to its jobs claimed again, s": round(median(claims), 2) if claims else 0.0,
        "longest from a kill to its jobs claimed again, s": round(max(claims, default=0.0), 2),
        "Jain's index of service": round(_fairness(found), 3),
    }


def _delays(kills: Iterable[Kill], rows: Sequence[Row], *, ahead: int) -> list[float]:
    """Seconds from each kill to what became of what the worker held: the row of its attempt, or of one `ahead`."""
    moments = {(row["job_id"], row["attempt"]): row["at"] for row in rows}
    return [
        (moments[job_id, attempt + ahead] - at).total_seconds()
        for (job_id, attempt), at in _orphaned(kills).items()
        if (job_id, attempt + ahead) in moments
    ]


def _orphaned(kills: Iterable[Kill]) -> dict[tuple[int, int], datetime]:
    """When each attempt lost its worker. One killed before it had its lease leaves what the one before it held."""
    orphaned: dict[tuple[int, int], datetime] = {}
    for kill in kills:
        for held in kill.held:
            orphaned.setdefault(held, kill.at)
    return orphaned


def _fairness(found: Evidence) -> float:
    """Of the sites, by the first claims of the opening blogs until half of them had begun: all sites waited then."""
    opening, jobs = set(found.opening), {blog["job_id"]: blog["topic"] for blog in found.blogs}
    order = [c["instance_id"] for c in found.claims if c["attempt"] == 1 and jobs.get(c["job_id"]) in opening]
    served = Counter(order[: len(order) // 2])
    return jain([served[site] for site in found.ledger.sites])


def _titles(wix: dict[str, Any]) -> set[str]:
    return {f"{twice['site']}: {twice['title']}" for twice in wix["duplicates"]}


def _named(culprits: Iterable[object]) -> str:
    shown = [str(culprit) for culprit in culprits]
    return f": {', '.join(shown[:SHOWN])}" if shown else ""
