"""Commands about quotas: look, set, unblock."""

import typer

from blogworker.cli.known import require_site
from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Database, Row
from blogworker.errors import SettingsError
from blogworker.printable import typed
from blogworker.settings import MOST_A_MINUTE as MOST

app = typer.Typer(help="The limits the fleet keeps to.", invoke_without_command=True)

JSON = typer.Option(False, "--json", help="For machines.")
SITES = "wix/"  # a bucket for each site that was called in the last day


@app.callback()
def quotas(
    context: typer.Context,
    every: bool = typer.Option(False, "--all", help="The sites that are far from their limit too."),
    site: str | None = typer.Option(None, help="This site only."),
    as_json: bool = JSON,
) -> None:
    """How much of each quota the fleet used in the last minute, who waits, and what the vendors say of theirs.

    Of the sites of Wix, those that are stopped or near their limit.
    """
    if context.invoked_subcommand is None:
        rows = with_database(lambda database: _wanted(database, site, every=every))
        if site is not None and not rows and not as_json:
            console().print(f"site {site} has no quota yet: Wix was not called for it in the last day", highlight=False)
        else:
            show(rows, as_json=as_json)


async def _wanted(database: Database, site: str | None, *, every: bool) -> list[Row]:
    rows = await database.rows("ops/quotas", name=None if site is None else SITES + site, every=every)
    if not rows:
        await require_site(database, site)
    return rows


@app.command("set")
def set_quota(
    name: str = typer.Argument(help="The bucket, for example openai/gpt-6-luna."),
    rpm: int | None = typer.Option(None, min=1, max=MOST, help="Requests a minute."),
    tpm: int | None = typer.Option(None, min=1, max=MOST, help="Tokens a minute."),
    unpin: bool = typer.Option(False, "--unpin", help="Let the settings of the next worker that starts decide again."),
    as_json: bool = JSON,
) -> None:
    """Change a bucket for the whole fleet, within a second. It outlasts restarts until it is unpinned."""

    async def act(database: Database) -> list[Row]:
        changed = await database.maybe(
            "quota/set_bucket", name=name, requests_per_minute=rpm, tokens_per_minute=tpm, pinned=not unpin
        )
        rows = await _row(database, name)
        if changed is None:
            raise SettingsError(f"{name} counts requests only: it has no tokens to limit")
        return rows

    show(with_database(act), as_json=as_json)


@app.command()
def unblock(
    name: str = typer.Argument(help="The bucket, for example openai/gpt-6-luna."),
    as_json: bool = JSON,
) -> None:
    """End the block of a 429 at once: the vendor has raised the limit. Workers notice within a second."""

    async def act(database: Database) -> list[Row]:
        unblocked = await database.maybe("quota/unblock", name=name)
        rows = await _row(database, name)
        if unblocked is None:
            raise SettingsError(f"{name} is not blocked")
        return rows

    show(with_database(act), as_json=as_json)


async def _row(database: Database, name: str) -> list[Row]:
    """The bucket of that name. Raises SettingsError when there is none."""
    if found := await database.rows("ops/quotas", name=name, every=False):
        return found
    known = [typed(row["name"]) for row in await database.rows("ops/quotas", name=None, every=False)]
    told = ", ".join(known) or "none: a worker makes them when it starts"
    raise SettingsError(f"there is no bucket {typed(name)}; known are {told}")


def show(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        console().print(quota_table(rows))


def quota_table(rows: list[Row]) -> object:
    columns = ["bucket", "waiting", "requests", "tokens", "vendor's limits", "pace", "ahead", "blocked", "set"]
    cells = [
        (
            row["name"],
            row["queue_length"],
            _share(row["requests_in_last_minute"], row["max_requests"], row["requests_percent"]),
            _share(row["tokens_in_last_minute"], row["max_tokens"], row["tokens_percent"]),
            _vendors(row),
            f"{100 * row['pace']:.0f} %",
            f"{max(row['requests_ahead_s'], row['tokens_ahead_s']):.1f} s",
            f"{row['blocked_s']:.0f} s" if row["blocked_s"] else None,
            "by hand" if row["pinned"] else None,
        )
        for row in rows
    ]
    return table("Quotas: the last minute against the limits in force", columns, cells)


def _share(used: int, limit: int | None, percent: float | None) -> str | None:
    return None if limit is None else f"{used:,} of {limit:,}, {percent or 0:.1f} %"


def _vendors(row: Row) -> str | None:
    said = [row["vendor_requests_per_minute"], row["vendor_tokens_per_minute"]]
    return " / ".join("-" if limit is None else f"{limit:,}" for limit in said) if any(said) else None
