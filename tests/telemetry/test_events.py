"""One table lists every event, and the code emits no other."""

import ast
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from blogworker.settings import LogSettings
from blogworker.telemetry import EVENTS, configure, get_logger, keys_of
from blogworker.telemetry.facts import gathered, note

PACKAGE = Path(__file__).parents[2] / "blogworker"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
IRREGULAR = {"lost", "cut", "held", "back", "found"}


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


def test_the_documented_keys_are_the_written_ones() -> None:
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
def test_keys_follow_the_last_colon(
    text: str, keys: tuple[set[str], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EVENTS, "heartbeat", text)

    assert keys_of("heartbeat") == keys


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_in_the_past_tense(event: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", event)
    assert event == "heartbeat" or any(word.endswith("ed") or word in IRREGULAR for word in event.split("_"))
    assert EVENTS[event]


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
    shown = console.split("heartbeat", 1)[1]
    assert shown.split() == [
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


def test_facts_of_a_stage_are_added_to_the_attempt() -> None:
    """A stage's line has what the stage paid; the attempt's line has the sum of all stages."""
    note(tokens=1)  # nobody gathers
    with gathered() as attempt:
        note(title="first", tokens=10, cost_usd=0.5)
        with gathered() as stage:
            note(title="second", tokens=5, cost_usd=None, model="m")

    assert stage == {"title": "second", "tokens": 5, "model": "m"}
    assert attempt == {"title": "second", "tokens": 15, "cost_usd": 0.5, "model": "m"}


def test_the_cost_of_a_failed_stage_is_recorded() -> None:
    with gathered() as attempt, suppress(ValueError), gathered():
        note(cost_usd=0.25)
        raise ValueError

    assert attempt == {"cost_usd": 0.25}
