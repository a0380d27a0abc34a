"""What the simulator counts, as a series in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyio import sleep

from blogworker.bench.chaos.vendors import Vendors

LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Reading:
    """All since the start, both applications together."""

    at: float  # seconds by the simulator's clock
    calls: int  # answered
    tokens: int
    refused: int  # 429s
    charged_peak: float  # of requests, in any real minute


@dataclass(frozen=True, slots=True)
class Stretch:
    """What happened between two readings, a minute."""

    seconds: float
    calls_per_minute: float
    tokens_per_minute: float
    refused: int


class Watch:
    """Reads the simulator's counters until cancelled."""

    def __init__(self, vendors: Vendors, model: str) -> None:
        self._vendors = vendors
        self._model = model
        self.readings: list[Reading] = []

    async def run(self) -> None:
        while True:
            await self.read()
            await sleep(LOOK_S)

    async def read(self) -> Reading:
        reading = _reading(await self._vendors.stats(), self._model)
        self.readings.append(reading)
        return reading


def _reading(stats: dict[str, Any], model: str) -> Reading:
    used = stats["openai"]["models"].get(model, {})
    return Reading(
        at=stats["uptime_s"],
        calls=used.get("calls", 0),
        tokens=used.get("input_tokens", 0) + used.get("output_tokens", 0),
        refused=stats["vendors"].get("openai", {}).get("throttled", 0),
        charged_peak=used.get("peak_requests_per_minute", 0.0),
    )


def between(first: Reading, last: Reading) -> Stretch:
    minutes = (last.at - first.at) / 60
    return Stretch(
        last.at - first.at,
        (last.calls - first.calls) / minutes,
        (last.tokens - first.tokens) / minutes,
        last.refused - first.refused,
    )


def part(readings: Sequence[Reading], *, begin: float, end: float) -> Stretch:
    """The stretch in which so much of all calls was answered: without the ramp, and without the last stragglers."""
    calls = readings[-1].calls
    inner = [reading for reading in readings if begin * calls <= reading.calls <= end * calls]
    if len(inner) < 2:
        raise RuntimeError("the run was too short to be measured: ask for more blogs, or less speed")
    return between(inner[0], inner[-1])
