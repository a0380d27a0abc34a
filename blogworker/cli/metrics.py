"""`blogworker metrics`: the metrics of the database as Prometheus reads them."""

import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import typer

from blogworker.cli.session import with_database
from blogworker.errors import BlogworkerError
from blogworker.ops.exposition import render
from blogworker.ops.metrics import MOST_TOP_SITES, read_metrics
from blogworker.telemetry.streams import encoding_of, trusted

MODE = 0o644  # node_exporter runs as another user


def register(app: typer.Typer) -> None:
    app.command()(metrics)


def metrics(
    top_sites: int = typer.Option(0, min=0, max=MOST_TOP_SITES, help="Name so many of the busiest sites."),
    output: Path | None = typer.Option(None, help="Replace this file at once, for node_exporter's textfile collector."),
) -> None:
    """Print metrics for Prometheus: jobs, workers, quotas, circuit breakers, budgets, errors."""
    found = with_database(partial(read_metrics, top_sites=top_sites))
    if output is None:
        trusted(sys.stdout).write(render(found, encoding=encoding_of(sys.stdout)))
    else:
        _replace(output, render(found))


def _replace(output: Path, text: str) -> None:
    """Write a file beside it and rename that, so that no reader sees a part. Its name does not end in .prom."""
    if output.exists() and not output.is_file():
        raise BlogworkerError(f"{output} cannot be written: it is not a file")
    partial_file = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        partial_file.write_text(text, encoding="utf-8")
        partial_file.chmod(MODE)
        partial_file.replace(output)
    except OSError as error:
        with suppress(OSError):
            partial_file.unlink()
        raise BlogworkerError(f"{output} cannot be written: {error.strerror}") from error
