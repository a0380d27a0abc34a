"""Evaluates the alert rules once a minute, by one worker of the fleet, and writes what changed to the outbox.

There is one message when alerts begin to fire, one when they are resolved, and reminders while they fire. All changes
of one minute are one message. The state and the message are stored in one transaction.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Json

from blogworker.alerts.rules import BY_NAME, RULES, Rule
from blogworker.db.pool import Database, Row
from blogworker.ops.pulse import Pulse, read_pulse
from blogworker.ops.records import records
from blogworker.printable import printable
from blogworker.redact import SECRETS
from blogworker.telemetry import get_logger

EVERY_S = 60.0
CLEAR_S = 300.0  # an alert is resolved when its condition was false for so long: one that comes and goes is one alert
GAP_S = 300.0  # after a longer time without an evaluation, a condition that has not fired starts again
MOST_NAMED = 20  # alerts in one message

log = get_logger()


@dataclass(frozen=True, slots=True)
class AlertState:
    """A condition that holds. `fired_at` None: not for long enough yet."""

    rule: str
    subject: str
    severity: str
    value: float
    summary: str
    since: datetime
    held_at: datetime
    fired_at: datetime | None
    sent_at: datetime | None
    evaluated_at: datetime

    @property
    def known(self) -> Rule | None:
        """Return its rule; None if another version of the program has stored it."""
        return BY_NAME.get(self.rule)


async def evaluate(database: Database, *, remind_s: float, every_s: float = EVERY_S) -> list[Row]:
    """Evaluate the rules, unless a worker has done so in this minute. Return what changed; it is in the outbox."""
    taken = await database.maybe("alerts/begin", every_s=every_s)
    if taken is None:
        return []
    holding = holding_now(await read_pulse(database, running=0))
    async with database.transaction() as statements:
        changed = await statements.rows(
            "alerts/observe",
            evaluation=taken["evaluation"],
            holding=json.dumps(holding),
            remind_s=remind_s,
            clear_s=CLEAR_S,
            gap_s=GAP_S,
        )
        if changed:
            await statements.rows("alerts/announce", payload=Json(message(changed)))
    for each in changed:
        facts = {"alert": each["rule"], "subject": each["subject"], "summary": each["summary"]}
        if each["change"] == "firing":
            log.warning("alert_fired", **facts)
        elif each["change"] == "resolved":
            log.info("alert_resolved", **facts)
    return changed


async def list_alerts(database: Database) -> list[AlertState]:
    """Return the conditions that hold, those that fire first."""
    return records(AlertState, await database.rows("alerts/list"))


def holding_now(pulse: Pulse) -> list[dict[str, Any]]:
    """Return what holds, each rule and subject once."""
    found = {
        (rule.name, (subject := _shown(each.subject, 500))): {
            "rule": rule.name,
            "subject": subject,
            "severity": rule.severity,
            "value": float(each.value),
            "summary": _shown(each.summary, 2_000),
            "for_s": rule.for_s,
        }
        for rule in RULES
        for each in rule.holds(pulse)
    }
    return list(found.values())


def message(changed: Sequence[Row]) -> dict[str, Any]:
    """Return the data of a message about these changes."""
    named = [_alert(each) for each in changed[:MOST_NAMED]]
    return {"alerts": named, "more": max(0, len(changed) - MOST_NAMED)}


def _alert(change: Row) -> dict[str, Any]:
    rule = BY_NAME.get(change["rule"])
    return {
        "alert": change["rule"],
        "state": change["change"],
        "severity": change["severity"],
        "subject": change["subject"],
        "value": change["value"],
        "summary": change["summary"],
        "since": change["since"].isoformat(),
        "next": rule.next_step if rule else "blogworker alerts",
        "runbook": rule.runbook if rule else None,
    }


def _shown(text: str, most: int) -> str:
    """Return text that may be stored and sent: any program may have named a quota."""
    return printable(SECRETS.hide(text))[:most]
