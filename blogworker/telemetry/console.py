"""Shortens the heartbeat to one line for a terminal. The JSON log keeps all of its keys."""

from collections.abc import Mapping, MutableMapping
from typing import Any

QUOTAS_SHOWN = 3  # the most used ones


def in_one_line(logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Shorten a heartbeat; a processor of structlog."""
    if event.get("event") != "heartbeat":
        return event
    line: dict[str, Any] = {key: event[key] for key in ("event", "level", "timestamp", "worker") if key in event}
    line["slots"] = f"{event.get('in_flight', 0)}/{event.get('slots', 0)}"
    line |= {key: event[key] for key in ("pending", "finished_last_minute", "workers") if key in event}
    if (oldest_wait_s := event.get("oldest_wait_s")) is not None:
        line["oldest_wait_s"] = round(oldest_wait_s)
    outcomes = sorted((event.get("outcomes") or {}).items())
    line |= {"pending_again" if status == "PENDING" else status.lower(): count for status, count in outcomes}
    if quotas := _most_used(event.get("quotas") or {}):
        line["quotas"] = quotas
    if (spent := event.get("spent_today_usd")) is not None:
        line["spent_today_usd"] = round(spent, 2)
    if open_breakers := event.get("open_breakers"):
        line["open_breakers"] = " ".join(open_breakers)
    return line | {key: event[key] for key in ("budget_exhausted", "sites_blocked") if event.get(key)}


def _most_used(quotas: dict[str, dict[str, Any]]) -> str:
    used = {
        name: max(quota.get("requests_percent") or 0, quota.get("tokens_percent") or 0)
        for name, quota in quotas.items()
    }
    most = sorted((name for name in used if used[name] >= 1), key=lambda name: (-used[name], name))[:QUOTAS_SHOWN]
    return ", ".join(f"{name} {used[name]:.0f} %" for name in most)
