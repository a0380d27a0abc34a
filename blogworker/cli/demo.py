"""`blogworker demo`: everything on this machine, to watch."""

from pathlib import Path

import typer

from blogworker.cli.extras import extra


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    blogs: int = typer.Option(120, min=1, max=20_000, help="Blogs to make."),
    sites: int = typer.Option(12, min=1, max=2_000, help="Sites to make them for, of very unequal size."),
    out: Path = typer.Option(Path("demo-posts"), help="Folder for the posts and their gallery."),
    speed: float = typer.Option(10.0, min=0.1, max=1000, help="Run the vendors' clock this many times faster."),
    concurrency: int = typer.Option(25, min=1, max=500, help="Slots of each of the two workers."),
    keep: bool = typer.Option(False, "--keep", help="Leave the Postgres running, to look at it with psql."),
) -> None:
    """Turn invented catalogues into illustrated posts with simulated vendors: no server, no keys, no network."""
    with extra("demo"):  # its processes need it: say so before anything is started
        from blogworker.cli import simulation  # noqa: F401
        from blogworker.cli.demo_screen import exhibit
        from blogworker.demo.show import Plan
    exhibit(Plan(blogs=blogs, sites=sites, out=out.resolve(), speed=speed, concurrency=concurrency, keep=keep))
