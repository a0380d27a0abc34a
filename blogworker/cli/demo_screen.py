"""The live view of the demo, its summary and its exit code."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import typer
from rich.live import Live

from blogworker.cli.output import Screen, console, facts
from blogworker.cli.signals import until_signal
from blogworker.demo.live import run_live
from blogworker.demo.progress import Progress
from blogworker.demo.run import Plan, Result, run
from blogworker.errors import SettingsError
from blogworker.plurals import counted
from blogworker.printable import typed
from blogworker.settings import DatabaseSettings, LogSettings, OpenAISettings, ReplicateSettings
from blogworker.spend.estimate import Prices
from blogworker.telemetry import configure
from blogworker.web.server import serve as serve_http
from blogworker.web.settings import HttpSettings

LINE_EVERY_S = 2.0  # without a terminal


class View:
    """A live view on a terminal; without a terminal, a line of text every LINE_EVERY_S."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._live: Live | None = None
        self._next_line_s = 0.0

    def say(self, text: str) -> None:
        self._screen.print(text, style="dim")

    def show(self, progress: Progress, sites: Sequence[dict[str, Any]]) -> None:
        if self._screen.file.isatty():
            self._on_terminal(progress, sites)
            return
        now = progress.samples[-1]
        if now.at_s >= self._next_line_s or now.done + now.failed >= progress.total:
            self._next_line_s = now.at_s + LINE_EVERY_S
            self._screen.print(progress.line(), soft_wrap=True)

    def _on_terminal(self, progress: Progress, sites: Sequence[dict[str, Any]]) -> None:
        if self._live is None:
            self._live = Live(console=self._screen, refresh_per_second=8)
            self._live.start()
        self._live.update(progress.view(sites))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


DEMO = Plan(jobs=2_000, sites=12, out=Path(), speed=4.0, concurrency=25, keep=False)


def serve_demo(http: HttpSettings) -> None:
    """Show the dashboard on a demo until a signal."""
    configure(LogSettings(level="error"))
    screen = console()

    def listening(token: str, address: str) -> None:
        screen.print(f"dashboard:  {address}/login#{token}", soft_wrap=True)
        screen.print(f"token:      {token}    (for the HTTP interface, see {address}/openapi.json)", soft_wrap=True)
        screen.print("two workers make 2,000 posts for 12 invented sites with simulated providers; Ctrl-C stops all")

    async def serve(database: DatabaseSettings, token: str) -> None:
        prices = Prices(OpenAISettings(_env_file=None), ReplicateSettings(_env_file=None))
        await serve_http(
            http, database, queue_size_limit=None, prices=prices, on_listening=partial(listening, token), signals=False
        )

    async def act() -> None:
        with TemporaryDirectory(prefix="blogworker-demo-logs-", ignore_cleanup_errors=True) as folder:
            say = partial(screen.print, style="dim")
            await run_live(replace(DEMO, out=Path(folder)), say=say, serve=serve)

    anyio.run(until_signal, act)
    screen.print("stopped; nothing is left running", style="dim")


def run_demo(plan: Plan) -> None:
    """Run the demo. Exit 1 if a job failed, 130 if a signal ended it."""
    if plan.jobs < plan.sites:
        raise SettingsError(
            f"{counted(plan.jobs, 'post')} for {counted(plan.sites, 'site')} are too few: each site needs at least one"
        )
    configure(LogSettings(level="warning"))
    screen = console()
    result = anyio.run(partial(_run, plan, screen))
    if result is None:
        screen.print("stopped; nothing is left running", style="dim")
        raise typer.Exit(130)
    _summarise(screen, plan, result)
    if result.failed:
        raise typer.Exit(1)


async def _run(plan: Plan, screen: Screen) -> Result | None:
    view = View(screen)

    async def act() -> Result:
        try:
            return await run(plan, say=view.say, show=view.show)
        finally:
            view.close()

    return await until_signal(act)


def _summarise(screen: Screen, plan: Plan, result: Result) -> None:
    found = result.summary
    screen.print()
    screen.print(
        facts(
            {
                "posts": f"{found.posts:,} published for {counted(found.sites, 'site')}, {result.failed:,} failed",
                "time": f"{found.elapsed_s:.1f} s, {found.posts_per_minute:,.0f} posts per minute",
                "fairness": f"{found.jain:.3f} (Jain's index at half time; 1 means that all sites got the same)",
                "published twice": str(found.duplicates),
                "cost": f"${found.cost_usd:.3f} at real prices; nothing was paid",
                "use": f"{found.tokens:,} tokens, {found.requests:,} calls, all simulated",
                **{name.lower(): value for name, value in found.facts.items()},
                "gallery": str(result.index),
                "logs": str(plan.out / "logs"),
            }
        )
    )
    screen.print("\nthe dashboard, live while such a fleet works:  blogworker serve --demo", style="dim")
    if result.database_url is not None:
        screen.print(f"\nPostgres is still running:  psql {typed(result.database_url)}", soft_wrap=True)
        screen.print(
            f"stop it with:  python -m blogworker.db.embedded {typed(str(plan.out / 'postgres'))} --stop",
            soft_wrap=True,
        )
