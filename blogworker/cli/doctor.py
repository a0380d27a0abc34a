"""`blogworker doctor`: check everything that a worker needs."""

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import get_type_hints

import anyio
import typer

from blogworker.cli.output import console, emit_json, table
from blogworker.cli.run import NOT_OF_A_WORKER
from blogworker.errors import SettingsError
from blogworker.ops.doctor import (
    Check,
    State,
    examine_database,
    examine_openai,
    examine_replicate,
    examine_wix,
    served_sites,
)
from blogworker.section import load_section, unknown_variables
from blogworker.settings import (
    DatabaseSettings,
    OpenAISettings,
    ReplicateSettings,
    Settings,
    WixSettings,
    load,
)

SYSTEMD = Path("/run/systemd/system")  # exists where systemd is the first process
SYSTEMCTL_S = 10


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    site: list[str] | None = typer.Option(None, help="Check Wix with this site. Default: the last three served."),
    keys: bool = typer.Option(True, "--keys/--no-keys", help="Verify the keys with calls that cost nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Check the settings, the database, the keys, the sites and the units, and say what to do. Nothing is changed.
    Exit 1: something is wrong."""
    found = [*_settings(), *anyio.run(_remote, site or [], keys), *_units()]
    if as_json:
        emit_json([asdict(check) for check in found])
    else:
        rows = [(check.name, check.state, check.finding, check.advice or None) for check in found]
        console().print(table(None, ["check", "state", "finding", "what to do"], rows, fold=["finding", "what to do"]))
    if any(check.state is State.WRONG for check in found):
        raise typer.Exit(1)


def _settings() -> list[Check]:
    try:
        load()
    except SettingsError as error:
        return [Check("settings", State.WRONG, line) for line in str(error).split("\n")]
    sections = get_type_hints(Settings).values()
    unknown = unknown_variables(sections, prefix="BLOGWORKER_", besides=NOT_OF_A_WORKER)
    warnings = [
        Check("settings", State.WARNING, f"{name} is unknown and ignored", f"{meant} is meant?" if meant else "")
        for name, meant in unknown.items()
    ]
    return warnings or [Check("settings", State.OK, "all are valid")]


async def _remote(sites: Sequence[str], keys: bool) -> list[Check]:
    found: list[Check] = []
    try:
        database = load_section(DatabaseSettings)
    except SettingsError:
        database = None  # it is reported with the settings
    if database is not None:
        found += await examine_database(database)
    if not keys:
        return found
    with suppress(SettingsError):  # such faults are reported with the settings
        found += await examine_openai(load_section(OpenAISettings))
    with suppress(SettingsError):
        found += await examine_replicate(load_section(ReplicateSettings))
    with suppress(SettingsError):
        wix = load_section(WixSettings)
        if not sites and database is not None and wix.configured:
            sites = await served_sites(database)
        found += await examine_wix(wix, sites)
    return found


def _units() -> list[Check]:
    """Return one check per unit of systemd that is not running as it should."""
    systemctl = shutil.which("systemctl")
    if systemctl is None or not SYSTEMD.exists():
        return [Check("units", State.SKIPPED, "systemd does not run here")]
    asked = [systemctl, "list-units", "--all", "--plain", "--no-legend", "--no-pager", "blogworker*"]
    try:
        ran = subprocess.run(asked, capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False)  # noqa: S603
    except OSError as error:
        return [Check("units", State.WRONG, f"systemctl cannot be run: {error.strerror}")]
    except subprocess.TimeoutExpired:
        return [Check("units", State.WRONG, f"systemctl has not answered for {SYSTEMCTL_S:g} s", "systemctl status")]
    if ran.returncode != 0:
        reason = " ".join(ran.stderr.split()) or f"exit code {ran.returncode}"
        return [Check("units", State.WRONG, f"systemctl list-units failed: {reason}", "systemctl status")]
    units = [line.split(None, 4)[:4] for line in ran.stdout.splitlines() if len(line.split()) >= 4]
    if not units:
        return [Check("units", State.SKIPPED, "no unit of blogworker is loaded", "blogworker systemd install")]
    failed = [unit for unit in units if unit[2] == "failed"]
    if failed:
        return [Check("units", State.WRONG, f"{unit[0]} failed", f"journalctl -u {unit[0]} -n 50") for unit in failed]
    return [Check("units", State.OK, ", ".join(f"{unit[0]} {unit[3]}" for unit in units))]
