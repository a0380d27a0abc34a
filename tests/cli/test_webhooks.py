"""Webhooks and alerts on the command line: what an operator types, sees, and is told not to do."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from .conftest import Cli, Rows

USAGE, FAILED = 2, 1
KEY = "0123456789abcdef" * 2
LOCAL = {"BLOGWORKER_WEBHOOK_KEY": KEY, "BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK": "true"}


@pytest.fixture
def port() -> Iterator[int]:
    """A receiver that accepts POSTs to /ok and to no other path."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204 if self.path == "/ok" else 500)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_from_its_beginning_to_its_end(cli: Cli, sql: Rows, port: int) -> None:
    assert "there is no endpoint" in cli("webhooks").out
    added = cli("webhooks", "add", "w", "--url", f"http://127.0.0.1:{port}/ok", "--event", "done", **LOCAL)
    assert (added.code, added.err) == (0, "")
    assert cli("webhooks", "test", "w", **LOCAL).out == "w accepted a test message\n"
    secret = cli("webhooks", "secret", "w", **LOCAL).out
    assert secret.startswith("whsec_")
    assert secret == cli("webhooks", "secret", "w", **LOCAL).out
    cli("webhooks", "pause", "w", "--reason", "the receiver moves")
    assert "paused: the receiver moves" in cli("webhooks").out
    assert cli("webhooks", "resume", "w").code == 0
    assert cli("webhooks", "deliveries", "w", "--json").json == []
    (shown,) = cli("webhooks", "--json").json
    assert (shown["name"], shown["events"], shown["waiting"]) == ("w", ["done"], 0)
    assert cli("webhooks", "remove", "w").code == 0
    assert sql("select count(*) from webhooks") == [(0,)]
    assert KEY not in json.dumps([str(row) for row in sql("select to_jsonb(a) from audit as a")])


def test_a_test_that_is_not_accepted_says_why(cli: Cli, port: int) -> None:
    cli("webhooks", "add", "w", "--url", f"http://127.0.0.1:{port}/bad", "--event", "done", **LOCAL)
    refused = cli("webhooks", "test", "w", **LOCAL)
    assert (refused.code, refused.err) == (FAILED, "blogworker: w did not accept a test message: status 500\n")

    without = cli("webhooks", "test", "w", BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK="true")
    assert without.code == USAGE
    assert without.err == "blogworker: BLOGWORKER_WEBHOOK_KEY is not set here: deliveries cannot be signed\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["add", "w", "--event", "done"], "give its address with --url, or in BLOGWORKER_WEBHOOK_URLS"),
        (["add", "w", "--event", "done", "--url", "http://example.com/"], "the address must begin with https://"),
        (["add", "w", "--event", "done", "--url", "https://10.0.0.1/"], "https://10.0.0.1 is not a public address"),
        (["add", "w", "--event", "done", "--url", "http://127.0.0.1/"], "BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK"),
        (["add", "a b", "--event", "done", "--url", "https://x.example.com"], "the name of an endpoint has"),
        (["add", "w", "--event", "alert", "--format", "slack", "--url", "https://hooks.slack.com/x"], "is a secret"),
        (
            ["add", "w", "--event", "alert", "--site", "a", "--url", "https://x.example.com"],
            "--event alert is about the whole fleet",
        ),
        (["remove", "no"], "there is no endpoint no; known are old"),
        (["pause", "no"], "there is no endpoint no; known are old"),
        (["resume", "no"], "there is no endpoint no; known are old"),
        (["test", "no"], "there is no endpoint no; known are old"),
        (["deliveries", "no"], "there is no endpoint no; known are old"),
        (["secret", "old"], "BLOGWORKER_WEBHOOK_KEY is not set here"),
        (["add", "old", "--event", "done", "--url", "https://x.example.com"], "there is an endpoint old already"),
    ],
)
def test_bad_input_is_one_clear_line(cli: Cli, sql: Rows, arguments: list[str], complaint: str) -> None:
    sql("insert into webhooks (name, url, events) values ('old', 'https://x.example.com', '{done}')")

    ran = cli("webhooks", *arguments)

    assert (ran.code, len(ran.complaints)) == (USAGE, 1), ran.err
    assert complaint in ran.err
    assert sql("select count(*) from webhooks") == [(1,)]


def test_the_key_and_the_addresses_may_be_credentials(cli: Cli, tmp_path: Path, port: int) -> None:
    """Files that systemd gives to the unit, with nothing in the environment and nothing in the database."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "blogworker_webhook_key").write_text(KEY + "\n")
    (credentials / "blogworker_webhook_urls").write_text(json.dumps({"chat": f"http://127.0.0.1:{port}/ok"}))
    given = {"CREDENTIALS_DIRECTORY": str(credentials), "BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK": "true"}

    added = cli("webhooks", "add", "chat", "--event", "alert", "--format", "slack", **given)

    assert (added.code, added.err) == (0, "")
    assert cli("webhooks", "test", "chat", **given).code == 0
    assert cli("webhooks", "--json").json[0]["url"] is None


def test_alerts_shows_what_fires(cli: Cli, sql: Rows) -> None:
    assert cli("alerts").out == "no alert fires\n"
    sql("insert into alert_evaluations (one) values (true)")
    sql(
        "insert into alerts (rule, subject, severity, value, summary, fired_at, sent_at) "
        "values ('BlogworkerBreakerOpen', 'openai', 'critical', 1, 'openai is not called.', now(), now())"
    )
    sql("insert into alerts (rule, severity, value, summary) values ('BlogworkerSlow', 'warning', 1, 's')")

    shown = cli("alerts").out
    assert "firing" in shown
    assert "pending" in shown
    assert "blogworker breakers" in shown
    assert [each["firing"] for each in cli("alerts", "--json").json] == [True, False]


def test_status_check_names_endpoints_that_need_a_person(cli: Cli, sql: Rows) -> None:
    sql(
        "insert into webhooks (name, url, events, disabled_at, disabled_reason) "
        "values ('gone', 'https://x.example.com', '{done}', now(), 'it answered 410 Gone')"
    )

    assert "webhooks that fail or are disabled: gone" in cli("status", "--check").out
    assert "0 deliveries wait, 0 were given up; failing or disabled: gone" in cli("status").out


def test_status_check_warns_when_no_worker_can_send(cli: Cli, sql: Rows) -> None:
    sql("insert into webhooks (name, events) values ('chat', '{alert}')")
    sql(
        "insert into webhook_deliveries (webhook_id, message_id, event, payload, created_at) "
        "select webhook_id, gen_random_uuid(), 'alert', '{}', now() - interval '11 minutes' from webhooks"
    )

    assert "1 webhook deliveries wait: no worker has the key or the address" in cli("status", "--check").out
