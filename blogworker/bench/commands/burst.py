"""`blogworker bench burst`: claims while many sites get work at the same time."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.plot import Chart
from blogworker.bench.commands.printing import AS_JSON, PLOT, print_rows
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.settings import LogSettings
from blogworker.telemetry import configure

PROMISED_MS = 50.0  # for the median and the 99th percentile of claims


def burst(
    sites: int = typer.Option(100_000, min=100, help="Sites that get a job in one statement."),
    slots: int = typer.Option(50, min=1, max=1_000, help="Jobs per claim."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure claims while very many sites get work at the same time. Exit 1: slower than promised."""
    configure(LogSettings(level="warning"))
    row = burst_row(sites=sites, slots=slots)
    chart = burst_chart(row, slots=slots)
    print_rows(chart.runs, chart.title, by=chart.by, as_json=as_json, plot=plot)
    if max(row["median_ms"], row["p99_ms"]) > PROMISED_MS:
        raise typer.Exit(1)


def burst_row(*, sites: int, slots: int) -> dict[str, float]:
    """Measure, and return the figures."""
    with extra("demo"):
        from blogworker.bench.burst import measure
    found = run_bench(partial(measure, sites=sites, slots=slots))
    return {
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


def burst_chart(row: Mapping[str, float], *, slots: int) -> Chart:
    return Chart(f"Claims of {slots} jobs while {row['sites']:,} sites get work", [row], ["sites"])
