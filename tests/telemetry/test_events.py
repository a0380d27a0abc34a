"""One table tells every event, the code emits no other, and no line gives a secret away."""

import ast
import errno
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
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
from blogworker.telemetry import EVENTS, configure, get_logger, keys_of
from blogworker.telemetry.facts import gathered, note
from blogworker.telemetry.log import WithoutSecrets
from blogworker.telemetry.streams import Stream, _Drain

PACKAGE = Path(__file__).parents[2] / "blogworker"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
SECRET = SecretStr("hunter2")
IRREGULAR = {"lost", "cut", "held", "back", "found"}


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave no set-up behind for other tests."""
    yield
    structlog.reset_defaults()


def writes(node: ast.AST) -> bool:
    """Whether an expression is `log.<level>`."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in LEVELS
        and isinstance(node.value, ast.Name)
        and node.value.id == "log"
    )


def emitted() -> Iterator[tuple[str, ast.expr]]:
    """Place and first argument of each call of our logger."""
    yield from ((place, call.args[0]) for place, call in logged())


def logged() -> Iterator[tuple[str, ast.Call]]:
    """Place and each call of our logger, also where a variable chose its level."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "get_logger()" not in text:
            continue
        nodes = list(ast.walk(ast.parse(text)))
        chosen = {
            target.id
            for node in nodes
            if isinstance(node, ast.Assign) and any(writes(part) for part in ast.walk(node.value))
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and (
                writes(node.func) or (isinstance(node.func, ast.Name) and node.func.id in chosen)
            ):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def test_every_event_is_a_literal_of_the_table() -> None:
    """An operator greps for an event; a name put together at run time cannot be found."""
    unknown = [
        f"{place} {ast.unparse(event)}"
        for place, event in emitted()
        if not (isinstance(event, ast.Constant) and event.value in EVENTS)
    ]

    assert unknown == []


def test_every_event_of_the_table_is_emitted() -> None:
    used = {event.value for _, event in emitted() if isinstance(event, ast.Constant)}

    assert set(EVENTS) - used == set()


def test_the_documented_keys_are_those_that_are_written() -> None:
    """A dashboard can rely on the table: lines have these keys and no others."""
    wrong = []
    for place, call in logged():
        event = ast.literal_eval(call.args[0])
        always, perhaps = keys_of(event)
        written = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
        written |= {"exception"} if getattr(call.func, "attr", "") == "exception" else set()
        more = any(keyword.arg is None for keyword in call.keywords)  # put together: the e2e tests see those
        if not written <= always | perhaps or not (more or always <= written):
            wrong.append((place, event, written ^ always))

    assert wrong == []


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a meaning", (set(), set())),
        ("a meaning; more: one", ({"one"}, set())),
        ("a: b: one, two? (not by hand), three (which)", ({"one", "three"}, {"two"})),
    ],
)
def test_keys_stand_behind_the_last_colon(
    text: str, keys: tuple[set[str], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EVENTS, "heartbeat", text)

    assert keys_of("heartbeat") == keys


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_tells_what_happened(event: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event)
    assert event == "heartbeat" or any(word.endswith("ed") or word in IRREGULAR for word in event.split("_"))
    assert EVENTS[event]


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
        key, error=error, told={key: [key, (f"{error}", {key}, json.dumps([key]))]}, path=Path("x"), raw=key.encode()
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
    assert [told for told in forms(key) if told in shown] == []


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_gives_a_secret_away(capsys: pytest.CaptureFixture[str], form: str) -> None:
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
    assert "test_events.py" in shown


def journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is the journal that systemd announced."""
    facts = os.fstat(1)
    monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", closefd=False))
    monkeypatch.setenv("JOURNAL_STREAM", f"{facts.st_dev}:{facts.st_ino}")


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_journal_is_told_the_priority_of_each_line(
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


def test_a_stream_that_is_not_the_journal_is_left_alone(
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


BEAT = {
    "worker": "host/1",
    "slots": 50,
    "in_flight": 12,
    "outcomes": {"PENDING": 3, "DONE": 40},
    "pool": {"pool_min": 2, "requests_num": 171},
    "pending": 340,
    "ready_sites": 12,
    "oldest_wait_s": 12.34,
    "finished_last_minute": 25,
    "workers": 4,
    "oldest_xmin_age_s": None,
    "spent_today_usd": 1.2345,
    "budget_exhausted": None,
    "open_breakers": ["openai"],
    "quotas": {
        f"openai/{n}": {"requests_percent": float(n), "tokens_percent": None, "max_requests": 450} for n in range(20)
    },
    "sites_blocked": 0,
}


def test_a_heartbeat_is_one_line_that_a_person_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal it was several nested dictionaries. The JSON log keeps them."""
    configure(LogSettings(format="console"))
    get_logger().info("heartbeat", **BEAT)
    configure(LogSettings(format="json"))
    get_logger().info("heartbeat", **BEAT)

    console, machine = capsys.readouterr().out.splitlines()
    told = console.split("heartbeat", 1)[1]
    assert told.split() == [
        "done=40",
        "finished_last_minute=25",
        "oldest_wait_s=12",
        "open_breakers=openai",
        "pending=340",
        "pending_again=3",
        *("quotas='openai/19", "19", "%,", "openai/18", "18", "%,", "openai/17", "17", "%'"),
        "slots=12/50",
        "spent_today_usd=1.23",
        "worker=host/1",
        "workers=4",
    ]
    assert BEAT.items() <= json.loads(machine).items()


@pytest.mark.parametrize("beat", [{}, {"quotas": None, "outcomes": None}, {"quotas": {"a": {}}}])
def test_a_heartbeat_without_figures_is_a_line_too(capsys: pytest.CaptureFixture[str], beat: dict[str, Any]) -> None:
    configure(LogSettings(format="console"))

    get_logger().info("heartbeat", **beat)

    assert "slots=0/0" in capsys.readouterr().out


def test_what_is_noted_in_a_part_is_of_the_whole_too() -> None:
    """A stage's line has what the stage paid; the attempt's line has the sum of all stages."""
    note(tokens=1)  # nobody gathers
    with gathered() as attempt:
        note(title="first", tokens=10, cost_usd=0.5)
        with gathered() as stage:
            note(title="second", tokens=5, cost_usd=None, model="m")

    assert stage == {"title": "second", "tokens": 5, "model": "m"}
    assert attempt == {"title": "second", "tokens": 15, "cost_usd": 0.5, "model": "m"}


def test_what_a_part_has_paid_is_known_when_it_fails() -> None:
    with gathered() as attempt, suppress(ValueError), gathered():
        note(cost_usd=0.25)
        raise ValueError

    assert attempt == {"cost_usd": 0.25}


def test_complaints_tracebacks_and_the_words_of_libraries_are_errors_in_the_journal(tmp_path: Path) -> None:
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
        told = {"JOURNAL_STREAM": f"{facts.st_dev}:{facts.st_ino}"}
        subprocess.run([sys.executable, "-c", script], stderr=stream, env=os.environ | told, check=False, timeout=30)
        stream.seek(0)
        lines = stream.read().splitlines()

    assert lines[:3] == ["<3>blogworker: two\\nlines", "<3>ERROR:x:said", "<3>Traceback (most recent call last):"]
    assert lines[-1] == "<3>ValueError: unforeseen"
    assert {line[:3] for line in lines} == {"<3>"}


def test_what_python_says_by_itself_holds_no_secret_and_no_escape() -> None:
    """Of an error in a finalizer or a thread there is nobody to tell but standard error."""
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
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30).stderr

    assert told.count("Traceback") == 2
    assert told.count(HIDDEN) == 2
    assert "hunter2" not in told.replace('raise ValueError("hunter2-of-no-shape', "").replace('["hunter2-', "")
    assert "\x1b" not in told
