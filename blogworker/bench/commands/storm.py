"""`blogworker bench chaos` and `bench storm`: real workers with every fault, and with `kill -9` alone."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blogworker.bench.commands.plot import Chart
from blogworker.bench.commands.printing import AS_JSON, PLOT, draw, progress_printer
from blogworker.bench.commands.running import run_bench
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, facts, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure

if TYPE_CHECKING:
    from blogworker.bench.chaos import Verdict


def chaos(
    jobs: int = typer.Option(300, min=20, help="Jobs, enqueued before and during the faults."),
    sites: int = typer.Option(20, min=1, help="Sites of these jobs."),
    seconds: float = typer.Option(120, min=5, help="Seconds during which faults are injected."),
    seed: int = typer.Option(1, help="Seed of the schedule of faults."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    speed: float = typer.Option(20, min=0.1, help="Run the clock of the providers this many times faster."),
    kill_every: float = typer.Option(1, min=0.1, help="Seconds from one killed worker to the next, on average."),
    fail_over_every: float = typer.Option(40, min=1, help="The same for failovers, after each of which jobs wait."),
    recovery: float = typer.Option(150, min=1, help="Seconds until all jobs have to be done after the faults."),
    burst: int = typer.Option(40_000, min=1, help="Sites that get their first job at the same time."),
    logs: Path | None = typer.Option(None, help="Write the output of the workers to this folder."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Kill, freeze, disconnect and crash processes, then check every promise. Exit 1: a promise was broken."""
    with extra("demo"):
        from blogworker.bench.chaos import Plan, run
    configure(LogSettings(level="error"))
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        jobs=jobs,
        sites=sites,
        seconds=seconds,
        seed=seed,
        workers=workers,
        speed=speed,
        kill_every_s=kill_every,
        fail_over_every_s=fail_over_every,
        recovery_s=recovery,
        burst_sites=burst,
    )
    verdict = run_bench(partial(run, plan, logs=logs, progress=progress_printer(as_json)))
    _print({"chaos": verdict}, as_json=as_json, plot=plot)


def storm(
    jobs: int = typer.Option(200, min=10, help="Jobs that wait when the workers start."),
    sites: int = typer.Option(20, min=1, help="Sites of these jobs."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    concurrency: int = typer.Option(10, min=1, help="Concurrent jobs per worker."),
    speed: float = typer.Option(25, min=0.1, help="Run the clock of the providers this many times faster."),
    kill_every: float = typer.Option(2, min=0.1, help="Seconds from one killed worker to the next."),
    within: float = typer.Option(150, min=10, help="Time limit of each part in seconds."),
    others: int = typer.Option(20, min=1, help="Other jobs beside the one that kills its workers, in the second part."),
    as_json: bool = AS_JSON,
    plot: Path | None = PLOT,
) -> None:
    """Kill a worker with SIGKILL every few seconds; then run a job that kills its workers. Exit 1: a broken promise."""
    with extra("demo"):
        from blogworker.bench import storm as bench
    configure(LogSettings(level="error"))
    progress = progress_printer(as_json)
    plan = bench.Plan(jobs, sites, workers, concurrency, speed, every_s=kill_every, timeout_s=within)
    beside = replace(plan, jobs=others, sites=min(sites, others), speed=min(speed, bench.KILLER_SPEED))
    progress(f"{jobs:,} jobs; one of {workers} workers is killed every {kill_every:g} s until all jobs have ended")
    verdicts = {"storm": run_bench(partial(bench.kill_workers, plan, progress=progress))}
    progress(f"one job among {others} others kills its workers")
    verdicts["culprit"] = run_bench(partial(bench.run_killer_job, beside, progress=progress))
    _print(verdicts, as_json=as_json, plot=plot)


def _print(verdicts: "dict[str, Verdict]", *, as_json: bool, plot: Path | None) -> None:
    """Print the verdicts. As JSON: one object for one verdict, else one object per name."""
    if as_json:
        found = {name: {"passed": verdict.passed} | asdict(verdict) for name, verdict in verdicts.items()}
        emit_json(found if len(found) > 1 else next(iter(found.values())))
    else:
        for name, verdict in verdicts.items():
            console().print(facts({fact: f"{value:,}" for fact, value in verdict.facts.items()}))
            rows = [["PASS" if p.kept else "FAIL", p.name, p.evidence] for p in verdict.promises]
            console().print(table(f"Promises: {name}", ["", "promise", "evidence"], rows))
    runs = [{"run": name, **verdict.facts} for name, verdict in verdicts.items()]
    draw(plot, Chart("Facts", runs, ["run"]))
    if not all(verdict.passed for verdict in verdicts.values()):
        raise typer.Exit(1)
