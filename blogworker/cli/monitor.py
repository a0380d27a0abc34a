"""`blogworker status --check`: one line and an exit code for a monitor."""

from dataclasses import asdict

import psycopg
import typer
from psycopg_pool import PoolTimeout

from blogworker.cli.output import console, emit_json
from blogworker.cli.session import with_database
from blogworker.db.messages import message_of
from blogworker.db.retrying import is_transient
from blogworker.errors import DatabaseNotReady
from blogworker.ops.check import Level, Limits, Verdict, check
from blogworker.ops.pulse import read_pulse


def report(limits: Limits, *, as_json: bool) -> None:
    """Print the verdict. Exit with its level, also when the database cannot be read: a monitor knows no other codes."""
    try:
        verdict = check(with_database(read_pulse), limits)
    except (DatabaseNotReady, psycopg.Error, PoolTimeout) as error:
        verdict = _unreadable(error)
    if as_json:
        emit_json(asdict(verdict) | {"level": verdict.level.name})
    else:
        facts = [fact for fact in (*verdict.findings, verdict.summary) if fact]
        console().print(f"{verdict.level.name}: {'; '.join(facts)}", soft_wrap=True)
    if verdict.level:
        raise typer.Exit(int(verdict.level))


def _unreadable(error: Exception) -> Verdict:
    problem = "does not answer" if is_transient(error.__cause__ or error) else "cannot be used"
    return Verdict(Level.CRITICAL, [f"the database {problem}: {message_of(error)}"])
