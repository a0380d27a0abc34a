"""What is sent: the JSON body of an event, plain or in the form of Slack's incoming webhooks.

    {"type": "job.done" | "job.failed" | "alert" | "test", "timestamp": ..., "data": {...}}

Titles come from a model and errors from a provider. In Slack, none of their text is interpreted: no mention, no link.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from blogworker.ops.errors import remedy
from blogworker.printable import printable
from blogworker.redact import SECRETS

TYPES = {"done": "job.done", "failed": "job.failed", "alert": "alert", "test": "test"}
MOST_TEXT = 2_900  # characters of a section of Slack, which allows 3,000
MOST_LINE = 500
MARKS = {"firing": ":rotating_light:", "reminder": ":repeat:", "resolved": ":white_check_mark:"}


def body(event: str, payload: Mapping[str, Any], *, at: datetime, form: str) -> bytes:
    """Return the body of a message. `form`: json or slack."""
    data = _hidden(_with_remedy(payload) if event == "failed" else payload)
    if form == "slack":
        return _encoded(slack(event, data))
    return _encoded({"type": TYPES[event], "timestamp": at.astimezone(UTC).isoformat(), "data": data})


def slack(event: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message for Slack: one section whose text is escaped, and is not searched for mentions."""
    lines = _alert_lines(data) if event == "alert" else _job_lines(event, data)
    text = "\n".join(lines)[:MOST_TEXT]
    text = text[: text.rfind("<")] if text.rfind("<") > text.rfind(">") else text  # no half of a link
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
    return {"text": lines[0], "blocks": [section], "unfurl_links": False, "unfurl_media": False}


def escaped(value: object) -> str:
    """Return text that Slack shows as it is: its three control characters are escaped, and it has one line."""
    text = printable(" ".join(str(value).split()))[:MOST_LINE]
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u2060")


def _job_lines(event: str, data: Mapping[str, Any]) -> list[str]:
    if event == "test":
        return ["This is a test of blogworker. Nothing happened."]
    subject = data.get("title") or data.get("source_id") or data.get("source_type")
    job, site = escaped(data["job_id"]), escaped(data["site"])
    if event == "done":
        return [f":memo: Job {job} of {site} is done: {escaped(subject)}", *_link(data.get("url"))]
    error = data.get("error") or {}
    return [
        f":x: Job {job} of {site} failed: {escaped(subject)}",
        escaped(error.get("message") or "no reason was stored"),
        f"Next: {escaped(error.get('remedy', ''))}",
    ]


def _link(url: object) -> Sequence[str]:
    """Return a link to a post, if its address cannot be mistaken for anything else."""
    text = str(url or "")
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        return []
    if scheme != "https" or any(sign in text for sign in "<>|") or not text.isprintable():
        return []
    return [f"<{text.replace('&', '&amp;')}|Open the post>"]


def _alert_lines(data: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{MARKS.get(each['state'], '')} {escaped(each['state'])}, {escaped(each['severity'])}: "
        f"{escaped(each['summary'])} ({escaped(each['alert'])}) Next: {escaped(each['next'])}"
        for each in data["alerts"]
    ]
    return [*lines, f"and {data['more']} more"] if data.get("more") else lines


def _with_remedy(payload: Mapping[str, Any]) -> dict[str, Any]:
    error = payload.get("error") or {}
    return {**payload, "error": {**error, "remedy": remedy(error.get("kind") or "", payload["job_id"])}}


def _hidden(payload: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = SECRETS.hide_all(payload, words=False)
    return found


def _encoded(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=str).encode()
