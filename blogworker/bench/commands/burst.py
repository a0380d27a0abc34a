"""`blogworker bench burst`: claims while many sites get work at the same time."""

from functools import partial

import anyio
import typer

from blogworker.cli.extras import extra
from blogworker.cli.output import show_rows
from blogworker.settings import LogSettings
from blogworker.telemetry import configure

PROMISED_MS = 50.0  # for the median and the 99th percentile of claims


def burst(
    sites: int = typer.Option(100_000, min=100, help="Sites that get a job in one statement."),
    slots: int = typer.Option(50, min=1, max=1_000, help="Jobs per claim."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Measure claims while very many sites get work at the same time. Exit 1: slower than promised."""
    configure(LogSettings(level="warning"))
    if not show_burst(sites=sites, slots=slots, as_json=as_json):
        raise typer.Exit(1)


def show_burst(*, sites: int, slots: int, as_json: bool) -> bool:
    """Measure and print. Return whether claims were as fast as promised."""
    with extra("demo"):
        from blogworker.bench.burst import measure
    found = anyio.run(partial(measure, sites=sites, slots=slots))
    row = {
        "sites": found.sites,
        "claims": found.claims,
        "median_ms": round(found.median_ms, 1),
        "p99_ms": round(found.p99_ms, 1),
        "longest_ms": round(found.longest_ms, 1),
        "promised_ms": PROMISED_MS,
        "calm_ms": round(found.calm_ms, 1),
        "insert_s": round(found.insert_s, 2),
        "in_line_s": round(found.in_line_s, 2),
    }
    show_rows([row], f"Claims of {slots} jobs while {sites:,} sites get work", as_json=as_json)
    return max(found.median_ms, found.p99_ms) <= PROMISED_MS
