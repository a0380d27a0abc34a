"""Periodic clean-up of the buckets. Any worker may run it."""

from blogworker.db.pool import Runner

LIMITS_EXPIRE_S = 600.0  # a limit that a provider reported this long ago no longer holds, unless it is reported again
IDLE_S = 86_400.0  # a site's bucket or a client that was not used for this long is removed; it is created when needed


async def clean_up(database: Runner) -> None:
    """Expire old limits that providers reported, and remove buckets and clients that are idle."""
    await database.rows("quota/expire_provider_limits", older_than_s=LIMITS_EXPIRE_S)
    await database.rows("quota/remove_idle", idle_s=IDLE_S)
    await database.rows("quota/expire_clients", idle_s=IDLE_S)
