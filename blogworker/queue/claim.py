"""Claim the next jobs, fairly between sites.

This is weighted fair queueing. A site's `virtual_time` is the service it has received, divided by its weight. Sites
with jobs stand in a *line* ordered by virtual time. A claim reads the head of the line, takes at most a *window* of
jobs from each site, orders them by *turn* (the virtual time at which the site's service of that job would end), and
charges each site for its jobs. So service is proportional to weight, a site that comes back joins at the lowest
virtual time in the line, and the cost of a claim does not depend on the backlog.

A claim runs four statements in two round trips. `claim_turn` serialises claims that depend on quotas. `admit_sites`
puts the first sites with new jobs into the line (`admit.py` puts the others). `claim` takes jobs. `retire_sites` takes
sites without jobs out of the line; it is a separate transaction, because it must see what was committed during the
claim.

Service is measured in standard posts of 6,000 tokens. A claim charges the average of the site's posts. The end of the
attempt writes a *bill* for the difference to the real usage, and `reconcile_sites` books the bills within a second. So
a site's weight is its share of the tokens, however well the average predicts and however many claims a job needs.

Claims of later stages alone (workers with stages of their own, or an open breaker) do not order sites by
`virtual_time`, which follows the stage that is claimed most. Each of these stages has its own clock (`stage_clocks`,
`sites.stage_times`). So finished posts follow the weights too, even if jobs pile up before a later stage.

Jobs that wait for a quota wait in this line, not in slots: a claim takes only jobs that can continue within a few
seconds. New jobs start at the rate of the narrowest quota (`stage_rooms` in `sql/schema/gate.sql`). During those
seconds in the slot, calls start in the order of the turns that the claim gave their jobs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from blogworker.db.loaders import Unreadable
from blogworker.db.pool import Database, Row
from blogworker.printable import typed_argument
from blogworker.queue.admit import WITH_A_CLAIM
from blogworker.queue.job import Claim, Stage

STAGES = frozenset(Stage)
DRY_ROUNDS = 50  # retries of a claim that met only sites without jobs; a claim has a time limit
RETIRED_AHEAD = 1_000  # sites at the head of the line that are checked after a claim that met only sites without jobs


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of one claim.

    `look_again`: another claim at once may find more: this one took jobs, or met locks of other transactions or sites
    without jobs. `look_in_s`: after how many seconds the quotas let waiting jobs continue; None: no job waits for them.
    `dry`: sites without more jobs, for `retire`.
    """

    claims: tuple[Claim, ...]
    look_again: bool
    look_in_s: float | None = None
    dry: tuple[str, ...] = ()

    def merged(self, other: "Claimed") -> "Claimed":
        """Return the result of both claims."""
        waits = [seconds for seconds in (self.look_in_s, other.look_in_s) if seconds is not None]
        look_again = self.look_again or other.look_again
        return Claimed(self.claims + other.claims, look_again, min(waits, default=None))


@dataclass(frozen=True, slots=True)
class Pacing:
    """What a claim needs to know about quotas, for `stage_rooms`. Lists are in the order of the stages."""

    buckets: list[str | None]  # of each stage's paid call; None: the stage makes no call that uses a shared quota
    tokens: list[int]  # reserved for that call
    leads: list[float]  # seconds from the claim of a new job to the call of each stage, and to the end of the job
    patience_s: float  # the longest that a job may wait for quota in its slot
    site_rpm: int | None = None  # calls per minute to one site; None: sites are not called
    site_calls: int = 1  # calls of one job to its site


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """Which jobs may be claimed: those whose next stage is in `stages`; None: any.

    `image_trouble`: what happens to a job without a picture where the site's settings do not say. A job that need not
    wait for a picture may be claimed at the image stage even if `stages` excludes it. None: `stages` alone decides.
    `shop`: at the source stage, True: only jobs that must read their product from the site's shop; False: only the
    others; None: all.
    """

    stages: tuple[Stage, ...] | None = None
    image_trouble: str | None = None
    shop: bool | None = None
    pacing: Pacing | None = None  # None: ignore the quotas


ALL = ClaimFilter()


@dataclass(slots=True)
class Scan:
    """How far a worker's claims have scanned the sites with unfinished jobs, in the order of their ids."""

    after: str = ""


async def claim(
    database: Database,
    worker_id: UUID,
    *,
    slots: int,
    site_window: int,
    only: ClaimFilter = ALL,
    scan: Scan | None = None,
    admits: bool = True,
    retires: bool = True,
) -> Claimed:
    """Claim up to `slots` jobs, at most `site_window` of one site. `admits`: admit sites with new jobs first.

    A claim for one slot reads only one site. If that site has no jobs, it is retired and the claim is repeated.
    Without `retires`, a claim that found jobs retires no site: the caller starts the jobs, and then calls `retire`.
    """
    scan = scan or Scan()
    before: list[tuple[str, Mapping[str, object]]] = [("queue/claim_turn", {})] if only.pacing is not None else []
    if admits:
        before.append(("queue/admit_sites", {"batch": WITH_A_CLAIM, "only": None, "skipped": []}))
    for _ in range(DRY_ROUNDS):
        asked = {"worker_id": worker_id, "slots": slots, "site_window": site_window, **_filter_parameters(only, scan)}
        result = await database.briefly(*before, ("queue/claim", asked))
        if result is None:
            return Claimed(claims=(), look_again=True)
        rows = result
        scan.after = rows[0]["scanned_to"]
        claims = tuple(claim_of(row) for row in rows if row["job_id"] is not None)
        dry: list[str] = rows[0]["dry"]
        if claims and not retires:
            return Claimed(claims, look_again=True, look_in_s=rows[0]["look_in_s"], dry=tuple(dry))
        still_open = await _retire(database, dry, ahead=0 if claims else RETIRED_AHEAD) if dry else 0
        if claims or len(dry) == still_open:
            break
    look_again = bool(claims) or rows[0]["contended"] or bool(dry)
    return Claimed(claims=claims, look_again=look_again, look_in_s=rows[0]["look_in_s"])


async def retire(database: Database, found: Claimed) -> None:
    """Take the sites that a claim left without jobs out of the line."""
    if found.dry:
        await _retire(database, list(found.dry), ahead=0)


async def _retire(database: Database, dry: list[str], *, ahead: int) -> int:
    """Take sites without jobs out of the line. Return how many of `dry` stay there."""
    rows = await database.briefly(("queue/retire_sites", {"instance_ids": dry, "ahead": ahead}))
    return int(rows[0]["open"]) if rows else len(dry)


def _filter_parameters(only: ClaimFilter, scan: Scan) -> dict[str, Any]:
    pacing = only.pacing
    return {
        "stages": None if only.stages is None else list(only.stages),
        "image_trouble": only.image_trouble,
        "shop": only.shop,
        "buckets": pacing and pacing.buckets,
        "tokens": pacing and pacing.tokens,
        "leads": pacing and pacing.leads,
        "patience_s": pacing and pacing.patience_s,
        "site_rpm": pacing and pacing.site_rpm,
        "site_calls": pacing and pacing.site_calls,
        "part_done_after": scan.after,
    }


def claim_of(row: Row) -> Claim:
    """Return the claim of one row.

    Never raises: a row that cannot be read must fail its own job only, not the claim of the other jobs.
    """
    data, site, stage = row["source_data"], row["site"], row["stage"]
    return Claim(
        job_id=row["job_id"],
        instance_id=row["instance_id"],
        attempt=row["attempt"],
        failures=row["failures"],
        max_attempts=row["max_attempts"],
        stage=Stage(stage) if stage in STAGES else Stage.SOURCE,
        source_type=row["source_type"],
        source_id=row["source_id"],
        source_data=data if isinstance(data, dict) else {},
        site=site if isinstance(site, dict) else {},
        created_at=row["created_at"],
        publish_in_s=row["publish_in_s"],
        publish_mode=row["publish_mode"],
        turn=row["served_at"],
        unreadable=_unreadable(row["job_id"], data, stage),
        site_unreadable=None if isinstance(site, dict) else _site_unreadable(row["instance_id"], site),
    )


def _unreadable(job_id: int, data: object, stage: str) -> str | None:
    if stage not in STAGES:
        return f"stage {stage!r:.40} is unknown to this version: upgrade blogworker, then `blogworker retry {job_id}`"
    if isinstance(data, dict):
        return None
    return (
        f"source_data cannot be read: {_reason(data)}; correct it with SQL in blog_generations, "
        f"then `blogworker retry {job_id}`"
    )


def _site_unreadable(instance_id: str, settings: object) -> str:
    return (
        f"the settings of its site cannot be read: {_reason(settings)}; correct them with SQL in sites, "
        f"then `blogworker sites resume {typed_argument(instance_id)}`"
    )


def _reason(value: object) -> str:
    return value.reason if isinstance(value, Unreadable) else "it is not a JSON object"
