"""Audit: who changed what, when, and what was before and after. Every operation that changes something records it in
the same transaction; only a prune, which has many, does it at its end.

The interface sets the actor before it calls an operation: the command line the login, HTTP and the dashboard the name
of the token. Programs that call operations without an actor, such as benches, are recorded as `program`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from psycopg.types.json import Json

from blogworker.db.pool import Database, Runner
from blogworker.ops.records import records

Via = Literal["cli", "http", "dashboard"]
MOST_IDS = 200  # of a change of many jobs
MOST_TARGET = 1_000  # characters


class Action(StrEnum):
    """What can be changed."""

    BREAKER_CLOSE = "breaker.close"
    BUDGET_SET = "budget.set"
    JOBS_CANCEL = "jobs.cancel"
    JOBS_PRUNE = "jobs.prune"
    JOBS_RETRY = "jobs.retry"
    PLAN_REMOVE = "plan.remove"
    PLAN_SET = "plan.set"
    QUOTA_SET = "quota.set"
    QUOTA_UNBLOCK = "quota.unblock"
    RESTORE_NOTE = "restore.note"
    SEQUENCES_ADVANCE = "sequences.advance"
    SITE_PAUSE = "site.pause"
    SITE_RESUME = "site.resume"
    SITE_SET = "site.set"
    STAGES_PAUSE = "stages.pause"
    STAGES_RESUME = "stages.resume"
    TOKEN_CREATE = "token.create"  # noqa: S105 - not a password
    TOKEN_REVOKE = "token.revoke"  # noqa: S105 - not a password
    WEBHOOK_ADD = "webhook.add"
    WEBHOOK_PAUSE = "webhook.pause"
    WEBHOOK_REMOVE = "webhook.remove"
    WEBHOOK_RESUME = "webhook.resume"
    WORKER_QUIET = "worker.quiet"
    WORKER_RESUME = "worker.resume"


@dataclass(frozen=True, slots=True)
class Actor:
    name: str
    via: Via


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change. `before`, `after`: only what changed; None: nothing was there, or is left. `db_role`: the login of the
    database."""

    audit_id: int
    at: datetime
    actor: str
    via: str
    db_role: str
    action: str
    target: str | None
    before: Any
    after: Any


PROGRAM = Actor("program", "cli")
_actor: ContextVar[Actor] = ContextVar("actor", default=PROGRAM)


def act_as(name: str, via: Via) -> None:
    """Record the changes of this task from now on as those of this actor."""
    _actor.set(Actor(name[:300] or "unknown", via))


@contextmanager
def acting_as(name: str, via: Via) -> Iterator[None]:
    """Record changes in the block as those of this actor."""
    token = _actor.set(Actor(name[:300] or "unknown", via))
    try:
        yield
    finally:
        _actor.reset(token)


async def record(
    statements: Runner,
    action: Action,
    target: object,
    *,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
) -> None:
    """Record a change. Of `before` and `after`, only what differs is kept.

    `target` None: everything. `before` None: nothing was there; `after` None: nothing is left.
    """
    old, new = _changes(before, after)
    actor = _actor.get()
    await statements.execute(
        "ops/record_audit",
        actor=actor.name,
        via=actor.via,
        action=action,
        target=None if target is None else str(target)[:MOST_TARGET],
        before=None if old is None else Json(old),
        after=None if new is None else Json(new),
    )


async def list_audit(
    database: Database,
    *,
    target: str | None = None,
    actor: str | None = None,
    before_id: int | None = None,
    most: int = 50,
) -> list[AuditEntry]:
    """Return the changes, the newest first."""
    found = await database.rows("ops/audit", target=target, actor=actor, before_id=before_id, most=most)
    return records(AuditEntry, found)


def change_of(entry: AuditEntry) -> str | None:
    """Return what changed: `weight 1 -> 2`."""
    before, after = entry.before or {}, entry.after or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return None
    parts = [
        f"{name} {_text(before[name])} -> {_text(after.get(name))}"
        if name in before
        else f"{name} {_text(after[name])}"
        for name in {**before, **after}
    ]
    return ", ".join(parts) or None


def _text(value: object) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value, ensure_ascii=False)


def _changes(
    before: Mapping[str, object] | None, after: Mapping[str, object] | None
) -> tuple[dict[str, object] | None, dict[str, object] | None]:
    if before is None or after is None:
        return _plain(before), _plain(after)
    same = {name for name in before.keys() & after.keys() if before[name] == after[name]}
    old, new = ({name: given[name] for name in given if name not in same} for given in (before, after))
    return _plain(old), _plain(new)


def _plain(values: Mapping[str, object] | None) -> dict[str, object] | None:
    """Return values that JSON knows."""
    if values is None:
        return None
    return {name: _scalar(value) for name, value in values.items()}


def _scalar(value: object) -> object:
    match value:
        case None | bool() | int() | float() | str() | list() | dict():
            return value
        case Decimal():
            return float(value)
        case datetime():
            return value.isoformat()
        case _:
            return str(value)
