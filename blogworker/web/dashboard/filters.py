"""The filter of the page of jobs: its fields in an address or a form, and the jobs that match."""

from collections.abc import Callable

from blogworker.ops.jobs import JobFilter
from blogworker.queue.job import Status

STAGES = ("source", "ideas", "content", "image", "publish")
HOUR_S, DAY_S = 3_600, 86_400
AGES = {"1 hour": HOUR_S, "1 day": DAY_S, "7 days": 7 * DAY_S, "30 days": 30 * DAY_S}
FIELDS = ("text", "status", "stage", "site", "kind", "age")
BEFORE = "before"  # the place in the list


def asked_for(field: Callable[[str], str | None]) -> dict[str, str]:
    """Return all fields by name; empty ones match every job. `field` gives the text of a field."""
    return {name: (field(name) or "").strip().replace("\0", "") for name in (*FIELDS, BEFORE)}


def filter_of(asked: dict[str, str]) -> JobFilter:
    """Return the filter. A status, stage, age or place that does not exist matches every job."""
    status, before = asked["status"], asked[BEFORE]
    return JobFilter(
        status=Status(status) if status in list(Status) else None,
        instance_id=asked["site"] or None,
        text=asked["text"] or None,
        stage=asked["stage"] if asked["stage"] in STAGES else None,
        kind=asked["kind"] or None,
        within_s=AGES.get(asked["age"]),
        before=int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None,
    )
