"""What the log writes: JSON or text, the priorities of the journal, and no secret."""

import errno
import json
import logging
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from blogworker.redact import HIDDEN, SECRETS, forms
from blogworker.settings import LogSettings
from blogworker.telemetry import configure, get_logger
from blogworker.telemetry import journal as journal_module
from blogworker.telemetry.log import WithoutSecrets
from blogworker.telemetry.streams import Stream, _Drain

SECRET = SecretStr("hunter2")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_its_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(level="info", format="auto"))

    with structlog.contextvars.bound_contextvars(job_id=7):
        get_logger().info("job_settled", error="two\nlines", at=datetime(2026, 11, 23, tzinfo=UTC), path=Path("x"))

    (line,) = lines(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta()
    assert line == {
        "event": "job_settled",
        "level": "info",
        "job_id": 7,
        "error": "two\nlines",
        "at": "2026-11-23 00:00:00+00:00",
        "path": "x",
    }


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("0", ["error"]),
        ("1", ["error", "warning"]),
        ("2", ["error", "warning", "info"]),
        ("3", ["error", "warning", "info", "debug"]),
        ("4", ["error", "warning", "info", "debug"]),
    ],
)
def test_the_numbers_of_the_former_system_are_levels(
    capsys: pytest.CaptureFixture[str], given: str, shown: list[str]
) -> None:
    configure(LogSettings(level=given))

    for level in ("error", "warning", "info", "debug"):
        getattr(get_logger(), level)("job_settled")

    assert [line["level"] for line in lines(capsys)] == shown


@pytest.mark.parametrize("form", ["json", "console"])
@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=200))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_line_shows_a_known_secret(capsys: pytest.CaptureFixture[str], form: str, key: str) -> None:
    """At any depth, also escaped twice, and in exception messages."""
    assume(len(key.strip()) >= 8)
    SECRETS.learn(key)
    configure(LogSettings(format=form))
    log = get_logger()
    error = ValueError(key, {"said": json.dumps({"key": key})})
    error.add_note(f"with {key}")

    log.info(
        key, error=error, printed={key: [key, (f"{error}", {key}, json.dumps([key]))]}, path=Path("x"), raw=key.encode()
    )
    try:
        try:
            raise error
        except ValueError as cause:
            raise RuntimeError(f"again: {key}") from cause
    except RuntimeError:
        log.exception("attempt_crashed", error=repr(error))
    record = logging.LogRecord("httpx", logging.ERROR, "x", 1, "sent %s", (key,), (ValueError, error, None))
    print(WithoutSecrets(logging.BASIC_FORMAT).format(record))  # noqa: T201

    shown = capsys.readouterr().out.replace(HIDDEN, "\0")
    assert [printed for printed in forms(key) if printed in shown] == []


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_contains_a_secret(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """Neither as a value nor among the variables of a traceback."""
    configure(LogSettings(format=form))
    log = get_logger()

    def call(key: str) -> None:
        raise ValueError(f"refused a key of {len(key)} characters")

    log.info("worker_started", key=SECRET, settings={"key": SECRET})
    try:
        call(SECRET.get_secret_value())
    except ValueError:
        log.exception("attempt_crashed")

    shown = capsys.readouterr().out
    assert SECRET.get_secret_value() not in shown
    assert "refused a key of 7 characters" in shown
    assert "test_log.py" in shown


def journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is the journal that systemd announced."""
    facts = os.fstat(1)
    monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", closefd=False))
    monkeypatch.setenv("JOURNAL_STREAM", f"{facts.st_dev}:{facts.st_ino}")
    monkeypatch.setattr(journal_module, "SOCKET", "/nowhere/socket")  # what takes no entries


def fields_of(datagram: bytes) -> dict[str, str]:
    """An entry of the journal, as the journal reads it."""
    found = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + size], datagram[9 + size :]
        found[name.decode()] = value.decode()
    return found


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,70}", fullmatch=True), st.text() | st.text("a=\n") | st.integers() | st.none()
    )
)
def test_each_key_is_a_field_of_its_entry_whatever_its_value(keys: dict[str, object]) -> None:
    """A value cannot inject a field: `journalctl BLOGWORKER_JOB_ID=4711` finds what the program wrote."""
    written = fields_of(journal_module.entry("{}", "warning", keys | {"event": "lease_lost"}))

    assert (written["MESSAGE"], written["PRIORITY"], written["BLOGWORKER_EVENT"]) == ("{}", "4", "lease_lost")
    for key, value in keys.items():
        if key not in ("level", "timestamp", "event") and len(key) <= 53:
            given_text = value if isinstance(value, str) else json.dumps(value)
            assert written[f"BLOGWORKER_{key.upper()}"] == given_text.encode(errors="backslashreplace").decode()


def test_a_line_for_the_journal_is_one_entry_with_fields_and_not_written_twice(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    journal(monkeypatch)
    path = str(tmp_path / "journal")
    monkeypatch.setattr(journal_module, "SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as received:
        received.bind(path)
        configure(LogSettings(format="json"))
        get_logger().warning("lease_lost", worker="host/1", error="two\nlines")
        get_logger().error("attempt_crashed", error="x" * 200_000)

        written = fields_of(received.recv(65_536))
    assert written["BLOGWORKER_EVENT"] == "lease_lost"
    assert (written["BLOGWORKER_ERROR"], written["PRIORITY"]) == ("two\nlines", "4")
    assert json.loads(written["MESSAGE"])["worker"] == "host/1"
    (line,) = capfd.readouterr().out.splitlines()  # too large for one datagram
    assert line.startswith("<3>{")


@pytest.mark.parametrize("form", ["json", "console"])
def test_each_line_of_the_journal_has_its_priority(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    """`journalctl -p warning` showed nothing, as every line had priority 6. Each line of a traceback is an entry."""
    journal(monkeypatch)
    configure(LogSettings(level="debug", format=form))
    log = get_logger()

    log.debug("jobs_claimed")
    log.info("job_settled")
    log.warning("lease_lost")
    log.error("breaker_opened")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("attempt_crashed")

    lines = capfd.readouterr().out.splitlines()
    assert [line[:3] for line in lines[:4]] == ["<7>", "<6>", "<4>", "<3>"]
    assert {line[:3] for line in lines[4:]} == {"<3>"}
    assert (len(lines) > 5) == (form == "console")
    assert "\x1b" not in "".join(lines)  # the journal shows such lines as blobs


def test_a_stream_that_is_not_the_journal_gets_no_priorities(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A worker of systemd that writes to a file, or a child whose output is read, inherits the variable."""
    journal(monkeypatch)
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    configure(LogSettings(format="json"))

    get_logger().error("breaker_opened")

    assert capfd.readouterr().out.startswith("{")


def test_a_terminal_that_was_closed_ends_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker drains after SIGHUP, and each of its lines fails."""
    failures: list[OSError] = []
    ours, theirs = os.openpty()
    os.close(ours)
    monkeypatch.setattr(sys, "stdout", Stream(_Drain(theirs, failures.append), encoding="utf-8", by_line=True))
    configure(LogSettings(format="json"))

    for _ in range(3):
        get_logger().info("drain_started")

    assert [failure.errno for failure in failures] == [errno.EIO]
    os.close(theirs)


def test_warnings_tracebacks_and_library_output_are_errors_in_the_journal(tmp_path: Path) -> None:
    """Standard error goes to the journal too when systemd runs a command."""
    script = """
import logging, sys
from blogworker.cli.app import crash
from blogworker.cli.output import complain
from blogworker.settings import LogSettings
from blogworker.telemetry import configure
configure(LogSettings(format="json"))
sys.excepthook = crash
complain("two\\nlines")
logging.getLogger("x").error("said")
raise ValueError("unforeseen")
"""
    with (tmp_path / "journal").open("w+") as stream:
        facts = os.fstat(stream.fileno())
        printed = {"JOURNAL_STREAM": f"{facts.st_dev}:{facts.st_ino}"}
        subprocess.run([sys.executable, "-c", script], stderr=stream, env=os.environ | printed, check=False, timeout=30)
        stream.seek(0)
        lines = stream.read().splitlines()

    assert lines[:3] == ["<3>blogworker: two\\nlines", "<3>ERROR:x:said", "<3>Traceback (most recent call last):"]
    assert lines[-1] == "<3>ValueError: unforeseen"
    assert {line[:3] for line in lines} == {"<3>"}


def test_messages_of_the_interpreter_contain_no_secret_and_no_escape() -> None:
    """Errors in a finalizer or a thread go to standard error only."""
    script = """
import threading
from blogworker.redact import SECRETS
from blogworker.telemetry import quiet_libraries
from blogworker.telemetry.streams import replace_standard_streams
replace_standard_streams()
quiet_libraries()
SECRETS.learn("hunter2-of-no-shape")

class Dropped:
    def __del__(self):
        raise ValueError("hunter2-of-no-shape \\x1b[31m")

Dropped()
thread = threading.Thread(target=lambda: {}["hunter2-of-no-shape"])
thread.start()
thread.join()
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    ).stderr

    assert printed.count("Traceback") == 2
    assert printed.count(HIDDEN) == 2
    assert "hunter2" not in printed.replace('raise ValueError("hunter2-of-no-shape', "").replace('["hunter2-', "")
    assert "\x1b" not in printed
