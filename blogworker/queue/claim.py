"""Take the next jobs, fairly.

A site's `virtual_time` is the service it has received: jobs claimed, divided by its weight. Sites that may have work
stand in a line ordered by it. A claim reads the head of the line, takes from each site at most a window of its jobs, in
the order their turns would end, and charges each site for what it took. So sites are served in proportion to weight, a
site that comes back joins at the lowest virtual time in service, and the cost does not depend on the backlog.

Four statements in two round trips: `claim_turn` makes claims that go by the quotas wait for each other, `admit_sites`
puts the first of the sites that got work in line (admit.py the others), `claim` takes jobs, `retire_sites` takes sites
without jobs out of the line. The last is a transaction of its own because it must see what was committed since the
claim began.

Service is measured in standard blogs of 6,000 tokens: the claim charges the average of its site's blogs, the end of the
attempt bills the difference to what it used, and `reconcile_sites` books the bills within a second, as a quota's
reservation is reconciled. So a site's weight is its share of the tokens, and it does not matter how well the average
predicts, nor how many claims a blog takes.

What waits for a quota waits in this line. A claim takes only what can go on within a few seconds, so that slots hold
what runs. New blogs start as fast as the narrowest quota lets others through (`stage_rooms` in `sql/schema/gate.sql`).
Within those seconds, calls go in the order of the turns that the claim gave their jobs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from blogworker.db.loaders import Unreadable
from blogworker.db.pool import Database, Row
from blogworker.printable import typed
from blogworker.queue.admit import WITH_A_CLAIM
from blogworker.queue.job import Claim, Stage

STAGES = frozenset(Stage)
DRY_ROUNDS = 50  # sites whose jobs all were cancelled or deleted; a claim has to end within its time limit


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one claim took. `look_again`: there may be more at once, which other claims, open producers or sites without
    a job hide. `look_in_s`: how long to wait for quotas that hold jobs back; None: none is held back."""

    claims: tuple[Claim, ...]
    look_again: bool
    look_in_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pacing:
    """What the quotas let through: see `stage_rooms` in `sql/schema/gate.sql`. Lists are in the order of the stages."""

    buckets: list[str | None]  # of the call of each stage; None: it makes none that all sites share
    tokens: list[int]  # reserved for it
    leads: list[float]  # seconds from the claim of a new blog to the call of each stage, and to its end
    patience_s: float  # the longest that a job may wait for a quota in its slot
    site_rpm: int | None = None  # calls a minute to one site; None: sites are not called
    site_calls: int = 1  # that a blog makes to its site


@dataclass(frozen=True, slots=True)
class ClaimFilter:
    """Which jobs may be claimed: those whose next stage is one of `stages`; None: any.

    `image_trouble`: of the sites that do not say what becomes of a blog without a picture. Where it need not wait, its
    image stage may be claimed all the same. None: `stages` alone decides. `shop`: of those at the source stage only the
    ones that have to read their product from the site's shop, or only the others; None: all.
    """

    stages: tuple[Stage, ...] | None = None
    image_trouble: str | None = None
    shop: bool | None = None
    pacing: Pacing | None = None  # None: whatever the quotas say


ALL = ClaimFilter()


@dataclass(slots=True)
class Scan:
    """How far a worker's claims have looked through the sites with part-done jobs, in the order of names."""

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
) -> Claimed:
    """Take at most `slots` jobs, at most `site_window` of one site. `admits`: put sites that got work in line first.

    A worker with one free slot looks at one site. Where it finds that site dry and retires it, it goes on to the next.
    """
    scan = scan or Scan()
    before: list[tuple[str, Mapping[str, object]]] = [("queue/claim_turn", {})] if only.pacing is not None else []
    if admits:
        before.append(("queue/admit_sites", {"batch": WITH_A_CLAIM, "only": None, "aside": []}))
    for _ in range(DRY_ROUNDS):
        asked = {"worker_id": worker_id, "slots": slots, "site_window": site_window, **_wanted(only, scan)}
        answer = await database.briefly(*before, ("queue/claim", asked))
        if answer is None:
            return Claimed(claims=(), look_again=True)
        rows = answer
        scan.after = rows[0]["scanned_to"]
        dry: list[str] = rows[0]["dry"]
        retired = await database.briefly(("queue/retire_sites", {"instance_ids": dry})) if dry else None
        still_open = retired[0]["open"] if retired else len(dry)
        claims = tuple(claim_of(row) for row in rows if row["job_id"] is not None)
        if claims or len(dry) == still_open:
            break
    again = bool(claims) or rows[0]["contended"] or bool(dry)
    return Claimed(claims=claims, look_again=again, look_in_s=rows[0]["look_in_s"])


def _wanted(only: ClaimFilter, scan: Scan) -> dict[str, Any]:
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
    """What the database says of a job that was claimed.

    Never raises: a row that cannot be read ends its own job, and must not end the claim of the others.
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
        f"then `blogworker sites resume {typed(instance_id)}`"
    )


def _reason(value: object) -> str:
    return value.reason if isinstance(value, Unreadable) else "it is not a JSON object"
