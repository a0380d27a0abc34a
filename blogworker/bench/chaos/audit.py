"""What was promised against what is: the database, the vendors and the history must agree."""

import os
from collections import Counter
from dataclasses import dataclass
from statistics import median

from blogworker.bench.chaos import promises
from blogworker.bench.chaos.evidence import Evidence
from blogworker.bench.chaos.kills import delays, orphaned
from blogworker.bench.chaos.promises import Promise
from blogworker.bench.fairness import jain

PAID_CALLS_A_BLOG = 3  # ideas, post, picture
PROMISES = (
    promises.done_once,
    promises.published_once,
    promises.paid_once,
    promises.nothing_stuck,
    promises.failed_for_a_reason,
    promises.spend_recorded_once,
    promises.workers_come_back,
    promises.workers_end_only_when_killed,
    promises.poison_harms_nobody,
    promises.poison_ends,
    promises.only_poison_fails,
    promises.incompatible_database_is_free,
    promises.claims_go_on,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """All that a reader may want to quote."""

    promises: tuple[Promise, ...]
    facts: dict[str, int | float]

    @property
    def passed(self) -> bool:
        return all(promise.kept for promise in self.promises)


def judge(found: Evidence) -> Verdict:
    return Verdict(tuple(promise(found) for promise in PROMISES), _facts(found))


def _facts(found: Evidence) -> dict[str, int | float]:
    """By their names in the table."""
    report = found.report
    faults = {f"vendor: {name}": hits for name, hits in found.stats["faults_hit"].items()}
    return {
        **{kind.value: hits for kind, hits in sorted(report.tally.blows.items())},
        **{f"poisoned rows refused with {sqlstate}": count for sqlstate, count in sorted(report.refused.items())},
        **report.acts,
        **faults,
        **{f"blogs {act}": count for act, count in report.ledger.acts.items()},
        "blogs in the table at the end": len(found.blogs) + len(found.poisoned),
        "drafts made twice": found.stats["wix"]["duplicate_drafts"],
        "posts published twice": found.stats["wix"]["duplicate_posts"],
        **work(found),
        "Jain's index of service": round(_fairness(found), 3),
    }


def work(found: Evidence) -> dict[str, int | float]:
    """What the workers did, and what kills did to it."""
    kills, events = found.report.tally.kills, found.report.logbook.events
    returns, claims = delays(kills, found.ends, ahead=0), delays(kills, found.claims, ahead=1)
    return {
        "attempts": len(found.claims),
        "attempts held by a worker when it was killed": len(orphaned(kills)),
        "attempts rescued": sum(end["kind"] == "LeaseLost" for end in found.ends),
        "attempts whose late writes were refused": events["attempt_lost"],
        "attempts ended by an incompatible database": len(found.incompatible_ends),
        "leases lost by a living worker": events["lease_lost"],
        "workers started": events["worker_started"],
        "workers that began while the database was away": found.report.exits[os.EX_TEMPFAIL],
        "paid calls, at least": PAID_CALLS_A_BLOG * sum(blog["status"] == "DONE" for blog in found.blogs),
        "paid calls": found.paid,
        "paid calls repeated": found.paid - found.stored,
        "paid calls that may be repeated": len(found.interrupted),
        "longest from a kill to its jobs taken back, s": round(max(returns, default=0.0), 2),
        "median from a kill to its jobs claimed again, s": round(median(claims), 2) if claims else 0.0,
        "longest from a kill to its jobs claimed again, s": round(max(claims, default=0.0), 2),
    }


def _fairness(found: Evidence) -> float:
    """Of the sites, by the first claims of the opening blogs until half of them had begun: all sites waited then."""
    opening, jobs = set(found.report.opening), {blog["job_id"]: blog["topic"] for blog in found.blogs}
    order = [c["instance_id"] for c in found.claims if c["attempt"] == 1 and jobs.get(c["job_id"]) in opening]
    served = Counter(order[: len(order) // 2])
    return jain([served[site] for site in found.report.ledger.sites])
