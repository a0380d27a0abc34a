"""Commands about circuit breakers: show, close."""

from dataclasses import asdict

import typer

from blogworker.cli.layout import Grid
from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.ops.breakers import close_breaker, list_breakers
from blogworker.ops.records import BreakerState
from blogworker.ops.shown import duration

app = typer.Typer(
    help="Show the circuit breakers: which providers are not called, and why.", invoke_without_command=True
)

JSON = typer.Option(False, "--json", help="Print JSON.")


@app.callback()
def breakers(context: typer.Context, as_json: bool = JSON) -> None:
    """Show the circuit breaker of each provider: its state, how long it has been open, why, and the next probe."""
    if context.invoked_subcommand is None:
        _show(with_database(list_breakers), as_json=as_json)


@app.command()
def close(
    provider: str = typer.Argument(help="openai, replicate or wix; openai@NAME for one account."),
    as_json: bool = JSON,
) -> None:
    """Close a circuit breaker at once, for example after adding credit or replacing a key. Workers notice within a
    second."""
    _show(with_database(lambda database: close_breaker(database, provider)), as_json=as_json)


def _show(found: list[BreakerState], *, as_json: bool) -> None:
    if as_json:
        emit_json([asdict(breaker) for breaker in found])
    else:
        console().print(breaker_table(found))


def breaker_table(found: list[BreakerState]) -> Grid:
    columns = ["provider", "state", "open for", "next probe", "openings", "reason"]
    cells = [
        (
            breaker.provider,
            breaker.state.replace("_", " "),
            None if breaker.open_s is None else duration(breaker.open_s),
            _next(breaker),
            breaker.tries or None,
            breaker.reason,
        )
        for breaker in found
    ]
    return table("Circuit breakers", columns, cells, fold=["reason"])


def _next(breaker: BreakerState) -> str | None:
    if breaker.state != "open":
        return None
    return "when a person closes it" if breaker.retry_in_s is None else f"in {duration(breaker.retry_in_s)}"
