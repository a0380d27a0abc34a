"""`blogworker bench quota` and `bench limiter`: what the shared limiter gets out of a quota, and what it costs."""

from dataclasses import asdict
from functools import partial

import anyio
import typer

from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, show_rows, table
from blogworker.settings import LogSettings
from blogworker.telemetry import configure


def quota(
    workers: str = typer.Option("1,4,8", help="Numbers of worker processes, by commas."),
    blogs: int = typer.Option(2_000, min=100, help="Blogs of each run, two calls each."),
    speed: float = typer.Option(60, min=1, help="Run the vendor's clock this many times faster."),
    scenarios: str = typer.Option("tight,roomy,foreign", help="Which, by commas."),
    tpm: int = typer.Option(450_000, min=10_000, help="The vendor's tokens a minute, beside 450 requests."),
    vendor_burst: float = typer.Option(1, min=0.001, help="Minutes of its quota that the vendor's bucket holds."),
    slots: int = typer.Option(50, min=1, help="Slots of each worker."),
    seed: bool = typer.Option(True, help="The seed's limiter beside ours."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """How much of a vendor's quota the fleet uses, and how often it is refused, by the vendor's own accounting."""
    with extra("demo"):
        from blogworker.bench.quota import Plan, Scenario, measure
    configure(LogSettings(level="error"))
    plan = Plan(blogs=blogs, speed=speed, tokens_per_minute=tpm, vendor_burst=vendor_burst, slots=slots)
    progress = (lambda _: None) if as_json else console().print
    counts, chosen = [int(count) for count in workers.split(",")], [Scenario(name) for name in scenarios.split(",")]
    figures = anyio.run(partial(measure, plan, chosen, workers=counts, seed=seed, progress=progress))
    rows: list[dict[str, int | float | str]] = [
        {
            "scenario": f.scenario.value,
            "limiter": f.limiter,
            "workers": f.workers,
            "tokens_%": round(100 * f.tokens_used, 1),
            "requests_%": round(100 * f.requests_used, 1),
            "429s": f.refused,
            "429_%": round(100 * f.refused / (f.refused + f.calls), 2),
            "blogs_min": round(f.blogs_per_minute, 1),
            "by_estimate": round(f.estimated_per_minute, 1),
            "parked": f.parked,
            "cpu_ms_call": round(f.cpu_ms, 2),
            "stmts_s": round(f.statements_per_s, 1),
            "measured_s": round(f.measured.seconds, 1),
        }
        for f in figures
    ]
    show_rows(
        rows, f"{blogs} blogs at {speed:g} times speed, after the ramp, counted by the simulator", as_json=as_json
    )


def limiter(
    per_s: int = typer.Option(500, min=1, help="Calls a second of the one worker."),
    seconds: float = typer.Option(6, min=1, help="How long each measurement lasts."),
    rounds: int = typer.Option(3, min=1, help="Times it is measured, with the limiter and without."),
    desks: int = typer.Option(50, min=1, max=150, help="Workers on one bucket."),
    rpm: int = typer.Option(30_000, min=60, help="Its requests a minute."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """What the limiter costs a worker and the database."""
    with extra("demo"):
        from blogworker.bench.quota import crowd, overhead
    configure(LogSettings(level="error"))
    progress = (lambda _: None) if as_json else console().print
    one = anyio.run(partial(overhead, per_s=per_s, seconds=seconds, rounds=rounds, progress=progress))
    many = anyio.run(partial(crowd, desks=desks, requests_per_minute=rpm, seconds=seconds))
    if as_json:
        emit_json({"one": asdict(one), "many": asdict(many)})
        return
    for title, figure in (("One worker", one), ("Many workers, one bucket", many)):
        row = {name: round(value, 2) for name, value in asdict(figure).items()}
        console().print(table(title, list(row), [[str(value) for value in row.values()]]))
