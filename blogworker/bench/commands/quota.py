"""`blogworker bench quota` and `bench limiter`: how much of a quota the shared limiter uses, and what it costs."""

from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.plot import Chart
from blogworker.bench.commands.printing import AS_JSON, PLOT, draw, print_rows, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.cli.output import emit_json, show_rows
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def quota(
    workers: str = typer.Option("1,4,8", help="Numbers of worker processes, separated by commas."),
    jobs: int = typer.Option(2_000, min=100, help="Jobs per run, with two calls each."),
    speed: float = typer.Option(60, min=1, help="Run the clock of the providers this many times faster."),
    scenarios: str = typer.Option("tight,roomy,foreign", help="Scenarios, separated by commas."),
    tpm: int = typer.Option(450_000, min=10_000, help="Tokens per minute of the provider, beside 450 requests."),
    vendor_burst: float = typer.Option(1, min=0.001, help="Minutes of the quota that the provider's bucket holds."),
    slots: int = typer.Option(50, min=1, help="Concurrent jobs per worker."),
    seed: bool = typer.Option(True, help="Also measure the seed's limiter."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure how much of a quota the workers use, and how often the provider refuses, by the provider's accounting."""
    with extra("demo"):
        from blogworker.bench.quota import Plan, Scenario, measure
    configure(LogSettings(level="error"))
    plan = Plan(jobs=jobs, speed=speed, tokens_per_minute=tpm, provider_burst=vendor_burst, slots=slots)
    progress = progress_printer(as_json)
    counts, chosen = [int(count) for count in workers.split(",")], [Scenario(name) for name in scenarios.split(",")]
    figures = run_bench(partial(measure, plan, chosen, workers=counts, seed=seed, progress=progress))
    rows: list[dict[str, int | float | str]] = [
        {
            "scenario": f.scenario.value,
            "limiter": f.limiter,
            "workers": f.workers,
            "tokens_%": round(100 * f.tokens_used, 1),
            "requests_%": round(100 * f.requests_used, 1),
            "429s": f.refused,
            "429_%": round(100 * f.refused / (f.refused + f.calls), 2),
            "jobs_min": round(f.jobs_per_minute, 1),
            "by_estimate": round(f.estimated_per_minute, 1),
            "parked": f.parked,
            "cpu_ms_call": round(f.cpu_ms, 2),
            "stmts_s": round(f.statements_per_s, 1),
            "measured_s": round(f.measured_s, 1),
        }
        for f in figures
    ]
    title = f"{jobs:,} jobs at {speed:g} times speed, after the ramp, by the simulator's counters"
    print_rows(rows, title, by=["scenario", "limiter", "workers"], as_json=as_json, plot=plot)


def limiter(
    per_s: int = typer.Option(500, min=1, help="Calls per second of the single worker."),
    seconds: float = typer.Option(6, min=1, help="Seconds of each measurement."),
    rounds: int = typer.Option(3, min=1, help="Rounds, with and without the limiter."),
    clients: int = typer.Option(50, min=1, max=150, help="Workers on one bucket."),
    rpm: int = typer.Option(30_000, min=60, help="Requests per minute of the bucket."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure what the limiter costs a worker and the database."""
    with extra("demo"):
        from blogworker.bench.quota import contention, overhead
    configure(LogSettings(level="error"))
    progress = progress_printer(as_json)
    one = run_bench(partial(overhead, per_s=per_s, seconds=seconds, rounds=rounds, progress=progress))
    many = run_bench(partial(contention, workers=clients, requests_per_minute=rpm, seconds=seconds))
    if as_json:
        emit_json({"one": asdict(one), "many": asdict(many)})
    charts = []
    for title, figure, by in (("One worker", one, "calls_per_s"), ("Many workers, one bucket", many, "desks")):
        row = {name: round(value, 2) for name, value in asdict(figure).items()}
        charts.append(Chart(title, [row], [by]))
        if not as_json:
            show_rows([row], title, as_json=False)
    draw(plot, *charts)
