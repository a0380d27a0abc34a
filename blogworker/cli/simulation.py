"""The simulator of the providers on the command line. Importing this module needs the extra `demo`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import anyio
import typer

from blogworker import simulator
from blogworker.errors import SettingsError
from blogworker.section import variable
from blogworker.settings import Settings
from blogworker.simulator import SimulatorOptions, running_simulator
from blogworker.simulator.scenario import Scenario, ScenarioError, read_scenario

__all__ = ["SimulatorOptions", "running_simulator", "serve"]


def serve(
    flags: Mapping[str, Any], *, host: str, port: int, url_file: Path | None, scenario_file: Path | None = None
) -> None:
    """Serve until a signal, and print the settings that point a worker here. Flags override the scenario.

    Raises SettingsError when the scenario cannot be used.
    """
    try:
        scenario = Scenario() if scenario_file is None else read_scenario(scenario_file)
    except ScenarioError as error:
        raise SettingsError(str(error)) from error
    given = {name: value for name, value in flags.items() if value is not None}
    options = SimulatorOptions().changed({**scenario.options, **given})
    anyio.run(partial(_serve, options, host=host, port=port, url_file=url_file, scenario=scenario))


async def _serve(options: SimulatorOptions, *, host: str, port: int, url_file: Path | None, scenario: Scenario) -> None:
    async with anyio.create_task_group() as tasks:
        try:
            url = await tasks.start(partial(simulator.serve, options, host=host, port=port, scenario=scenario))
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}, port {port}: {error.strerror}; choose others with --host and --port"
            ) from error
        for name, value in settings_for(url).items():
            typer.echo(f"{name}={value}")
        if url_file is not None:
            try:
                await anyio.Path(url_file).write_text(url)
            except OSError as error:
                raise SettingsError(f"--url-file {url_file} cannot be written: {error.strerror}") from error


def settings_for(url: str) -> dict[str, str]:
    """Return the environment variables that point a worker to a simulator."""
    sections = get_type_hints(Settings)
    return {
        variable(sections[section], name): value
        for section, fields in flags_for(url).items()
        for name, value in fields.items()
    }


def flags_for(url: str) -> dict[str, dict[str, Any]]:
    """Return the same as arguments of `settings.load`."""
    return {
        "openai": {"base_url": f"{url}/openai/v1", "api_key": "simulated-key"},
        "replicate": {"base_url": f"{url}/replicate", "api_token": "simulated-key"},
        "wix": {"base_url": f"{url}/wix", "app_id": "simulated", "app_secret": "simulated-key"},
    }
