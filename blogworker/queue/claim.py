"""Take the next jobs, fairly.

A site's `virtual_time` is the service it has had: jobs claimed, divided by its weight. Sites that may have work stand
in a line ordered by it. A claim reads the head of the line, takes from each site at most a window of its jobs, in the
order their turns would end, and charges each site for what it took. So sites are served in proportion to weight, a
site that comes back joins at the lowest virtual time in service, and the cost does not depend on the backlog.

Three statements in two round trips: `admit_sites` lets sites in that got work, `claim` takes it, `retire_sites` lets go
of those found dry. The last is a transaction of its own because it must see what was committed since the claim began.
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


async def claim(database: Database, worker_id: UUID, *, slots: int, site_window: int) -> Claimed:
    """Take at most `slots` jobs, at most `site_window` of one site.

    A worker with one free slot looks at one site. Where it finds that site dry and retires it, it goes on to the next.
    """
    for _ in range(DRY_ROUNDS):
        _, rows = await database.pipelined(
            ("queue/admit_sites", {}),
            ("queue/claim", {"worker_id": worker_id, "slots": slots, "site_window": site_window}),
        )
        dry: list[str] = rows[0]["dry"]
        still_open = (await database.one("queue/retire_sites", instance_ids=dry))["open"] if dry else 0
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
    )
