"""`blogworker alerts`: which alerts fire now."""

from dataclasses import asdict

import typer

from blogworker.alerts.evaluation import AlertState, list_alerts
from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.ops.shown import ago


def register(app: typer.Typer) -> None:
    app.command()(alerts)


def alerts(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Show which alerts fire, and which are pending: their condition does not hold for long enough yet. Workers
    evaluate the rules, which are those for Prometheus, once a minute. `blogworker webhooks add` sends messages."""
    found = with_database(list_alerts)
    if as_json:
        emit_json([asdict(each) | {"firing": each.fired_at is not None} for each in found])
    elif found:
        columns = ["alert", "severity", "state", "since", "summary", "next"]
        console().print(table(None, columns, [_row(each) for each in found], fold=["summary", "next"]))
        console().print(f"evaluated {ago(found[0].evaluated_at)}")
    else:
        console().print("no alert fires")


def _row(each: AlertState) -> tuple[object, ...]:
    state = "pending" if each.fired_at is None else "firing"
    return each.rule, each.severity, state, each.since, each.summary, each.known.next_step if each.known else None
