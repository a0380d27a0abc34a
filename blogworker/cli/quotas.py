"""Commands about quotas: show, set, unblock."""

from dataclasses import asdict

import typer

from blogworker.cli.layout import Grid
from blogworker.cli.output import console, emit_json, table
from blogworker.cli.session import with_database
from blogworker.ops.quotas import list_quotas, unblock_quota
from blogworker.ops.quotas import set_quota as change_quota
from blogworker.ops.records import QuotaUse
from blogworker.settings import MOST_A_MINUTE as MOST

app = typer.Typer(
    help="Show and set the quotas: how many calls and tokens the fleet may use per minute.", invoke_without_command=True
)

JSON = typer.Option(False, "--json", help="Print JSON.")
BAR = 20  # characters


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
        found = with_database(lambda database: list_quotas(database, site=site, every=every))
        if site is not None and not found and not as_json:
            console().print(f"site {site} has no quota yet: Wix was not called for it in the last day", highlight=False)
        else:
            show(found, as_json=as_json)


@app.command("set")
def set_quota(
    name: str = typer.Argument(help="The name of the quota, for example openai/gpt-6-luna."),
    rpm: int | None = typer.Option(None, min=1, max=MOST, help="Requests per minute."),
    tpm: int | None = typer.Option(None, min=1, max=MOST, help="Tokens per minute."),
    unpin: bool = typer.Option(False, "--unpin", help="Use the settings of the next worker that starts."),
    as_json: bool = JSON,
) -> None:
    """Change a quota for all workers, within a second. Restarts keep it until it is unpinned."""
    found = with_database(lambda database: change_quota(database, name, rpm=rpm, tpm=tpm, pinned=not unpin))
    show(found, as_json=as_json)


@app.command()
def unblock(
    name: str = typer.Argument(help="The name of the quota, for example openai/gpt-6-luna."),
    as_json: bool = JSON,
) -> None:
    """End the block after a 429 at once, for example when the provider has raised the limit. Workers notice within a
    second."""
    show(with_database(lambda database: unblock_quota(database, name)), as_json=as_json)


def show(found: list[QuotaUse], *, as_json: bool) -> None:
    if as_json:
        emit_json([asdict(quota) for quota in found])
    else:
        console().print(quota_table(found))


def quota_table(found: list[QuotaUse]) -> Grid:
    columns = ["quota", "waiting", "requests", "tokens", "provider's limits", "pace", "ahead", "blocked", "set"]
    cells = [
        (
            quota.name,
            quota.queue_length,
            _share(quota.requests_in_last_minute, quota.max_requests, quota.requests_percent),
            _share(quota.tokens_in_last_minute, quota.max_tokens, quota.tokens_percent),
            _reported(quota),
            f"{100 * quota.pace:.0f} %",
            f"{max(quota.requests_ahead_s, quota.tokens_ahead_s):.1f} s",
            f"{quota.blocked_s:.0f} s" if quota.blocked_s else None,
            "by hand" if quota.pinned else None,
        )
        for quota in found
    ]
    return table("Quotas: the last minute and the limits in force", columns, cells)


def quota_bars(found: list[QuotaUse]) -> Grid:
    """Return a line for each quota: how much of each limit the last minute has used."""
    columns = ["quota", "requests", "", "tokens", "", "waiting", "blocked"]
    cells = [
        (
            quota.name,
            _bar(quota.requests_percent),
            _share(quota.requests_in_last_minute, quota.max_requests, quota.requests_percent),
            _bar(quota.tokens_percent),
            _share(quota.tokens_in_last_minute, quota.max_tokens, quota.tokens_percent),
            quota.queue_length,
            f"{quota.blocked_s:.0f} s" if quota.blocked_s else None,
        )
        for quota in found
    ]
    return table("Quotas: the last minute and the limits in force", columns, cells)


def _bar(percent: float | None) -> str | None:
    """Return a bar in characters that every terminal has."""
    filled = round(min(100.0, percent or 0.0) / 100 * BAR)
    return None if percent is None else f"[{'#' * filled}{'.' * (BAR - filled)}]"


def _share(used: int | None, limit: int | None, percent: float | None) -> str | None:
    return None if limit is None or used is None else f"{used:,} of {limit:,}, {percent or 0:.1f} %"


def _reported(quota: QuotaUse) -> str | None:
    limits = [quota.reported_requests_per_minute, quota.reported_tokens_per_minute]
    return " / ".join("-" if limit is None else f"{limit:,}" for limit in limits) if any(limits) else None
