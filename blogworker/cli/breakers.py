"""Commands about circuit breakers: show, close."""

import typer

from blogworker.cli.output import console, duration, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Row
from blogworker.ops.breakers import close_breaker, list_breakers

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


def _show(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        console().print(breaker_table(rows))


def breaker_table(rows: list[Row]) -> object:
    columns = ["provider", "state", "open for", "next probe", "openings", "reason"]
    cells = [
        (
            row["provider"],
            row["state"].replace("_", " "),
            None if row["open_s"] is None else duration(row["open_s"]),
            _next(row),
            row["tries"] or None,
            row["reason"],
        )
        for row in rows
    ]
    return table("Circuit breakers", columns, cells, fold=["reason"])


def _next(row: Row) -> str | None:
    if row["state"] != "open":
        return None
    return "when a person closes it" if row["retry_at"] is None else f"in {duration(row['retry_in_s'])}"
