"""Plans: list, set, remove. A change applies to the sites of the plan at once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches

from blogworker.db.pool import Database, Runner
from blogworker.errors import SettingsError
from blogworker.ops.audit import Action, record
from blogworker.ops.records import Plan, records
from blogworker.plurals import counted
from blogworker.printable import typed
from blogworker.queue.validation import site_text_faults

STANDARD = "standard"  # what new sites get


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """What to change of a plan. None keeps the value. `limits`: by name; a None there removes the limit."""

    weight: float | None
    priority: int | None
    limits: Mapping[str, object]


REMOVABLE = {
    "max_in_flight": "max_in_flight",
    "max_pending": "max_pending",
    "budget_day_usd": "budget_day",
    "budget_month_usd": "budget_month",
    "quota_share": "quota_share",
}  # the limits of a plan, and how the statement names their change


async def list_plans(database: Database) -> list[Plan]:
    """Return the plans, by name."""
    return await _read(database, None)


async def set_plan(database: Database, name: str, changes: PlanChanges) -> Plan:
    """Create a plan or change it, and return it. Raises SettingsError for a name that cannot be stored."""
    if faults := site_text_faults(plan=name) or ([] if name.strip() else ["the name of the plan is empty"]):
        raise SettingsError("\n".join(faults))
    limits = {limit: changes.limits.get(limit) for limit in REMOVABLE}
    set_limits = {f"set_{short}": limit in changes.limits for limit, short in REMOVABLE.items()}
    async with database.transaction() as statements:
        before = await _read(statements, name)
        await statements.one(
            "ops/set_plan", name=name, weight=changes.weight, priority=changes.priority, **limits, **set_limits
        )
        await statements.one("queue/follow_plans")  # shares of the quotas
        after = await _read(statements, name)
        await record(statements, Action.PLAN_SET, name, before=_set(before), after=_set(after))
    return after[0]


async def remove_plan(database: Database, name: str) -> None:
    """Delete a plan. Raises SettingsError if it is unknown, or if sites have it."""
    async with database.transaction() as statements:
        before = await _read(statements, name)
        if before and (before[0].sites or name == STANDARD):
            use = "new sites get it"
            if name != STANDARD:
                use = f"{counted(before[0].sites, 'site')} {'has' if before[0].sites == 1 else 'have'} it"
            raise SettingsError(f"plan {typed(name)} stays: {use}; see `blogworker sites set SITE --plan`")
        if await statements.maybe("ops/remove_plan", name=name) is not None:
            await record(statements, Action.PLAN_REMOVE, name, before=_set(before), after=None)
    if not before:
        await require_plan(database, name)


async def require_plan(database: Database, name: str) -> None:
    """Raise SettingsError if there is no such plan, with the names of the others."""
    known = [plan.name for plan in await list_plans(database)]
    if name not in known:
        near = get_close_matches(name, known, n=5) or known[:5]
        raise SettingsError(
            f"there is no plan {typed(name)}; known are {', '.join(map(typed, near))}: `blogworker plans set` adds one"
        )


async def _read(database: Runner, name: str | None) -> list[Plan]:
    return records(Plan, await database.rows("ops/plans", name=name))


def _set(found: list[Plan]) -> dict[str, object] | None:
    """Return what people set of a plan."""
    names = [field.name for field in fields(Plan) if field.name not in ("name", "sites")]
    return {name: getattr(found[0], name) for name in names} if found else None
