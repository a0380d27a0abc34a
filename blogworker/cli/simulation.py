"""`blogworker simulate`, once its extra is known to be installed."""

from functools import partial
from pathlib import Path

import anyio
import typer

from blogworker import simulator
from blogworker.simulator import SimulatorOptions

__all__ = ["SimulatorOptions", "serve"]


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
    return {
        "OPENAI_BASE_URL": f"{url}/openai/v1",
        "REPLICATE_BASE_URL": f"{url}/replicate",
        "WIX_BASE_URL": f"{url}/wix",
        "OPENAI_API_KEY": "simulated",
        "REPLICATE_API_TOKEN": "simulated",
        "WIX_APP_ID": "simulated",
        "WIX_APP_SECRET": "simulated",
    }
