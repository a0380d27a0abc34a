"""Commands that start a worker, migrate the database, or serve the simulator."""

import faulthandler
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import anyio
import typer

from blogworker.cli.developers import PANEL
from blogworker.cli.extras import extra
from blogworker.cli.output import console, emit_json, table
from blogworker.db.migrate import migrate as apply_migrations
from blogworker.db.migrate import migrations, state
from blogworker.db.pool import connect
from blogworker.db.server import inspect_server
from blogworker.envfile import NAMED_BY
from blogworker.errors import DatabaseUnavailable
from blogworker.reloading import read_file_again, replace_all, unchanged_if_wrong
from blogworker.section import load_section, unknown_variables
from blogworker.settings import DatabaseSettings, LogSettings, Settings, load, require_keys
from blogworker.telemetry import configure, get_logger
from blogworker.telemetry.streams import report_closed_pipes

NOT_OF_A_WORKER = (
    NAMED_BY,
    "BLOGWORKER_HTTP_HOST",
    "BLOGWORKER_HTTP_PORT",
    "BLOGWORKER_HTTP_RPM",
    "BLOGWORKER_HTTP_CONNECTIONS",
    "BLOGWORKER_PG_BIN",
    "BLOGWORKER_TEST_DATABASE_URL",
)
PARENT_ONLY = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "RUNTIME_DIRECTORY")  # its reloads, too
AWAIT_S = 1.0
ALONE = {"concurrency": 1, "quota_patience": 120.0}  # nothing else waits for this worker
log = get_logger()


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(migrate)
    app.command(rich_help_panel=PANEL)(simulate)


def run(
    context: typer.Context,
    concurrency: int | None = typer.Option(None, help="Jobs at once. [BLOGWORKER_CONCURRENCY, 50]"),
    stages: str | None = typer.Option(
        None,
        help="Run only these stages, such as ideas,content. Other workers must run the rest. [BLOGWORKER_STAGES, all]",
    ),
    slots: str | None = typer.Option(
        None,
        help="Jobs at once by stage, instead of one number for all: content=40,image=80,publish=20. A stage without a "
        "number uses the slots of the next stage that has one. [BLOGWORKER_SLOTS]",
    ),
    name: str | None = typer.Option(None, help="This worker's stable name. [BLOGWORKER_NAME, host/pid]"),
    batch_size: int | None = typer.Option(None, help="Jobs per claim, at most. [BLOGWORKER_BATCH_SIZE, 100]"),
    max_per_instance: int | None = typer.Option(
        None, help="Jobs of one site per claim, at most. [BLOGWORKER_MAX_PER_INSTANCE, 20]"
    ),
    drain_timeout: float | None = typer.Option(
        None, help="Seconds for running jobs after SIGTERM. [BLOGWORKER_DRAIN_TIMEOUT, 60]"
    ),
    metrics_port: int | None = typer.Option(
        None, min=0, max=65_535, help="Serve this worker's own metrics on this port. [BLOGWORKER_METRICS_PORT]"
    ),
    metrics_host: str | None = typer.Option(
        None, help="The address of that port. [BLOGWORKER_METRICS_HOST, 127.0.0.1]"
    ),
    until_empty: bool = typer.Option(False, "--until-empty", help="Exit when no job is left."),
    suspects: bool = typer.Option(
        False,
        "--suspects",
        help="Run only jobs that are suspected of killing their workers, one at a time, until none is left. "
        "Workers start this by themselves.",
    ),
    parent: int | None = typer.Option(None, hidden=True, help="Exit when this process exits."),
) -> None:
    """Run one worker: claim jobs, write the posts, publish them. SIGTERM or SIGINT drains it; a second one releases its
    jobs at once. SIGHUP reloads the settings; with a terminal it drains too, because the terminal was closed."""
    flags: dict[str, dict[str, Any]] = {
        "worker": {
            "concurrency": concurrency,
            "stages": stages,
            "slots": slots,
            "name": name,
            "drain_timeout": drain_timeout,
        }
        | (ALONE if suspects else {}),
        "queue": {"batch_size": batch_size, "max_per_instance": max_per_instance},
        "metrics": {"port": metrics_port, "host": metrics_host},
    }
    settings = load(flags)
    require_keys(settings)
    configure(settings.log)
    report_closed_pipes(sys.stdout)
    faulthandler.enable(
        all_threads=True
    )  # the watchdog ends a hung worker with SIGABRT: the journal shows where it hung
    _warn_of_unknown_variables()
    from blogworker import daemon  # imports much that no other command needs

    role = daemon.Role(suspects=suspects, parent=parent)
    forks = None if suspects else daemon.ForkServer(_run_suspects, prepare=daemon.import_sdks)
    again = None if suspects else Reading(flags, context.find_root().obj or frozenset())
    anyio.run(partial(daemon.run, settings, until_empty=until_empty or suspects, role=role, forks=forks, load=again))


class Reading:
    """Reads the settings again. `from_file`: the variables that the machine's file has set."""

    def __init__(self, flags: Mapping[str, Mapping[str, Any]], from_file: frozenset[str]) -> None:
        self._flags = flags
        self._from_file = from_file

    def __call__(self, delivered: Mapping[str, str] | None) -> Settings:
        with unchanged_if_wrong():
            from_file = self._from_file
            if delivered is None:
                from_file = read_file_again(from_file, os.environ)
            else:
                replace_all(delivered, os.environ)
            settings = load(self._flags)
            require_keys(settings)
        self._from_file = from_file
        return settings


def _run_suspects(arguments: Sequence[str]) -> None:
    """Run in a fork of the worker, which systemd does not watch."""
    from blogworker.cli.app import main

    for name in PARENT_ONLY:
        os.environ.pop(name, None)
    sys.argv[1:] = arguments
    main()


def _warn_of_unknown_variables() -> None:
    """Warn, but do not refuse: during a rolling upgrade an old worker gets the settings of the new one."""
    sections = get_type_hints(Settings).values()
    for name, meant in unknown_variables(sections, prefix="BLOGWORKER_", besides=NOT_OF_A_WORKER).items():
        log.warning("setting_ignored", name=name, meant=meant)


def migrate(
    status: bool = typer.Option(False, "--status", help="Only show which migrations are applied."),
    sql: bool = typer.Option(False, "--sql", help="Print the migrations; do not connect."),
    wait: bool = typer.Option(False, "--wait", help="Wait until the database can be reached."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Migrate the database of DATABASE_URL (or DATABASE_DIRECT_URL). Several may start at the same time."""
    if sql:
        for migration in migrations():
            typer.echo(migration.script)
        return
    configure(load_section(LogSettings))
    settings = load_section(DatabaseSettings)
    if wait:
        anyio.run(_await_database, settings)
    anyio.run(_status if status else _migrate, settings, as_json)


async def _await_database(settings: DatabaseSettings) -> None:
    """Wait until the database can be reached. Log each reason once."""
    reason = ""
    while True:
        try:
            async with await connect(settings.direct, timeout_s=settings.connect_timeout_s) as connection:
                return (await inspect_server(connection)).require_ready()
        except DatabaseUnavailable as error:
            if reason != (reason := str(error)):
                log.warning("database_awaited", error=reason)
        await anyio.sleep(AWAIT_S)


async def _migrate(settings: DatabaseSettings, as_json: bool) -> None:
    connection, watch = [await connect(settings.direct, timeout_s=settings.connect_timeout_s) for _ in range(2)]
    async with connection, watch:
        applied = await apply_migrations(connection, watch=watch)
    if as_json:
        emit_json({"applied": [m.version for m in applied]})
    elif not applied:
        console().print("the database is up to date")


async def _status(settings: DatabaseSettings, as_json: bool) -> None:
    async with await connect(settings.direct, timeout_s=settings.connect_timeout_s) as connection:
        (await inspect_server(connection)).require_ready()
        found = await state(connection)
    known = [
        {"version": m.version, "name": m.name, "state": "applied" if m.version in found.applied else "pending"}
        | ({"state": "changed"} if m.version in found.changed else {})
        for m in migrations()
    ]
    known += [{"version": version, "name": None, "state": "unknown"} for version in found.unknown]
    if as_json:
        emit_json(known)
    else:
        console().print(table(None, ["version", "name", "state"], [list(m.values()) for m in known]))
    if found.unknown or found.changed or found.pending:
        raise typer.Exit(1)


def simulate(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8400, min=0, max=65535, help="Port to listen on; 0 means any free port."),
    speed: float | None = typer.Option(
        None, min=0.01, help="Run the clock of the providers this many times faster. Default: 1."
    ),
    seed: int | None = typer.Option(None, help="Seed of latencies and faults. Default: 1."),
    openai_rpm: int | None = typer.Option(None, min=1, help="OpenAI requests per minute and model. Default: 450."),
    openai_tpm: int | None = typer.Option(None, min=1, help="OpenAI tokens per minute and model. Default: 450,000."),
    replicate_rpm: int | None = typer.Option(None, min=1, help="Replicate predictions per minute. Default: 600."),
    scenario: Path | None = typer.Option(
        None, help="A TOML file with options and timed faults. Flags override its options."
    ),
    url_file: Path | None = typer.Option(None, help="Write the base URL to this file once the server listens."),
) -> None:
    """Simulate OpenAI, Replicate and Wix: endpoints, quotas, latencies and faults."""
    with extra("demo"):
        from blogworker.cli import simulation
    simulation.serve(
        {
            "seed": seed,
            "speed": speed,
            "openai_rpm": openai_rpm,
            "openai_tpm": openai_tpm,
            "replicate_rpm": replicate_rpm,
        },
        host=host,
        port=port,
        url_file=url_file,
        scenario_file=scenario,
    )
