"""`blogworker autoscale`: how many workers should run on this machine, and start or stop them."""

from dataclasses import asdict, replace
from socket import gethostname

import typer

from blogworker.cli.output import complain, console, emit_json
from blogworker.cli.session import with_database
from blogworker.db.pool import Database
from blogworker.ops.scale import (
    MOST_WORKERS,
    Bounds,
    Decision,
    Memory,
    ScaleFacts,
    decide,
    read_memory,
    read_scale,
    record_scaling,
)
from blogworker.ops.units import TARGET, Change, Units, apply, change_to, list_units


def register(app: typer.Typer) -> None:
    app.command()(autoscale)


def autoscale(
    least: int = typer.Option(1, "--min", min=0, max=MOST_WORKERS, help="Fewest workers on this machine."),
    most: int = typer.Option(8, "--max", min=0, max=MOST_WORKERS, help="Most workers on this machine."),
    act: bool = typer.Option(
        False, "--apply", help="Start and stop systemd units (blogworker@N). Let a timer run it once a minute."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Decide how many workers should run on this machine, from the jobs that wait, arrive and run, and from the quotas.
    Without --apply nothing is changed."""
    bounds = Bounds(least, most)
    host = gethostname()
    units = list_units() if act else None

    async def read(database: Database) -> tuple[ScaleFacts, Memory, int, set[str]]:
        return (await read_scale(database), *(await read_memory(database, host)))

    facts, memory, live, quiet = with_database(read)
    units = None if units is None else units.without({n for n in units.running if f"{host}/{n}" in quiet})
    decision = _decided(facts, memory, bounds, units, live)
    change = Change() if units is None else change_to(decision.target, units)
    if units is not None:
        apply(change)
        with_database(lambda database: record_scaling(database, host, decision))
    _show(decision, facts, change, as_json=as_json)
    if units is not None and units.failed:
        complain(f"blogworker@{units.failed[0]}.service has failed: journalctl -u blogworker@{units.failed[0]} -n 50")
        raise typer.Exit(1)


def _decided(facts: ScaleFacts, memory: Memory, bounds: Bounds, units: Units | None, live: int) -> Decision:
    """Return the decision. Nothing is started while a person has stopped the target, or while a unit has failed: the
    next would fail like it."""
    workers = live if units is None else len(units.running)
    decision = decide(facts, memory, bounds, workers)
    if units is None or decision.target <= workers or (units.wanted and not units.failed):
        return decision
    reason = "a unit has failed" if units.wanted else f"{TARGET} is stopped"
    return replace(decision, target=workers, reason=f"{reason}, so none is started; {decision.reason}")


def _show(decision: Decision, facts: ScaleFacts, change: Change, *, as_json: bool) -> None:
    if as_json:
        emit_json(asdict(decision) | asdict(change) | {"facts": asdict(facts)})
        return
    now = "as now" if decision.target == decision.workers else f"now {decision.workers}"
    done = "".join(
        f"; {verb} {', '.join(map(str, numbers))}"
        for verb, numbers in (("started", change.start), ("stopped", change.stop))
        if numbers
    )
    console().print(
        f"{decision.target} {'worker' if decision.target == 1 else 'workers'} ({now}): {decision.reason}{done}"
    )
