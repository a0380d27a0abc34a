"""The counters of the simulator, as a series of readings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyio import sleep

from blogworker.bench.environment.simulator import Simulator
from blogworker.bench.load.cluster import used_tokens

READ_S = 0.2


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals since the start of the simulator, of all applications."""

    at_s: float  # by the simulator's clock
    calls: int  # answered
    tokens: int
    refused: int  # 429 answers


@dataclass(frozen=True, slots=True)
class Rates:
    """The usage between two readings."""

    seconds: float
    calls_per_minute: float
    tokens_per_minute: float


class UsageReader:
    def __init__(self, simulator: Simulator, model: str) -> None:
        self._simulator = simulator
        self._model = model
        self.readings: list[Reading] = []

    async def run(self) -> None:
        """Read the counters, forever."""
        while True:
            await self.read()
            await sleep(READ_S)

    async def read(self) -> Reading:
        reading = _reading(await self._simulator.stats(), self._model)
        self.readings.append(reading)
        return reading


def _reading(stats: dict[str, Any], model: str) -> Reading:
    return Reading(
        at_s=stats["uptime_s"],
        calls=stats["openai"]["models"].get(model, {}).get("calls", 0),
        tokens=used_tokens(stats, model),
        refused=stats["vendors"].get("openai", {}).get("throttled", 0),
    )


def between(first: Reading, last: Reading) -> Rates:
    minutes = (last.at_s - first.at_s) / 60
    return Rates(last.at_s - first.at_s, (last.calls - first.calls) / minutes, (last.tokens - first.tokens) / minutes)


def middle(readings: Sequence[Reading], *, begin: float, end: float) -> Rates:
    """Return the rates between two fractions of all calls, without the ramp and the last calls.

    Raises RuntimeError if the run was too short.
    """
    calls = readings[-1].calls
    inner = [reading for reading in readings if begin * calls <= reading.calls <= end * calls]
    if len(inner) < 2:
        raise RuntimeError("the run was too short for a measurement: use more jobs or a lower speed")
    return between(inner[0], inner[-1])
