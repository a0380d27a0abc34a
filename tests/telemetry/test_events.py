"""One table tells every event, the code emits no other, and no line gives a secret away."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from blogworker.settings import LogSettings
from blogworker.telemetry import EVENTS, configure, get_logger

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
    """Place and first argument of each call of our logger, also where a variable chose its level."""
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
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node.args[0]


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
