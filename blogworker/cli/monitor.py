"""`blogworker status --check`: one line and an exit code for a monitor."""

from dataclasses import asdict

import typer

from blogworker.cli.output import console, emit_json
from blogworker.cli.session import with_database
from blogworker.ops.check import Limits, check
from blogworker.ops.pulse import read_pulse


def report(limits: Limits, *, as_json: bool) -> None:
    """Print the verdict. Exit with its level."""
    verdict = check(with_database(read_pulse), limits)
    if as_json:
        emit_json(asdict(verdict) | {"level": verdict.level.name})
    else:
        console().print(
            ": ".join([verdict.level.name, "; ".join([*verdict.findings, verdict.summary])]), soft_wrap=True
        )
    if verdict.level:
        raise typer.Exit(int(verdict.level))
