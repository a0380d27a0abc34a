"""Compare the evidence with each promise."""

import os
from collections import Counter
from dataclasses import dataclass
from statistics import median

from blogworker.bench.chaos import promises
from blogworker.bench.chaos.evidence import Evidence
from blogworker.bench.chaos.kills import delays, orphaned
from blogworker.bench.chaos.promises import Promise
from blogworker.demo.fairness import jain

PAID_CALLS_PER_JOB = 3  # ideas, content, image
PROMISES = (
    promises.done_once,
    promises.published_once,
    promises.paid_once,
    promises.nothing_stuck,
    promises.failed_for_a_reason,
    promises.spend_recorded_once,
    promises.workers_can_restart,
    promises.workers_end_only_when_signalled,
    promises.poison_is_isolated,
    promises.poison_ends,
    promises.only_poison_fails,
    promises.incompatible_database_uses_no_attempt,
    promises.claims_continue,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    promises: tuple[Promise, ...]
    facts: dict[str, int | float]

    @property
    def passed(self) -> bool:
        return all(promise.kept for promise in self.promises)


def judge(found: Evidence) -> Verdict:
    return Verdict(tuple(promise(found) for promise in PROMISES), _facts(found))


def _facts(found: Evidence) -> dict[str, int | float]:
    """Return the counts by name. The names are also the keys of the JSON output."""
    report = found.report
    provider_faults = {f"vendor: {name}": hits for name, hits in found.stats["faults_hit"].items()}
    return {
        **{kind.value: hits for kind, hits in sorted(report.injected.faults.items())},
        **{f"poisoned rows refused with {sqlstate}": count for sqlstate, count in sorted(report.refused.items())},
        **report.spikes,
        **provider_faults,
        **{f"blogs {manner}": count for manner, count in report.submissions.counts.items()},
        "blogs in the table at the end": len(found.jobs) + len(found.poisoned),
        "drafts made twice": found.stats["wix"]["duplicate_drafts"],
        "posts published twice": found.stats["wix"]["duplicate_posts"],
        **worker_facts(found),
        "Jain's index of service": round(_fairness(found), 3),
    }


def worker_facts(found: Evidence) -> dict[str, int | float]:
    """Return what the workers did, and what the kills changed."""
    kills, events = found.report.injected.kills, found.report.logs.events
    rescued, reclaimed = delays(kills, found.ends, later=0), delays(kills, found.claims, later=1)
    return {
        "attempts": len(found.claims),
        "attempts held by a worker when it was killed": len(orphaned(kills)),
        "attempts rescued": sum(end["kind"] == "LeaseLost" for end in found.ends),
        "attempts whose late writes were refused": events["attempt_lost"],
        "attempts ended by an incompatible database": len(found.incompatible_ends),
        "leases lost by a living worker": events["lease_lost"],
        "workers started": events["worker_started"],
        "workers that began while the database was away": found.report.exits[os.EX_TEMPFAIL],
        "paid calls, at least": PAID_CALLS_PER_JOB * sum(job["status"] == "DONE" for job in found.jobs),
        "paid calls": found.paid,
        "paid calls repeated": found.paid - found.stored,
        "paid calls that may be repeated": len(found.interrupted),
        "longest from a kill to its jobs taken back, s": round(max(rescued, default=0.0), 2),
        "median from a kill to its jobs claimed again, s": round(median(reclaimed), 2) if reclaimed else 0.0,
        "longest from a kill to its jobs claimed again, s": round(max(reclaimed, default=0.0), 2),
    }


def _fairness(found: Evidence) -> float:
    """Return Jain's index over the sites: the initial jobs that each had started when half of them had.

    All sites had jobs waiting until then.
    """
    initial, topics = set(found.report.initial), {job["job_id"]: job["topic"] for job in found.jobs}
    order = [c["instance_id"] for c in found.claims if c["attempt"] == 1 and topics.get(c["job_id"]) in initial]
    served = Counter(order[: len(order) // 2])
    return jain([served[site] for site in found.report.submissions.sites])
