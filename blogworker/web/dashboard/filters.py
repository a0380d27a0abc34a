"""The filter of the page of jobs: its fields in an address or a form, and the jobs that match."""

from collections.abc import Callable

from blogworker.ops.jobs import JobFilter
from blogworker.queue.job import Status

STAGES = ("source", "ideas", "content", "image", "publish")
HOUR_S, DAY_S = 3_600, 86_400
SPANS = {"1 hour": HOUR_S, "1 day": DAY_S, "7 days": 7 * DAY_S, "30 days": 30 * DAY_S}
YOUNGER, OLDER = ({f"{which} {span}": span_s for span, span_s in SPANS.items()} for which in ("last", "older than"))
AGES = (*YOUNGER, *OLDER)
FIELDS = ("text", "status", "stage", "site", "kind", "age")
BEFORE = "before"  # the place in the list


def storable(text: str) -> str:
    """Return the text as the database can compare it. NUL is replaced, so that no other value is found."""
    return text.replace("\0", "\ufffd")


def fields_of(given: Callable[[str], str | None]) -> dict[str, str]:
    """Return the fields by name. Empty ones match every job; so do values that do not exist, which become empty. Ids
    keep their spaces: a site may be another one without them."""
    fields = {name: storable(given(name) or "") for name in (*FIELDS, BEFORE)}
    fields["text"] = (given("text") or "").strip().replace("\0", "")
    for name, known in (("status", list(Status)), ("stage", STAGES), ("age", AGES)):
        fields[name] = fields[name] if fields[name] in known else ""
    return fields


def filter_of(fields: dict[str, str]) -> JobFilter:
    """Return the filter that these fields are."""
    before = fields[BEFORE]
    return JobFilter(
        status=Status(fields["status"]) if fields["status"] else None,
        instance_id=fields["site"] or None,
        text=fields["text"] or None,
        stage=fields["stage"] or None,
        kind=fields["kind"] or None,
        within_s=YOUNGER.get(fields["age"]),
        older_than_s=OLDER.get(fields["age"]),
        before=int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None,
    )
