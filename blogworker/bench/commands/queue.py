"""`blogworker bench claim`, `queue`, `enqueue`, `sustained`, `settle`, `recovery`: the queue itself."""

from functools import partial
from pathlib import Path

import typer

from blogworker.bench.commands.burst import burst_chart, burst_row
from blogworker.bench.commands.plot import Chart
from blogworker.bench.commands.printing import AS_JSON, PLOT, print_charts, print_rows, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def claim(
    jobs: int = typer.Option(1_000_000, min=1_000, help="Jobs of the large backlog."),
    sites: int = typer.Option(5_000, min=50, help="Sites of the large backlog."),
    slots: int = typer.Option(100, min=1, max=1_000, help="Jobs per claim."),
    rounds: int = typer.Option(50, min=1, help="Claims from each backlog."),
    arriving: int = typer.Option(100_000, min=0, help="Sites that get work at once, in the last table; 0: skip it."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure a claim from a small and a large backlog and the seed's query, then claims while many sites get work."""
    with extra("demo"):
        from blogworker.bench.claim import Backlog, measure
    configure(LogSettings(level="warning"))
    backlogs = [Backlog(1_000, 50), Backlog(jobs, sites)]
    progress = progress_printer(as_json)
    found = run_bench(partial(measure, backlogs, slots=slots, rounds=rounds, progress=progress))
    small = found[0]
    rows = [
        {
            "jobs": f.backlog.jobs,
            "sites": f.backlog.sites,
            "claim_ms": round(f.claim_ms, 2),
            "paced_ms": round(f.paced_ms, 2),
            "slowest_ms": round(f.slowest_ms, 2),
            "ratio": round(f.claim_ms / small.claim_ms, 2),
            "seed_query_ms": round(f.seed_ms, 2),
            "seed_to_claim": round(f.seed_ms / f.claim_ms, 2),
        }
        for f in found
    ]
    title = f"Claim of {slots} jobs, median of {rounds}, commit included"
    charts = {"backlogs": Chart(title, rows, ["jobs", "sites"])}
    if arriving:
        progress(f"{arriving:,} sites get work")
        charts["burst"] = burst_chart(burst_row(sites=arriving, slots=50), slots=50)
    print_charts(charts, as_json=as_json, plot=plot)


def queue(
    jobs: int = typer.Option(20_000, min=100, help="Jobs that do nothing."),
    sites: int = typer.Option(200, min=1, help="Sites of these jobs."),
    workers: int = typer.Option(10, min=1, help="Worker processes of the second run; the first has one."),
    concurrency: int = typer.Option(50, min=1, help="Concurrent jobs per worker."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure the throughput of claim and settle: one worker, then many, on the same backlog."""
    with extra("demo"):
        from blogworker.bench.queue import measure
    configure(LogSettings(level="warning"))
    found = run_bench(partial(measure, jobs=jobs, sites=sites, workers=[1, workers], concurrency=concurrency))
    alone = found[0]
    rows = [
        {
            "workers": f.workers,
            "jobs": f.jobs,
            "seconds": round(f.run.seconds, 2),
            "jobs_per_s": round(f.per_second, 1),
            "ratio": round(f.per_second / alone.per_second, 2),
            "worker_cpu_us": round(f.worker_cpu_us, 1),
            "postgres_cpu_us": round(f.postgres_cpu_us, 1),
            "claimed_twice": f.run.twice,
            "unfinished": f.run.unfinished,
        }
        for f in found
    ]
    print_rows(rows, "Jobs that do nothing, from claim to DONE", by=["workers"], as_json=as_json, plot=plot)


def enqueue(
    producers: int = typer.Option(8, min=1, help="Concurrent producers."),
    jobs: int = typer.Option(300, min=10, help="Jobs of each producer per round, each in its own transaction."),
    rounds: int = typer.Option(7, min=1, help="Pairs of rounds."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure what NOTIFY costs producers: on and off, in pairs of rounds."""
    with extra("demo"):
        from blogworker.bench.enqueue import measure
    configure(LogSettings(level="warning"))
    progress = progress_printer(as_json)
    found = run_bench(partial(measure, producers=producers, jobs=jobs, rounds=rounds, progress=progress))
    row = {
        "producers": producers,
        "with_notify_per_s": round(found.on_per_s, 1),
        "without_per_s": round(found.off_per_s, 1),
        "ratio": round(found.on_to_off, 3),
    }
    print_rows([row], "Jobs enqueued per second", by=["producers"], as_json=as_json, plot=plot)


def sustained(
    jobs: int = typer.Option(500_000, min=1_000, help="Total number of jobs."),
    backlog: int = typer.Option(5_000, min=100, help="Jobs waiting at any time."),
    sites: int = typer.Option(500, min=1, help="Sites of these jobs."),
    stretches: int = typer.Option(10, min=2, help="Rows to print."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure claim time and bloat while many jobs pass through, with autovacuum and prune running."""
    with extra("demo"):
        from blogworker.bench.sustained import measure
    configure(LogSettings(level="warning"))
    progress = progress_printer(as_json)
    found = run_bench(partial(measure, jobs=jobs, backlog=backlog, sites=sites, stretches=stretches, progress=progress))
    rows = [
        {
            "done": f.done,
            "claim_ms": round(f.claim_ms, 2),
            "to_first": round(f.claim_ms / found[0].claim_ms, 2),
            "settle_ms": round(f.settle_ms, 2),
            "jobs_mb": round(f.jobs_mb, 1),
            "pending_index_kb": f.pending_index_kb,
            "sites_kb": f.sites_kb,
            "dead_jobs": f.dead_jobs,
            "live_jobs": f.live_jobs,
        }
        for f in found
    ]
    title = "Claim of 100 and settle of 100, medians of each stretch"
    print_rows(rows, title, by=["done"], as_json=as_json, plot=plot)


def settle(
    outcomes: int = typer.Option(2_000, min=200, help="Outcomes at each rate."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure the time from the end of an attempt until it is stored."""
    with extra("demo"):
        from blogworker.bench.settle import measure
    configure(LogSettings(level="warning"))
    found = run_bench(partial(measure, rates=[50.0, 200.0, 800.0], outcomes=outcomes))
    rows = [
        {
            "offered_per_s": f.per_second,
            "median_ms": round(f.median_ms, 2),
            "p99_ms": round(f.p99_ms, 2),
            "slowest_ms": round(f.slowest_ms, 2),
            "ratio": round(f.median_ms / found[0].median_ms, 2),
        }
        for f in found
    ]
    title = "From the end of an attempt until it is stored"
    print_rows(rows, title, by=["offered_per_s"], as_json=as_json, plot=plot)


def recovery(
    rounds: int = typer.Option(3, min=1, help="Rounds per case."),
    jobs: int = typer.Option(5, min=1, max=50, help="Running jobs of the worker when it is killed."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Measure how soon the jobs of a killed worker run again. Exit 1: later than promised."""
    with extra("demo"):
        from blogworker.bench.recovery import measure
    configure(LogSettings(level="error"))
    progress = progress_printer(as_json)
    found = run_bench(partial(measure, rounds=rounds, jobs=jobs, progress=progress))
    rows: list[dict[str, int | float | str]] = [
        {
            "after_a_kill": f.case,
            "median_s": round(f.median_s, 2),
            "slowest_s": round(f.slowest_s, 2),
            "promised_s": f.promised_s,
            "since_it_had_its_lease_s": round(f.registered_s, 2),
        }
        for f in found
    ]
    title = f"Seconds until {jobs} jobs of a killed worker run again, {rounds} rounds"
    print_rows(rows, title, by=["after_a_kill"], as_json=as_json, plot=plot)
    if any(f.median_s > f.promised_s for f in found):
        raise typer.Exit(1)
