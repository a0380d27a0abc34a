"""`blogworker pause` and `blogworker resume`: stop and continue the work of the whole fleet, or one stage of it."""

from dataclasses import asdict
from functools import partial

import typer

from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.grants import OPERATOR
from blogworker.ops.pauses import StagePause, pause_stages, resume_stages
from blogworker.queue.job import Stage

JSON = typer.Option(False, "--json", help="Print JSON.")
STAGES = typer.Option(None, "--stage", help="Only this stage; may be repeated. Default: all.")


def register(app: typer.Typer) -> None:
    app.command()(pause)
    app.command()(resume)


def pause(
    stage: list[Stage] | None = STAGES,
    reason: str = typer.Option("paused by an operator", help="Shown with each job that waits for it."),
    as_json: bool = JSON,
) -> None:
    """Pause the whole fleet, or stages of it, until `blogworker resume`. A running job finishes its stage and waits
    before the next. Jobs can still be added."""
    _show(with_database(partial(pause_stages, stages=stage or list(Stage), reason=reason), needs=OPERATOR), as_json)


def resume(stage: list[Stage] | None = STAGES, as_json: bool = JSON) -> None:
    """Continue the whole fleet, or stages of it, after `blogworker pause`."""
    _show(with_database(partial(resume_stages, stages=stage or list(Stage)), needs=OPERATOR), as_json)


def _show(found: list[StagePause], as_json: bool) -> None:
    if as_json:
        emit_json([asdict(each) for each in found])
    elif found:
        console().print(
            table("Paused", ["stage", "since", "reason"], [(p.stage, p.paused_at, p.reason) for p in found])
        )
    else:
        console().print("no stage is paused")
