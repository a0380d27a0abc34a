"""Sites: list, show, pause, resume, set."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from psycopg.types.json import Json

from blogworker.db.pool import Database, Runner
from blogworker.errors import NotFound, SettingsError, WrongState
from blogworker.ops.audit import Action, record
from blogworker.ops.plans import require_plan
from blogworker.ops.records import SiteState, records
from blogworker.printable import typed
from blogworker.queue.validation import site_faults, site_text_faults

SUGGESTIONS = 5
NO_BUDGETS = {"budget_day_usd": None, "budget_month_usd": None, "set_budget_day": False, "set_budget_month": False}
LIMITS = ("weight", "priority", "max_in_flight", "max_pending", "quota_share", "budget_day_usd", "budget_month_usd")
PAUSE = ("paused_at", "pause_reason", "resume_at")
SET = ("name", "plan", "settings", *LIMITS)


@dataclass(frozen=True, slots=True)
class SiteChanges:
    """What to change of a site. None keeps the value. `from_plan`: values that it shall have from its plan again."""

    name: str | None = None
    plan: str | None = None
    weight: float | None = None
    max_in_flight: int | None = None
    max_pending: int | None = None
    priority: int | None = None
    quota_share: float | None = None
    from_plan: tuple[str, ...] = ()


async def list_sites(database: Database, *, most: int) -> list[SiteState]:
    """Return sites, the busiest first."""
    return await _read(database, most=most)


async def show_site(database: Database, instance_id: str) -> SiteState:
    """Return one site. Raises SettingsError if it is unknown."""
    found = await _read(database, most=1, instance_id=instance_id)
    if not found:
        await require_site(database, instance_id)
    return found[0]


async def search_sites(database: Database, *, text: str | None, paused: bool, most: int) -> list[SiteState]:
    """Return sites whose id or name contains the text; `paused`: only paused ones. The busiest come first."""
    return await _read(database, most=most, text=text, paused=paused)


async def _read(
    database: Runner,
    *,
    most: int,
    instance_id: str | None = None,
    text: str | None = None,
    paused: bool = False,
) -> list[SiteState]:
    found = await database.rows("ops/sites", most=most, instance_id=instance_id, text=text, paused=paused)
    return records(SiteState, found)


async def pause_site(database: Database, instance_id: str, *, reason: str) -> None:
    """Stop claims of a site's jobs until it is resumed. Raises NotFound or WrongState."""
    if faults := site_text_faults(reason=reason):
        raise SettingsError("\n".join(faults))
    async with database.transaction() as statements:
        before = await _existing(statements, instance_id)
        if await statements.maybe("queue/pause_site", instance_id=instance_id, reason=reason) is None:
            raise WrongState(f"site {typed(instance_id)} is already paused")
        after = await _read(statements, most=1, instance_id=instance_id)
        await record(
            statements, Action.SITE_PAUSE, instance_id, before=_named(before, PAUSE), after=_named(after, PAUSE)
        )


async def resume_site(database: Database, instance_id: str) -> None:
    """Claim jobs of a site again. Raises NotFound or WrongState."""
    async with database.transaction() as statements:
        before = await _existing(statements, instance_id)
        if await statements.maybe("queue/resume_site", instance_id=instance_id) is None:
            raise WrongState(f"site {typed(instance_id)} is not paused")
        after = await _read(statements, most=1, instance_id=instance_id)
        await record(
            statements, Action.SITE_RESUME, instance_id, before=_named(before, PAUSE), after=_named(after, PAUSE)
        )


async def _existing(statements: Runner, instance_id: str) -> list[SiteState]:
    """Return one site. Raises NotFound, without the names of others: the caller may be bound to some sites."""
    found = await _read(statements, most=1, instance_id=instance_id)
    if not found:
        raise NotFound(f"there is no site {typed(instance_id)}: see `blogworker sites list`")
    return found


def check_site(instance_id: str, changes: SiteChanges) -> None:
    """Raise SettingsError with every fault of these changes."""
    if faults := site_faults(instance_id) + site_text_faults(name=changes.name, plan=changes.plan):
        raise SettingsError("\n".join(faults))


async def set_site(
    database: Database,
    instance_id: str,
    changes: SiteChanges,
    *,
    settings: Mapping[str, Any] | None = None,
    budgets: Mapping[str, object] | None = None,
) -> list[SiteState]:
    """Create a site or change it, and return it. `settings` are merged into its settings; `budgets` are the
    parameters of `set_site_budget`. Raises SettingsError if there is no such plan."""
    if changes.plan is not None:
        await require_plan(database, changes.plan)
    cleared = {f"set_{name.removesuffix('_usd')}": True for name in changes.from_plan if name.startswith("budget")}
    async with database.transaction() as statements:
        before = await _read(statements, most=1, instance_id=instance_id)
        merged = Json(dict(settings or {}))
        given = asdict(changes) | {"from_plan": list(changes.from_plan)}
        await statements.one("queue/set_site", instance_id=instance_id, **given, settings=merged)
        if money := dict(budgets or {}) | cleared:
            await statements.execute("spend/set_site_budget", instance_id=instance_id, **NO_BUDGETS | money)
        if changes.plan is not None or changes.quota_share is not None:
            await statements.one("queue/follow_plans")
        after = await _read(statements, most=1, instance_id=instance_id)
        await record(statements, Action.SITE_SET, instance_id, before=_named(before, SET), after=_named(after, SET))
    return after


def _named(found: list[SiteState], names: Iterable[str]) -> dict[str, object] | None:
    """Return these values of a site; None if it does not exist."""
    return {name: getattr(found[0], name) for name in names} if found else None


async def require_sites(database: Database, sites: Iterable[str]) -> None:
    """Raise SettingsError if one of the sites is unknown."""
    for site in sites:
        await require_site(database, site)


async def require_site(database: Database, site: str | None) -> None:
    """Raise NotFound if the site is unknown, with similar names. None means every site."""
    if site is None:
        return
    found = await database.one("ops/site_known", instance_id=site)
    if not found["known"]:
        near = get_close_matches(site, found["others"], n=SUGGESTIONS) or found["others"][:SUGGESTIONS]
        names = ", ".join(map(typed, near)) + (" ..." if len(found["others"]) > len(near) else "")
        raise NotFound(f"there is no site {typed(site)}; known are {names or 'none'}: see `blogworker sites list`")
