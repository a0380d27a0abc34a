"""`blogworker`: the list of commands, and the exit code of each error."""

import os
import sys
import traceback
from functools import cache
from types import TracebackType
from typing import Any, NoReturn, get_type_hints

import psycopg
import typer
from psycopg_pool import PoolTimeout

from blogworker import __version__
from blogworker.cli import (
    alerts,
    audit,
    autoscale,
    breakers,
    costs,
    demo,
    developers,
    doctor,
    enqueue,
    errors,
    explanation,
    history,
    jobs,
    metrics,
    pauses,
    plans,
    preview,
    queue,
    quotas,
    reconcile,
    retry,
    review,
    roles,
    run,
    serve,
    sites,
    systemd,
    tail,
    tokens,
    webhooks,
    workers,
)
from blogworker.cli.examples import with_examples
from blogworker.cli.once import refuse_repeats
from blogworker.cli.output import complain
from blogworker.db.messages import message_of
from blogworker.db.retrying import is_transient
from blogworker.envfile import NAMED_BY, use_machine_file
from blogworker.errors import (
    BlogworkerError,
    DatabaseNotReady,
    DatabaseUnavailable,
    InvalidInput,
    QueueFull,
    SettingsError,
)
from blogworker.redact import SECRETS
from blogworker.section import learn_secrets
from blogworker.settings import Settings
from blogworker.telemetry import quiet_libraries
from blogworker.telemetry.journal import is_journal, marked
from blogworker.telemetry.streams import replace_standard_streams

DONE, FAILED, USAGE, REFUSED, INTERRUPTED = 0, 1, 2, os.EX_TEMPFAIL, 130
FAULTS_SHOWN = 50
SELF_CONTAINED = ("bench", "demo", "simulate")  # commands that start their own database and providers

app = typer.Typer(
    name="blogworker",
    cls=developers.Panels,
    help="Turn rows of a Postgres table into published, illustrated blog posts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for room in (
    run,
    roles,
    enqueue,
    preview,
    queue,
    explanation,
    errors,
    history,
    tail,
    metrics,
    alerts,
    review,
    retry,
    pauses,
    jobs,
    autoscale,
    audit,
    doctor,
    reconcile,
    serve,
    demo,
    developers,
):
    room.register(app)
app.add_typer(sites.app, name="sites")
app.add_typer(plans.app, name="plans")
app.add_typer(quotas.app, name="quotas")
app.add_typer(costs.app, name="costs")
app.add_typer(breakers.app, name="breakers")
app.add_typer(tokens.app, name="tokens")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(workers.app, name="workers")
app.add_typer(systemd.app, name="systemd")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"blogworker {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Turn rows of a Postgres table into published, illustrated blog posts."""
    if context.invoked_subcommand in SELF_CONTAINED:
        os.environ[NAMED_BY] = ""  # these commands and their workers do not use this machine's settings
    context.obj = use_machine_file(os.environ)  # a worker reads it again when it reloads


@cache
def command() -> Any:
    """Return the command line that typer builds from our functions."""
    return with_examples(refuse_repeats(typer.main.get_command(app)))


def main() -> NoReturn:
    """Run a command. Report every error as one line and the right exit code."""
    output = replace_standard_streams()
    quiet_libraries()
    sys.excepthook = crash
    learn_secrets(get_type_hints(Settings).values())
    try:
        code = _run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseExceptionGroup as group:
        code = explain(first(group))
    except (BlogworkerError, psycopg.Error, PoolTimeout) as error:
        code = explain(error)
    output.flush()
    sys.exit(FAILED if code == DONE and output.is_incomplete else code)


def _run() -> int:
    """Return the exit code of typer. It reports a wrong command or option itself; our errors pass through."""
    try:
        command()()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE
    return DONE


def explain(error: BaseException) -> int:
    """Print what is wrong and what to do; return the exit code."""
    match error:
        case InvalidInput():
            for fault in error.faults[:FAULTS_SHOWN]:
                complain(f"{error.source}:{fault.line}: {fault.reason}")
            if (more := len(error.faults[FAULTS_SHOWN:]) + error.more) > 0:
                complain(f"... and {more:,} more")
            complain("nothing was enqueued; correct the rows, or pass --skip-bad to enqueue the others")
            return USAGE
        case QueueFull():
            complain(f"{error}; try again in about {max(1, error.estimated_wait_minutes)} min")
            return REFUSED
        case SettingsError():
            return _complain_each(error, USAGE)
        case DatabaseUnavailable():
            return _complain_each(error, REFUSED)
        case DatabaseNotReady():
            return _complain_each(error, USAGE)
        case psycopg.Error() | PoolTimeout() if is_transient(error):
            problem = "cannot do this now" if isinstance(error, psycopg.Error) and answered(error) else "is unavailable"
            complain(f"the database {problem}: {message_of(error)}. Try again")
            return REFUSED
        case psycopg.errors.InsufficientPrivilege():
            complain(
                f"the database refused: {message_of(error)}. "
                "`blogworker roles` creates roles with the privileges needed"
            )
            return USAGE
        case psycopg.Error():
            complain(f"the database refused: {message_of(error)}")
            return FAILED
        case BlogworkerError():
            complain(str(error))
            return FAILED
        case KeyboardInterrupt():
            return INTERRUPTED
        case _:
            raise error


def _complain_each(error: BlogworkerError, code: int) -> int:
    """Print each line of the message as a separate fault; return the exit code."""
    for line in str(error).split("\n"):
        complain(line)
    return code


def crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an unexpected error as Python does, without secrets."""
    text = SECRETS.hide("".join(traceback.format_exception(kind, error, trace)))
    sys.stderr.write(marked(text, "error") + "\n" if is_journal(sys.stderr) else text)


def answered(error: psycopg.Error) -> bool:
    """Return whether a running server refused: it is full, a row is locked, or it cancelled the statement."""
    return error.sqlstate is not None and not error.sqlstate.startswith(("08", "57P"))


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error that is not itself a group: task groups wrap what their tasks raise."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
