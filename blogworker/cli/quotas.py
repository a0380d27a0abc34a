"""Commands about quotas: show, set, unblock."""

import typer

from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.db.pool import Row
from blogworker.ops.quotas import list_quotas, unblock_quota
from blogworker.ops.quotas import set_quota as change_quota
from blogworker.settings import MOST_A_MINUTE as MOST

app = typer.Typer(
    help="Show and set the quotas: how many calls and tokens the fleet may use per minute.", invoke_without_command=True
)

JSON = typer.Option(False, "--json", help="Print JSON.")


@app.callback()
def quotas(
    context: typer.Context,
    every: bool = typer.Option(False, "--all", help="Also the sites that are far from their limit."),
    site: str | None = typer.Option(None, help="Only this site."),
    as_json: bool = JSON,
) -> None:
    """Show how much of each quota was used in the last minute, how many calls wait, and the limits that providers
    report.

    Quotas of Wix sites are listed only if they are blocked or near their limit.
    """
    if context.invoked_subcommand is None:
        rows = with_database(lambda database: list_quotas(database, site=site, every=every))
        if site is not None and not rows and not as_json:
            console().print(f"site {site} has no quota yet: Wix was not called for it in the last day", highlight=False)
        else:
            show(rows, as_json=as_json)


@app.command("set")
def set_quota(
    name: str = typer.Argument(help="The name of the quota, for example openai/gpt-6-luna."),
    rpm: int | None = typer.Option(None, min=1, max=MOST, help="Requests per minute."),
    tpm: int | None = typer.Option(None, min=1, max=MOST, help="Tokens per minute."),
    unpin: bool = typer.Option(False, "--unpin", help="Use the settings of the next worker that starts."),
    as_json: bool = JSON,
) -> None:
    """Change a quota for all workers, within a second. Restarts keep it until it is unpinned."""
    rows = with_database(lambda database: change_quota(database, name, rpm=rpm, tpm=tpm, pinned=not unpin))
    show(rows, as_json=as_json)


@app.command()
def unblock(
    name: str = typer.Argument(help="The name of the quota, for example openai/gpt-6-luna."),
    as_json: bool = JSON,
) -> None:
    """End the block after a 429 at once, for example when the provider has raised the limit. Workers notice within a
    second."""
    show(with_database(lambda database: unblock_quota(database, name)), as_json=as_json)


def show(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        emit_json(rows)
    else:
        console().print(quota_table(rows))


def quota_table(rows: list[Row]) -> object:
    columns = ["quota", "waiting", "requests", "tokens", "provider's limits", "pace", "ahead", "blocked", "set"]
    cells = [
        (
            row["name"],
            row["queue_length"],
            _share(row["requests_in_last_minute"], row["max_requests"], row["requests_percent"]),
            _share(row["tokens_in_last_minute"], row["max_tokens"], row["tokens_percent"]),
            _reported(row),
            f"{100 * row['pace']:.0f} %",
            f"{max(row['requests_ahead_s'], row['tokens_ahead_s']):.1f} s",
            f"{row['blocked_s']:.0f} s" if row["blocked_s"] else None,
            "by hand" if row["pinned"] else None,
        )
        for row in rows
    ]
    return table("Quotas: the last minute and the limits in force", columns, cells)


def _share(used: int, limit: int | None, percent: float | None) -> str | None:
    return None if limit is None else f"{used:,} of {limit:,}, {percent or 0:.1f} %"


def _reported(row: Row) -> str | None:
    limits = [row["reported_requests_per_minute"], row["reported_tokens_per_minute"]]
    return " / ".join("-" if limit is None else f"{limit:,}" for limit in limits) if any(limits) else None
