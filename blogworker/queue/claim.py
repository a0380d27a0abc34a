"""Take the next jobs, fairly.

A site's `virtual_time` is the service it has had: jobs claimed, divided by its weight. Sites that may have work stand
in a line ordered by it. A claim reads the head of the line, takes from each site at most a window of its jobs, in the
order their turns would end, and charges each site for what it took. So sites are served in proportion to weight, a
site that comes back joins at the lowest virtual time in service, and the cost does not depend on the backlog.

Three statements in two round trips: `admit_sites` lets sites in that got work, `claim` takes it, `retire_sites` lets go
of those found dry. The last is a transaction of its own because it must see what was committed since the claim began.

By tokens (BLOGWORKER_SHARE_BY) a blog counts as what it uses: the claim charges the average of its site's blogs, the
end of the attempt bills the difference, and `reconcile_sites` books the bills before the next claim, as a quota's
reservation is reconciled. So it does not matter how well the average predicts, nor how many claims a blog takes: one
that finds the quota used up and is parked gives its charge back, or a site of long blogs, whose many calls are refused
more often, would pay for each refusal. Its site is then at the head of the line again; that starves nobody, because
tokens flow meanwhile, to attempts that were charged for them. Nor can a heavy site sit on the slots: the desk of the
quota is first come first served, lets nobody stand longer than 30 s, and each slot it frees goes by the line. By jobs
each claim costs a turn, also that of a blog that was parked.
"""

from dataclasses import dataclass
from uuid import UUID

from blogworker.db.pool import Database, Row
from blogworker.queue.job import Claim, Stage

DRY_ROUNDS = 50  # sites whose jobs all were cancelled or deleted; a claim has to end within its time limit


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one claim took. `look_again`: there may be more at once, which other claims, open producers or sites without
    a job hide."""

    claims: tuple[Claim, ...]
    look_again: bool


@dataclass(frozen=True, slots=True)
class Passing:
    """Which jobs may be claimed: those whose next stage is one of `stages`; None: any.

    `image_trouble`: of the sites that do not say what becomes of a blog without a picture. Where it need not wait, its
    image stage may be claimed all the same. None: `stages` alone decides. `shop`: of those at the source stage only the
    ones that have to read their product from the site's shop, or only the others; None: all.
    """

    stages: tuple[Stage, ...] | None = None
    image_trouble: str | None = None
    shop: bool | None = None


ALL = Passing()


async def claim(
    database: Database,
    worker_id: UUID,
    *,
    slots: int,
    site_window: int,
    by_tokens: bool = False,
    passing: Passing = ALL,
) -> Claimed:
    """Take at most `slots` jobs, at most `site_window` of one site.

    A worker with one free slot looks at one site. Where it finds that site dry and retires it, it goes on to the next.
    """
    asked = {
        "worker_id": worker_id,
        "slots": slots,
        "site_window": site_window,
        "by_tokens": by_tokens,
        "stages": None if passing.stages is None else list(passing.stages),
        "image_trouble": passing.image_trouble,
        "shop": passing.shop,
    }
    before = ("queue/admit_sites", "queue/reconcile_sites") if by_tokens else ("queue/admit_sites",)
    for _ in range(DRY_ROUNDS):
        answer = await database.briefly(*((name, {}) for name in before), ("queue/claim", asked))
        if answer is None:
            return Claimed(claims=(), look_again=True)
        rows = answer
        dry: list[str] = rows[0]["dry"]
        retired = await database.briefly(("queue/retire_sites", {"instance_ids": dry})) if dry else None
        still_open = retired[0]["open"] if retired else len(dry)
        claims = tuple(_claim(row) for row in rows if row["job_id"] is not None)
        if claims or len(dry) == still_open:
            break
    return Claimed(claims=claims, look_again=bool(claims) or rows[0]["contended"] or bool(dry))


def _claim(row: Row) -> Claim:
    return Claim(
        job_id=row["job_id"],
        instance_id=row["instance_id"],
        attempt=row["attempt"],
        failures=row["failures"],
        max_attempts=row["max_attempts"],
        stage=Stage(row["stage"]),
        source_type=row["source_type"],
        source_id=row["source_id"],
        source_data=row["source_data"],
        site=row["site"],
        created_at=row["created_at"],
        publish_in_s=row["publish_in_s"],
        publish_mode=row["publish_mode"],
    )
