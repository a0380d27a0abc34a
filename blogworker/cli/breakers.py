"""Commands about circuit breakers: show, close."""

import typer

from blogworker.cli.output import console, duration, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Database, Row
from blogworker.errors import SettingsError
from blogworker.printable import typed

app = typer.Typer(help="The circuit breakers: which providers are not called, and why.", invoke_without_command=True)

JSON = typer.Option(False, "--json", help="For machines.")


@app.callback()
def breakers(context: typer.Context, as_json: bool = JSON) -> None:
    """The circuit breaker of each provider: its state, for how long it has been open, why, and when it is probed."""
    if context.invoked_subcommand is None:
        _show(with_database(_rows), as_json=as_json)


@app.command()
def close(
    provider: str = typer.Argument(help="openai, replicate or wix; openai@NAME of one account."),
    as_json: bool = JSON,
) -> None:
    """Use a provider again at once: the credit is topped up, the key replaced. Workers notice within a second."""

    async def act(database: Database) -> list[Row]:
        closed = await database.maybe("quota/breaker_close", provider=provider)
        rows = await _rows(database)
        known = [row["provider"] for row in rows]
        if provider not in known:
            raise SettingsError(f"there is no provider {provider}; known are {', '.join(map(typed, known))}")
        if closed is None:
            raise SettingsError(f"the circuit breaker of {provider} is already closed")
        return [row for row in rows if row["provider"] == provider]

    _show(with_database(act), as_json=as_json)


async def _rows(database: Database) -> list[Row]:
    return await database.rows("ops/breakers")


def _show(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        console().print(breaker_table(rows))


def breaker_table(rows: list[Row]) -> object:
    columns = ["provider", "state", "open for", "next probe", "tries", "reason"]
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
