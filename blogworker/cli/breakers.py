"""Commands about circuit breakers: look, close."""

import typer

from blogworker.cli.output import console, duration, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Database, Row
from blogworker.errors import SettingsError
from blogworker.printable import typed

app = typer.Typer(help="Which providers are left alone, and why.", invoke_without_command=True)

JSON = typer.Option(False, "--json", help="For machines.")


@app.callback()
def breakers(context: typer.Context, as_json: bool = JSON) -> None:
    """Each provider: used, or left alone since when, why, and until when."""
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
            raise SettingsError(f"{provider} is not left alone: its breaker is closed")
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
    columns = ["provider", "state", "for", "next try", "tries", "reason"]
    cells = [
        (
            row["provider"],
            "in use" if row["state"] == "closed" else "being tried" if row["state"] == "half_open" else "left alone",
            None if row["open_s"] is None else duration(row["open_s"]),
            _next(row),
            row["tries"] or None,
            row["reason"],
        )
        for row in rows
    ]
    return table("Providers", columns, cells, fold=["reason"])


def _next(row: Row) -> str | None:
    if row["state"] != "open":
        return None
    return "when a person closes it" if row["retry_at"] is None else f"in {duration(row['retry_in_s'])}"
