"""What a bench with real workers runs on: a new database, the simulated providers, and a fleet."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from blogworker.bench.environment.fleet import Command, Fleet, worker
from blogworker.bench.environment.simulator import Simulator, running_simulator
from blogworker.bench.scratch import ScratchDatabase, database


@dataclass(frozen=True, slots=True)
class Environment:
    database: ScratchDatabase
    simulator: Simulator
    fleet: Fleet  # no worker runs yet


@asynccontextmanager
async def environment(
    dsn: str,
    settings: Mapping[str, str],
    *,
    speed: float,
    seed: int = 1,
    scenario: str | None = None,
    pool_max: int = 20,
    command: Command = worker,
) -> AsyncIterator[Environment]:
    """Set up the environment, and stop the workers and the simulator at the end.

    `settings`: environment variables of the workers, beside the addresses. `speed`: how many times faster the clock of
    the providers runs. `scenario`: the TOML text of a scenario of the simulator.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-bench-")))
        file = None
        if scenario is not None:
            (file := folder / "scenario.toml").write_text(scenario)
        simulator = await stack.enter_async_context(running_simulator(folder, speed=speed, seed=seed, scenario=file))
        opened = await stack.enter_async_context(database(dsn, pool_max=pool_max))
        urls = {"DATABASE_URL": opened.url, "DATABASE_DIRECT_URL": opened.url, "BLOGWORKER_LOG_FORMAT": "json"}
        fleet = Fleet({**simulator.environment, **urls, **settings}, folder, command=command)
        yield Environment(opened, simulator, await stack.enter_async_context(fleet))
