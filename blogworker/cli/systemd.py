"""`blogworker systemd`: install and uninstall the units; pass new settings to a running worker."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import typer

from blogworker.cli.output import console, emit_json
from blogworker.errors import SettingsError
from blogworker.ops.install import (
    ELSEWHERE,
    MOST_WORKERS,
    OURS,
    Step,
    apply,
    edited_files,
    plan_install,
    plan_uninstall,
    removed_workers,
)
from blogworker.plurals import counted
from blogworker.reloading import gather

BOOTED = Path("/run/systemd/system")  # exists if systemd runs as PID 1: sd_booted(3)
SYSTEM_ROOT = Path("/")
SYSUSERS, TMPFILES = ELSEWHERE["blogworker.sysusers"], ELSEWHERE["blogworker.tmpfiles"]
JSON = typer.Option(False, "--json", help="Print JSON.")
ROOT_HELP = "Install below this folder, for example into a package or an image; start nothing."

app = typer.Typer(help="Install the systemd units of this machine.", no_args_is_help=True)


@app.command()
def install(
    workers: int | None = typer.Option(
        None, min=0, max=MOST_WORKERS, help="Workers that start with blogworker.target. Default: no change, at first 1."
    ),
    migrate: bool = typer.Option(True, help="Migrate the database before the workers start."),
    now: bool = typer.Option(False, "--now", help="Start the workers too."),
    root: Path = typer.Option(SYSTEM_ROOT, help=ROOT_HELP),
    program: str | None = typer.Option(None, help="What the units run. Default: this program."),
    force: bool = typer.Option(False, "--force", help="Overwrite units that were edited by hand."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would change."),
    as_json: bool = JSON,
) -> None:
    """Install or update the units and enable workers. Only what differs is written."""
    steps = plan_install(root, workers=workers, migrate=migrate, program=program or _program(), force=force)
    live = _is_live(root)
    commands: list[list[str]] = []
    if any(step.verb != "unchanged" for step in steps) and live:
        commands = [
            ["systemd-sysusers", str(SYSUSERS)],
            ["systemd-tmpfiles", "--create", str(TMPFILES)],
            ["systemctl", "daemon-reload"],
        ]
    if now and live:
        commands.append(["systemctl", "start", "blogworker.target"])
    stopped = removed_workers(steps)
    before = [["systemctl", "stop", *stopped]] if stopped and live else []
    _carry_out(root, steps, before, commands, dry_run=dry_run, as_json=as_json)
    if live and not now and not dry_run and not as_json:
        console().print("start the workers: systemctl start blogworker.target")


@app.command()
def uninstall(
    root: Path = typer.Option(SYSTEM_ROOT, help=ROOT_HELP),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would change."),
    as_json: bool = JSON,
) -> None:
    """Stop the workers, which drain, and remove the units. Settings, credentials, drop-ins, the user and files edited
    by hand stay."""
    steps = plan_uninstall(root)
    for path in edited_files(root) if not as_json else ():
        console().print(f"keep {path}: edited by hand; delete it yourself if it is not needed")
    live = _is_live(root) and bool(steps)
    before = [["systemctl", "stop", *_running()]] if live and _running() else []
    _carry_out(root, steps, before, [["systemctl", "daemon-reload"]] if live else [], dry_run=dry_run, as_json=as_json)


@app.command(hidden=True)
def deliver(folder: Path = typer.Argument(help="The runtime directory of the worker.")) -> None:
    """Pass the settings of this process to a worker. blogworker-reload@.service runs this."""
    from blogworker.daemon.reload_socket import deliver_settings

    found = anyio.run(deliver_settings, folder, gather(os.environ))
    if found.error is not None:
        raise SettingsError(f"nothing was reloaded: {found.error}")
    for name, change in found.changed.items():
        console().print(f"{name}: {change}")
    for name, change in found.needs_restart.items():
        console().print(f"{name}: {change}, after a restart")


def _carry_out(
    root: Path,
    steps: Sequence[Step],
    before: Sequence[list[str]],
    after: Sequence[list[str]],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Show the steps and commands, and carry them out unless this is a dry run."""
    shown: Callable[[str], None] = (lambda _: None) if as_json else console().print
    for command in before:
        shown(f"run {' '.join(command)}")
        _run(command, dry_run=dry_run)
    changes = [step for step in steps if step.verb != "unchanged"]
    for step in changes:
        shown(f"{step.verb} {step.path}{f' -> {step.after}' if step.link and step.after else ''}")
        for line in step.diff():
            shown(f"    {line}")
    if not dry_run:
        apply(root, changes)
    for command in after:
        shown(f"run {' '.join(command)}")
        _run(command, dry_run=dry_run)
    unchanged = len(steps) - len(changes)
    if as_json:
        made = [{"do": step.verb, "path": str(step.path)} for step in changes]
        emit_json({"dry_run": dry_run, "changes": made, "unchanged": unchanged, "commands": [*before, *after]})
    if not changes:
        shown("nothing to change")
    elif unchanged:
        shown(f"{counted(unchanged, 'file')} unchanged")
    if dry_run and (changes or before or after):
        shown("nothing was changed: --dry-run")


def _run(command: list[str], *, dry_run: bool) -> None:
    if dry_run:
        return
    try:
        ran = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - ours
    except OSError as error:
        raise SettingsError(f"{command[0]} cannot be run: {error.strerror}") from error
    if ran.returncode != 0:
        raise SettingsError(f"{' '.join(command)} failed: {' '.join(ran.stderr.split())}")


def _is_live(root: Path) -> bool:
    """Return whether the units are installed for the running systemd."""
    return root == SYSTEM_ROOT and BOOTED.is_dir()


def _running() -> list[str]:
    """Return our units that run or are about to."""
    command = ["systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating", "blogworker*"]
    listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout  # noqa: S603
    names = [line.split()[0] for line in listed.splitlines() if line.strip()]
    return [name for name in names if OURS.match(name)]


def _program() -> str:
    """Return the path of this program, without links that point to it."""
    called = Path(sys.argv[0])
    found = called if called.name == "blogworker" else Path(sys.prefix) / "bin" / "blogworker"
    return str(found.resolve())
