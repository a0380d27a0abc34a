"""`blogworker serve`: the HTTP interface."""

import os
import sys
from functools import partial
from pathlib import Path

import anyio
import typer

from blogworker.cli.extras import extra
from blogworker.cli.output import console
from blogworker.envfile import NAMED_BY
from blogworker.errors import SettingsError
from blogworker.section import load_section
from blogworker.settings import DatabaseSettings, LogSettings, OpenAISettings, QueueSettings, ReplicateSettings
from blogworker.spend.estimate import Prices
from blogworker.telemetry import configure
from blogworker.telemetry.streams import report_closed_pipes


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    host: str | None = typer.Option(None, help="Address to listen on. [BLOGWORKER_HTTP_HOST, 127.0.0.1]"),
    port: int | None = typer.Option(None, help="Port; 0 means any free one. [BLOGWORKER_HTTP_PORT, 8080]"),
    url_file: Path | None = typer.Option(None, help="Write the base URL to this file once the server listens."),
    demo: bool = typer.Option(
        False, "--demo", help="Show it with a Postgres, simulated providers and workers of its own: no server, no keys."
    ),
) -> None:
    """Serve the dashboard and the HTTP interface: add jobs, see what becomes of them, metrics. Callers need a token of
    `blogworker tokens create`. Put a proxy with TLS in front."""
    if demo:
        os.environ[NAMED_BY] = ""  # the demo does not use this machine's settings
    with extra("api"):
        from blogworker.web.server import serve as run
        from blogworker.web.settings import HttpSettings
    settings = load_section(HttpSettings, host=host, port=port)
    report_closed_pipes(sys.stdout)
    if demo:
        with extra("demo"):
            from blogworker.cli.demo_screen import serve_demo
        serve_demo(settings)
        return
    configure(load_section(LogSettings))
    act = partial(
        run,
        settings,
        load_section(DatabaseSettings),
        queue_size_limit=load_section(QueueSettings).queue_size_limit,
        prices=Prices(load_section(OpenAISettings), load_section(ReplicateSettings)),
        on_listening=partial(_listening, url_file),
    )
    anyio.run(act)


def _listening(url_file: Path | None, address: str) -> None:
    if sys.stdout.isatty():
        console(sys.stderr).print(f"listening on {address}; Ctrl-C stops")
    if url_file is not None:
        try:
            url_file.write_text(address, encoding="utf-8")
        except OSError as error:
            raise SettingsError(f"--url-file {url_file} cannot be written: {error.strerror}") from error
