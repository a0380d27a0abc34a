"""The log on a terminal: no colours unless they are wanted, and no control sequences."""

import io
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blogworker.cli.output import console
from blogworker.printable import printable_lines
from blogworker.settings import LogSettings
from blogworker.telemetry import configure, get_logger, quiet_libraries

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
values = st.recursive(st.text(st.characters()), lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside))


class Terminal(io.StringIO):
    """Where a person looks."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave no set-up behind for other tests, and keep a machine's own settings out."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    yield
    structlog.reset_defaults()


def logged(out: io.StringIO, **facts: Any) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        configure(LogSettings(level="info", format="console"))
        get_logger().info("job_settled", **facts)
        console().print("told", style="red")
    return out.getvalue()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["error", "title", "site", "\x1b[2J"]), values, min_size=1))
def test_a_line_contains_no_control_sequences(facts: dict[str, Any]) -> None:
    for out in (io.StringIO(), Terminal()):
        shown = COLOUR.sub("", logged(out, **facts))

        assert shown.count("\n") == 2
        assert printable_lines(shown) == shown


def test_a_traceback_contains_no_control_sequences() -> None:
    """An exception repeats what a provider said."""
    try:
        raise ValueError("refused: \x1b[2J\x9b31m \u202egpj\nsecond line")
    except ValueError:
        shown = logged(io.StringIO(), exc_info=True)

    assert r"ValueError: refused: \x1b[2J\x9b31m \u202egpj" in shown
    assert printable_lines(shown) == shown


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (True, {"TERM": "xterm-256color"}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_logs_and_tables_are_coloured_alike(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], coloured: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    log, table, _ = logged(Terminal() if terminal else io.StringIO(), error="no").split("\n")

    assert [bool(COLOUR.search(line)) for line in (log, table)] == [coloured, coloured]


def test_logs_of_the_driver_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """`error connecting in 'pool-1': connection failed: ...`, on many lines, in the middle of a table."""
    quiet_libraries()

    logging.getLogger("psycopg.pool").warning("error connecting in %r", "pool-1")

    assert capsys.readouterr().err == ""
