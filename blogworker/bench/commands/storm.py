"""`blogworker bench chaos` and `bench storm`: real workers with every fault, and with `kill -9` alone."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import typer

from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, facts, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure

if TYPE_CHECKING:
    from blogworker.bench.chaos import Verdict


def chaos(
    jobs: int = typer.Option(300, min=20, help="Jobs, enqueued before the storm and during it."),
    sites: int = typer.Option(20, min=1, help="Sites of these jobs."),
    seconds: float = typer.Option(120, min=5, help="Seconds of the storm."),
    seed: int = typer.Option(1, help="Seed of the faults: when, where and how long."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    speed: float = typer.Option(20, min=0.1, help="Run the clock of the providers this many times faster."),
    kill_every: float = typer.Option(1, min=0.1, help="Seconds from one killed worker to the next, on average."),
    burst: int = typer.Option(40_000, min=1, help="Sites that get their first job at the same time."),
    logs: Path | None = typer.Option(None, help="Write the output of the workers to this folder."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Kill, freeze, disconnect and crash processes, then check every promise. Exit 1: a promise was broken."""
    with extra("demo"):
        from blogworker.bench.chaos import Plan, run
    configure(LogSettings(level="error"))
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        blogs=jobs,
        sites=sites,
        seconds=seconds,
        seed=seed,
        workers=workers,
        speed=speed,
        kill_every_s=kill_every,
        burst_sites=burst,
    )
    verdict = anyio.run(partial(run, plan, logs=logs, say=partial(_say, as_json)))
    _report({"chaos": verdict}, as_json=as_json)


def storm(
    jobs: int = typer.Option(200, min=10, help="Jobs that wait when the workers start."),
    sites: int = typer.Option(20, min=1, help="Sites of these jobs."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    concurrency: int = typer.Option(10, min=1, help="Jobs at once, of each."),
    speed: float = typer.Option(25, min=0.1, help="Run the clock of the providers this many times faster."),
    kill_every: float = typer.Option(2, min=0.1, help="Seconds from one killed worker to the next."),
    within: float = typer.Option(150, min=10, help="Limit of each part in seconds."),
    others: int = typer.Option(20, min=1, help="Other jobs beside the one that kills its workers, in the second part."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Kill a worker with SIGKILL every few seconds; then run a job that kills its workers. Exit 1: a promise broke."""
    with extra("demo"):
        from blogworker.bench import kills
    configure(LogSettings(level="error"))
    say = partial(_say, as_json)
    plan = kills.Plan(jobs, sites, workers, concurrency, speed, every_s=kill_every, within_s=within)
    beside = replace(plan, blogs=others, sites=min(sites, others), speed=min(speed, kills.CULPRIT_SPEED))
    say(f"{jobs:,} jobs; one of {workers} workers is killed every {kill_every:g} s until all have ended")
    verdicts = {"storm": anyio.run(partial(kills.storm, plan, say=say))}
    say(f"one job among {others} others kills its workers")
    verdicts["culprit"] = anyio.run(partial(kills.culprit, beside, say=say))
    _report(verdicts, as_json=as_json)


def _say(silent: bool, text: str) -> None:
    if not silent:
        console().print(text)


def _report(verdicts: "dict[str, Verdict]", *, as_json: bool) -> None:
    """Print the verdicts. As JSON: one object for one verdict, else one object per name."""
    if as_json:
        found = {name: {"passed": verdict.passed} | asdict(verdict) for name, verdict in verdicts.items()}
        emit_json(found if len(found) > 1 else next(iter(found.values())))
    else:
        for name, verdict in verdicts.items():
            console().print(facts({fact: f"{value:,}" for fact, value in verdict.facts.items()}))
            rows = [["PASS" if p.kept else "FAIL", p.name, p.evidence] for p in verdict.promises]
            console().print(table(f"Promises: {name}", ["", "promise", "evidence"], rows))
    if not all(verdict.passed for verdict in verdicts.values()):
        raise typer.Exit(1)
