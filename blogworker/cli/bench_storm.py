"""`blogworker bench chaos` and `bench storm`: real processes under every fault, and under `kill -9` alone."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import typer

from blogworker.cli.bench import bench
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, facts, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure

if TYPE_CHECKING:
    from blogworker.bench.chaos import Verdict


def register(app: typer.Typer) -> None:
    bench.command()(chaos)
    bench.command()(storm)


def chaos(
    blogs: int = typer.Option(300, min=20, help="Blogs asked for, before the storm and during it."),
    sites: int = typer.Option(20, min=1, help="Their sites."),
    seconds: float = typer.Option(120, min=5, help="How long the storm lasts."),
    seed: int = typer.Option(1, help="Decides when each blow falls, on whom, and for how long."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    speed: float = typer.Option(20, min=0.1, help="Run the vendors' clock this many times faster."),
    kill_every: float = typer.Option(1, min=0.1, help="Seconds from one killed worker to the next, on average."),
    burst: int = typer.Option(40_000, min=1, help="Sites that get their first blog at the same moment."),
    logs: Path | None = typer.Option(None, help="Keep the workers' output in this folder."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Kill, freeze, cut and crash what may be, then ask whether every promise was kept. Exit 1: one was broken."""
    with extra("demo"):
        from blogworker.bench.chaos import Plan, run
    configure(LogSettings(level="error"))
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        blogs=blogs,
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
    blogs: int = typer.Option(200, min=10, help="Blogs that wait when the workers start."),
    sites: int = typer.Option(20, min=1, help="Their sites."),
    workers: int = typer.Option(3, min=1, help="Worker processes."),
    concurrency: int = typer.Option(10, min=1, help="Slots of each."),
    speed: float = typer.Option(25, min=0.1, help="Run the vendors' clock this many times faster."),
    kill_every: float = typer.Option(2, min=0.1, help="Seconds from one killed worker to the next."),
    within: float = typer.Option(150, min=10, help="Seconds that each part may take."),
    others: int = typer.Option(20, min=1, help="Blogs beside the one that kills its workers, in the second part."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Kill -9 a worker every so often; then have one blog kill whoever holds it. Exit 1: a promise was broken."""
    with extra("demo"):
        from blogworker.bench import kills
    configure(LogSettings(level="error"))
    say = partial(_say, as_json)
    plan = kills.Plan(blogs, sites, workers, concurrency, speed, every_s=kill_every, within_s=within)
    beside = replace(plan, blogs=others, sites=min(sites, others), speed=min(speed, kills.CULPRIT_SPEED))
    say(f"{blogs} blogs; one of {workers} workers is killed every {kill_every:g} s until all have ended")
    verdicts = {"storm": anyio.run(partial(kills.storm, plan, say=say))}
    say(f"one blog among {others} others kills whoever holds it")
    verdicts["culprit"] = anyio.run(partial(kills.culprit, beside, say=say))
    _report(verdicts, as_json=as_json)


def _say(silent: bool, text: str) -> None:
    if not silent:
        console().print(text)


def _report(verdicts: "dict[str, Verdict]", *, as_json: bool) -> None:
    """One object for one verdict, else one for each by its name."""
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
