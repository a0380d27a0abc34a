"""Reload the settings of a running worker: which may change, what has changed, and what needs a restart."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import psycopg
from anyio import Lock, fail_after
from psycopg_pool import PoolTimeout
from pydantic import SecretStr

from blogworker.db.messages import message_of
from blogworker.errors import SettingsError
from blogworker.section import Section, variable
from blogworker.settings import Settings
from blogworker.telemetry import get_logger

ANSWER_S = 15.0  # the new limits are stored in the database
LONGEST_SHOWN = 60  # characters
# A lease, a connection or a breaker exists under these values. All others may change while jobs run.
FIXED: Mapping[str, frozenset[str]] = {
    "worker": frozenset({"name", "lease", "heartbeat_interval", "stages", "slots"}),
    "openai": frozenset({"account"}),
    "replicate": frozenset({"account"}),
    "log": frozenset({"format"}),
}
FIXED_SECTIONS = ("database", "metrics", "tracing", "webhook")

# Reads the settings again. With a mapping: the variables to take them from, instead of the process's own sources.
Load = Callable[[Mapping[str, str] | None], Settings]

log = get_logger()


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload has changed, and what changes with the next start: variable -> "old -> new"."""

    changed: Mapping[str, str] = field(default_factory=dict)
    needs_restart: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None  # nothing has changed because of it


def merge(old: Settings, new: Settings) -> tuple[Settings, Reloaded]:
    """Return the settings to continue with: `new` where a reload may change them, else `old`."""
    merged: dict[str, Any] = {}
    changed: dict[str, str] = {}
    needs_restart: dict[str, str] = {}
    for name in (each.name for each in fields(Settings)):
        before, after = getattr(old, name), getattr(new, name)
        keep = set(type(before).model_fields) if name in FIXED_SECTIONS else set(FIXED.get(name, ()))
        if name == "worker" and before.slots != after.slots:
            keep.add("concurrency")  # their sum
        merged[name] = after.model_copy(update={key: getattr(before, key) for key in keep})
        for key in _differing(before, after):
            target = needs_restart if key in keep else changed
            target[variable(type(before), key)] = _change(getattr(before, key), getattr(after, key))
    return replace(old, **merged), Reloaded(changed, needs_restart)


def _differing(before: Section, after: Section) -> list[str]:
    return [key for key in type(before).model_fields if getattr(before, key) != getattr(after, key)]


def _change(before: object, after: object) -> str:
    if isinstance(before, SecretStr) or isinstance(after, SecretStr):
        return "removed" if after is None else "set" if before is None else "replaced"
    text = f"{before} -> {after}"
    return text if len(text) <= LONGEST_SHOWN and not isinstance(after, dict) else "changed"  # it may hold addresses


class Reloader:
    """Reloads, one at a time. `settings`: returns those in use. `apply`: continues with others."""

    def __init__(
        self, load: Load, settings: Callable[[], Settings], apply: Callable[[Settings], Awaitable[None]]
    ) -> None:
        self._load = load
        self._settings = settings
        self._apply = apply
        self._running = Lock()

    async def reload(self, delivered: Mapping[str, str] | None = None) -> Reloaded:
        """Read the settings again and continue with them. If one is wrong, keep all of the old ones."""
        async with self._running:
            old = self._settings()
            try:
                merged, found = merge(old, self._load(delivered))
                if merged != old:
                    with fail_after(ANSWER_S):
                        await self._apply(merged)
            except SettingsError as error:
                return self._failed("; ".join(str(error).split("\n")))
            except (psycopg.Error, PoolTimeout, TimeoutError) as error:
                return self._failed(f"the database does not store the limits: {message_of(error) or 'no answer'}")
            log.info("settings_reloaded", changed=found.changed, needs_restart=found.needs_restart)
            return found

    def _failed(self, error: str) -> Reloaded:
        log.error("reload_failed", error=error)
        return Reloaded(error=error)
