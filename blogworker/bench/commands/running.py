"""Run a bench until it ends or a signal stops it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import typer

from blogworker.cli.signals import until_signal

T = TypeVar("T")
STOPPED = 130  # exit code


def run_bench(measure: Callable[[], Awaitable[T]]) -> T:
    """Return what was measured. On SIGINT, SIGTERM or SIGHUP, stop all processes that the bench started, and exit."""
    found = anyio.run(until_signal, measure)
    if found is None:
        raise typer.Exit(STOPPED)
    return found
