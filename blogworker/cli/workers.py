"""Commands about workers: list, quiet, resume."""

from dataclasses import asdict

import typer

from blogworker.cli.output import console, emit_json
from blogworker.cli.queue import worker_table
from blogworker.cli.session import with_database
from blogworker.db.grants import OPERATOR
from blogworker.ops.status import list_workers
from blogworker.ops.workers import quiet_worker, resume_worker

app = typer.Typer(help="Show the workers; let one claim nothing.", invoke_without_command=True)
JSON = typer.Option(False, "--json", help="Print JSON.")


@app.callback()
def workers(context: typer.Context, as_json: bool = JSON) -> None:
    """Show the workers: their slots, how long they are up, and whether they are alive, draining, quiet or lost."""
    if context.invoked_subcommand is not None:
        return
    found = with_database(list_workers)
    if as_json:
        emit_json([asdict(worker) for worker in found])
    else:
        console().print(worker_table(found))


@app.command()
def quiet(
    name: str = typer.Argument(help="The name of the worker."),
    reason: str = typer.Option("set by an operator", help="Shown in the audit trail."),
    as_json: bool = JSON,
) -> None:
    """Let a worker claim nothing until it is resumed, for example before its machine is repaired. Its running jobs
    continue. A restart does not end it."""
    with_database(lambda database: quiet_worker(database, name, reason=reason), needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "quiet": True, "reason": reason})


@app.command()
def resume(name: str = typer.Argument(help="The name of the worker."), as_json: bool = JSON) -> None:
    """Let a worker claim again."""
    with_database(lambda database: resume_worker(database, name), needs=OPERATOR)
    if as_json:
        emit_json({"name": name, "quiet": False, "reason": None})
