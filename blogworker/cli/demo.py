"""`blogworker demo`: the whole system on this machine, to watch."""

from pathlib import Path

import typer

from blogworker.cli.developers import PANEL
from blogworker.cli.extras import extra


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel=PANEL)(demo)


def demo(
    posts: int = typer.Option(120, min=1, max=20_000, help="Posts to make."),
    sites: int = typer.Option(12, min=1, max=2_000, help="Sites to make them for. Their sizes differ much."),
    out: Path = typer.Option(Path("demo-posts"), help="Folder for the posts and their gallery."),
    speed: float = typer.Option(
        10.0, min=0.1, max=1000, help="Run the clock of the simulated providers this many times faster."
    ),
    concurrency: int = typer.Option(25, min=1, max=500, help="Jobs at once, of each of the two workers."),
    keep: bool = typer.Option(False, "--keep", help="Leave Postgres running, to look at it with psql."),
) -> None:
    """Turn invented catalogues into illustrated posts with simulated providers: no server, no keys, no network."""
    with extra("demo"):  # its processes need the extra: report a missing one before anything is started
        from blogworker.cli import simulation  # noqa: F401
        from blogworker.cli.demo_screen import run_demo
        from blogworker.demo.run import Plan
    run_demo(Plan(jobs=posts, sites=sites, out=out.resolve(), speed=speed, concurrency=concurrency, keep=keep))
