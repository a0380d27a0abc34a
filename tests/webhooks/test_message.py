"""What is sent: nothing of it is obeyed by a chat, and no secret is in it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.redact import SECRETS
from blogworker.webhooks.message import MOST_TEXT, body

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTILE = (
    "<!channel> <!here> <@U012AB> <#C012> <https://evil.example|login> @channel & </https> *x*\n> quote\x1b[2J\u202e"
)
JOB = {"job_id": 7, "site": "shop", "title": "Linen", "url": "https://shop.example.com/a?b=1&c=2", "error": None}


def slack_text(event: str, payload: dict[str, Any]) -> str:
    sent = json.loads(body(event, payload, at=NOW, form="slack"))
    (section,) = sent["blocks"]
    assert section["text"]["verbatim"] is True  # no bare mention or link is searched for
    return f"{sent['text']}\n{section['text']['text']}"


def commands(text: str) -> list[str]:
    """What Slack would interpret: everything between its brackets."""
    return [part.partition(">")[0] for part in text.split("<")[1:]]


def test_a_job_that_is_done_links_to_its_post() -> None:
    assert commands(slack_text("done", JOB)) == ["https://shop.example.com/a?b=1&amp;c=2|Open the post"]


@given(text=st.text() | st.just(HOSTILE), where=st.sampled_from(["title", "site", "url", "message"]))
@settings(max_examples=40)
def test_no_text_is_interpreted_by_slack(text: str, where: str) -> None:
    done = JOB | {"url": None} | ({} if where == "message" else {where: text})
    failed = JOB | {"error": {"kind": "Refused", "message": text}}
    alert = {"state": "firing", "severity": "critical", "summary": text, "alert": text, "next": text}

    for event, payload in (("done", done), ("failed", failed), ("alert", {"alerts": [alert] * 3, "more": 3})):
        shown = slack_text(event, payload)
        assert [each for each in commands(shown) if not each.startswith("https://")] == []
        assert "@channel" not in shown
        assert all(
            len(block["text"]["text"]) <= MOST_TEXT
            for block in json.loads(body(event, payload, at=NOW, form="slack"))["blocks"]
        )


@pytest.mark.parametrize(
    "url",
    ["javascript:x", "https://x|y", "https://x>y", "https://a\nb", "http://x", "https://[bad/post", 7, None, ""],
)
def test_an_odd_address_is_no_link(url: object) -> None:
    assert commands(slack_text("done", JOB | {"url": url})) == []


def test_no_secret_is_sent() -> None:
    SECRETS.learn("sk-live-0123456789abcdef")
    error = {"kind": "Refused", "message": "bad key sk-live-0123456789abcdef, Bearer abc123def456"}

    for form in ("json", "slack"):
        sent = body("failed", JOB | {"error": error, "title": "sk-live-0123456789abcdef"}, at=NOW, form=form).decode()
        assert "0123456789" not in sent
        assert "abc123def456" not in sent


def test_json_says_what_happened_and_what_to_do() -> None:
    sent = json.loads(body("failed", JOB | {"error": {"kind": "Misconfigured", "message": "m"}}, at=NOW, form="json"))

    assert (sent["type"], sent["timestamp"]) == ("job.failed", "2026-01-02T03:04:05+00:00")
    assert sent["data"]["error"]["remedy"].startswith("correct the key")


def test_a_job_that_failed_without_a_stored_error_has_a_remedy() -> None:
    sent = json.loads(body("failed", JOB, at=NOW, form="json"))

    assert "blogworker retry 7" in sent["data"]["error"]["remedy"]
