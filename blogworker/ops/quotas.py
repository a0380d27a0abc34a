"""Quotas: list, set, unblock. A change reaches every worker within a second."""

from blogworker.db.pool import Database, Runner
from blogworker.errors import SettingsError
from blogworker.ops.audit import Action, record
from blogworker.ops.records import QuotaUse, records
from blogworker.ops.sites import require_site
from blogworker.printable import typed

SITES = "wix/"  # prefix of the quotas of sites; each exists for a day after the last call


async def list_quotas(database: Database, *, site: str | None = None, every: bool = False) -> list[QuotaUse]:
    """Return the quotas of the fleet, or of one site. `every`: also of sites that are far from their limit."""
    rows = await _read(database, None if site is None else SITES + site, every=every)
    if not rows:
        await require_site(database, site)
    return rows


async def set_quota(database: Database, name: str, *, rpm: int | None, tpm: int | None, pinned: bool) -> list[QuotaUse]:
    """Change the limits of a quota and return it. `pinned`: the settings of a starting worker do not change it.

    Raises SettingsError when there is no such quota, or when it has no token limit to set.
    """
    async with database.transaction() as statements:
        before = await _read(statements, name)
        changed = await statements.maybe(
            "quota/set_bucket", name=name, requests_per_minute=rpm, tokens_per_minute=tpm, pinned=pinned
        )
        if changed is not None:
            after = await _read(statements, name)
            await record(statements, Action.QUOTA_SET, name, before=_limits(before), after=_limits(after))
    rows = await _named(database, name)
    if changed is None:
        raise SettingsError(f"{name} counts requests only: it has no tokens to limit")
    return rows


async def unblock_quota(database: Database, name: str) -> list[QuotaUse]:
    """End the block that a 429 started and return the quota. Raises SettingsError when it is not blocked."""
    async with database.transaction() as statements:
        unblocked = await statements.maybe("quota/unblock", name=name)
        if unblocked is not None:
            before = {"blocked_until": unblocked["blocked_before"]}
            await record(statements, Action.QUOTA_UNBLOCK, name, before=before, after={"blocked_until": None})
    rows = await _named(database, name)
    if unblocked is None:
        raise SettingsError(f"{name} is not blocked")
    return rows


async def _named(database: Database, name: str) -> list[QuotaUse]:
    if found := await _read(database, name):
        return found
    known = [typed(quota.name) for quota in await _read(database, None)]
    existing = ", ".join(known) or "none: a worker creates them when it starts"
    raise SettingsError(f"there is no quota {typed(name)}; known are {existing}")


async def _read(database: Runner, name: str | None, *, every: bool = False) -> list[QuotaUse]:
    return records(QuotaUse, await database.rows("ops/quotas", name=name, every=every))


def _limits(found: list[QuotaUse]) -> dict[str, object] | None:
    return (
        {name: getattr(found[0], name) for name in ("requests_per_minute", "tokens_per_minute", "pinned")}
        if found
        else None
    )
