"""`blogworker preview`: one post, made as a worker would make it, and not published."""

import sys
import tempfile
import webbrowser
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio
import typer

from blogworker.cli.extras import extra
from blogworker.cli.output import complain, console
from blogworker.cli.preview_source import written_about
from blogworker.cli.signals import until_signal
from blogworker.db.embedded import temporary_server
from blogworker.db.migrate import migrate
from blogworker.db.pool import connect
from blogworker.errors import BlogworkerError, SettingsError
from blogworker.printable import typed
from blogworker.section import load_section
from blogworker.settings import DatabaseSettings, LogSettings, Settings, has_database, load, require_keys
from blogworker.telemetry import configure
from blogworker.telemetry.streams import trusted

if TYPE_CHECKING:
    from blogworker.daemon.preview import PreviewRequest
    from blogworker.stages.preview import Preview

SPEED = 10.0  # of the clock of the simulated providers
POLL_S = 0.5  # between polls of a picture, on the provider's clock
FEW = {"pool_min": 1, "pool_max": 4}  # connections
PRIVATE = {"url": "postgresql://", "direct_url": "postgresql://", **FEW}  # until the address of the server is known
PROGRESS = {
    "source": "reading the source",
    "ideas": "finding ideas",
    "content": "writing the post",
    "image": "making the picture",
}

Form = Literal["md", "html", "json"]


def register(app: typer.Typer) -> None:
    app.command()(preview)


def preview(
    keyword: str | None = typer.Option(None, help="Write about this keyword."),
    text: str | None = typer.Option(None, metavar="FILE|-", help="Write from the notes in this file."),
    product: str | None = typer.Option(
        None, metavar="FILE|-", help="Write about one row of a file that `enqueue` can read."
    ),
    handle: str | None = typer.Option(None, help="The product of the file with this handle."),
    row: int | None = typer.Option(None, min=1, help="The row of the file, counted from 1."),
    site: str | None = typer.Option(None, help="The site's instance_id: use its settings, add the cost to it."),
    language: str | None = typer.Option(None, help="Write in this language instead of the site's."),
    tone: str | None = typer.Option(None, help="Write in this tone instead of the site's."),
    no_image: bool = typer.Option(False, "--no-image", help="Make no cover picture."),
    form: Form = typer.Option("md", "--format", help="What to print."),
    page: Path | None = typer.Option(None, "--html", metavar="FILE", help="Also write an HTML page with the picture."),
    show: bool = typer.Option(False, "--open", help="Open that page in the browser."),
    simulate: bool = typer.Option(False, "--simulate", help="Use simulated providers: no keys, no cost."),
) -> None:
    """Make one post with the real providers and show it. Nothing is enqueued or published. It costs as much as a
    job; with DATABASE_URL it waits for the shared quota and records what it spends. Exit 1: a provider refused."""
    configure(LogSettings(level="error"))
    if page is not None and not (page.parent.is_dir() and not page.is_dir()):
        raise SettingsError(f"--html {page} cannot be written: name a file in a folder that exists")
    job = written_about(keyword=keyword, text=text, product=product, handle=handle, row=row, site=site)
    from blogworker.daemon.preview import PreviewRequest  # the providers' SDKs take half a second to import

    facts = {name: value for name, value in (("language", language), ("tone", tone)) if value}
    found = _made(PreviewRequest(job, facts, illustrated=not no_image), simulate=simulate)
    _show(found, form=form, page=page, show=show)
    if found.trouble:
        complain(found.trouble)
        raise typer.Exit(1)


def _made(request: "PreviewRequest", *, simulate: bool) -> "Preview":
    with console(sys.stderr).status("") as status:  # shows nothing where there is no terminal
        act = partial(_run, request, simulate=simulate, say=lambda stage: status.update(PROGRESS.get(stage, stage)))
        found = anyio.run(until_signal, act)
    if found is None:
        complain("stopped; nothing is left running")
        raise typer.Exit(130)
    return found


async def _run(request: "PreviewRequest", *, simulate: bool, say: Callable[[str], None]) -> "Preview":
    from blogworker.daemon import preview as maker

    async with AsyncExitStack() as stack:
        flags = await _simulated(stack) if simulate else {}
        private = simulate or not has_database()
        settings = load({**flags, "database": PRIVATE if private else FEW})
        require_keys(settings, illustrated=request.illustrated)
        if private:
            say("starting a private Postgres for the quota")
            settings = await _with_private_database(stack, settings)
        return replace(await maker.run(settings, request, say=say), simulated=simulate)


async def _simulated(stack: AsyncExitStack) -> dict[str, dict[str, Any]]:
    """Start simulated providers. Return the settings that point to them."""
    with extra("demo"):
        from blogworker.cli import simulation
    url = await stack.enter_async_context(simulation.running_simulator(simulation.SimulatorOptions(speed=SPEED)))
    flags = simulation.flags_for(url)
    flags["replicate"]["poll_interval"] = POLL_S / SPEED
    return flags


async def _with_private_database(stack: AsyncExitStack, settings: Settings) -> Settings:
    dsn = await stack.enter_async_context(temporary_server())
    async with await connect(dsn, timeout_s=settings.database.connect_timeout_s) as connection:
        await migrate(connection)
    return replace(settings, database=load_section(DatabaseSettings, **{**PRIVATE, "url": dsn, "direct_url": dsn}))


def _show(found: "Preview", *, form: Form, page: Path | None, show: bool) -> None:
    from blogworker.cli import preview_forms as forms
    from blogworker.demo.page import preview_page

    written = {"md": forms.markdown, "json": forms.as_json, "html": preview_page}[form]
    # On a terminal hidden characters are escaped; a file gets the text unchanged.
    (sys.stdout if sys.stdout.isatty() else trusted(sys.stdout)).write(written(found).rstrip("\n") + "\n")
    sys.stdout.flush()
    console(sys.stderr).print(forms.costs(found))
    if page is None and show:
        with tempfile.NamedTemporaryFile(prefix="blogworker-preview-", suffix=".html", delete=False) as kept:
            page = Path(kept.name)
    if page is None:
        return
    try:
        page.write_text(preview_page(found), encoding="utf-8")
    except OSError as error:
        raise BlogworkerError(f"{page} cannot be written: {error.strerror}") from error
    sys.stderr.write(f"page: {page}\n")
    if show and not webbrowser.open(page.resolve().as_uri()):
        complain(f"no browser could be started: open {typed(str(page))}")
