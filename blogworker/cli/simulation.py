"""The vendors' simulator on the command line, once its extra is known to be installed."""

from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import anyio
import typer

from blogworker import simulator
from blogworker.section import variable
from blogworker.settings import Settings
from blogworker.simulator import SimulatorOptions, running_simulator

__all__ = ["SimulatorOptions", "running_simulator", "serve"]


def serve(options: SimulatorOptions, *, host: str, port: int, url_file: Path | None) -> None:
    """Serve until a signal; print the settings that point a worker here."""
    anyio.run(partial(_serve, options, host=host, port=port, url_file=url_file))


async def _serve(options: SimulatorOptions, *, host: str, port: int, url_file: Path | None) -> None:
    async with anyio.create_task_group() as tasks:
        url = await tasks.start(partial(simulator.serve, options, host=host, port=port))
        for name, value in settings_for(url).items():
            typer.echo(f"{name}={value}")
        if url_file is not None:
            await anyio.Path(url_file).write_text(url)


def settings_for(url: str) -> dict[str, str]:
    """The environment that makes a worker talk to a simulator."""
    sections = get_type_hints(Settings)
    return {
        variable(sections[section], name): value
        for section, fields in flags_for(url).items()
        for name, value in fields.items()
    }


def flags_for(url: str) -> dict[str, dict[str, Any]]:
    """The same as flags of `settings.load`."""
    return {
        "openai": {"base_url": f"{url}/openai/v1", "api_key": "simulated"},
        "replicate": {"base_url": f"{url}/replicate", "api_token": "simulated"},
        "wix": {"base_url": f"{url}/wix", "app_id": "simulated", "app_secret": "simulated"},
    }
