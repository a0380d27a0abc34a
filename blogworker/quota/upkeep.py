"""What the buckets need from time to time, whoever does it."""

from blogworker.db.pool import Runner

TOLD_S = 600.0  # a limit that a vendor has not told of for so long no longer holds: it is told again if it does
IDLE_S = (
    86_400.0  # a site's bucket, or a client, that was not used for so long is removed; it is made again when needed
)


async def tend(database: Runner) -> None:
    """Forget limits that vendors told of long ago, and the buckets and clients that were not used for long."""
    await database.rows("quota/forget_told", older_than_s=TOLD_S)
    await database.rows("quota/remove_idle", idle_s=IDLE_S)
    await database.rows("quota/forget_desks", idle_s=IDLE_S)
