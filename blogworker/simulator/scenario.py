"""A scenario file (TOML): options of the simulator, and faults with a start and an end.

[options]                 # as in POST /__sim/options
speed = 10
wix_query_lag_s = 3

[[faults]]                # as in POST /__sim/faults, and:
provider = "openai"
kind = "overloaded"
after_s = 30              # its start, in real seconds after the simulator's; default 0
for_s = 60                # its duration in real seconds; default: until it is removed
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from anyio import create_task_group, sleep

from blogworker.simulator.faults import FaultRegistry, parse_fault
from blogworker.simulator.options import SimulatorOptions


class ScenarioError(ValueError):
    """The scenario file cannot be read or is not valid. The message has one line."""


@dataclass(frozen=True, slots=True)
class TimedFault:
    values: Mapping[str, Any]
    after_s: float
    for_s: float | None


@dataclass(frozen=True, slots=True)
class Scenario:
    options: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[TimedFault, ...] = ()

    async def run(self, registry: FaultRegistry) -> None:
        """Add each fault at its start, and remove it at its end."""
        async with create_task_group() as tasks:
            for fault in self.faults:
                if fault.after_s == 0 and fault.for_s is None:
                    registry.add(fault.values)
                else:
                    tasks.start_soon(_add_for_a_time, registry, fault)


async def _add_for_a_time(registry: FaultRegistry, fault: TimedFault) -> None:
    await sleep(fault.after_s)
    added = registry.add(fault.values)
    if fault.for_s is not None:
        await sleep(fault.for_s)
        registry.clear(added.id)


def read_scenario(path: Path) -> Scenario:
    """Read and check a scenario file. Raises ScenarioError."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, not TOML
        raise ScenarioError(f"{path} is not TOML: {error}") from error
    try:
        return _scenario(given)
    except (ValueError, TypeError) as error:
        raise ScenarioError(f"{path}: {error}") from error


def _scenario(given: Mapping[str, Any]) -> Scenario:
    if unknown := sorted(set(given) - {"options", "faults"}):
        raise ValueError(f"unknown tables: {', '.join(unknown)}; there are options and faults")
    options, faults = given.get("options", {}), given.get("faults", [])
    if not isinstance(options, dict):
        raise ValueError("options must be a table: [options]")
    if not isinstance(faults, list) or not all(isinstance(fault, dict) for fault in faults):
        raise ValueError("faults must be tables: [[faults]]")
    SimulatorOptions().changed(options)
    return Scenario(options, tuple(_timed(number, fault) for number, fault in enumerate(faults, start=1)))


def _timed(number: int, given: Mapping[str, Any]) -> TimedFault:
    values = {name: value for name, value in given.items() if name not in ("after_s", "for_s")}
    try:
        parse_fault(values)
        return TimedFault(values, _seconds("after_s", given.get("after_s", 0)), _for_s(given))
    except (ValueError, TypeError) as error:
        raise ValueError(f"fault {number}: {error}") from error


def _for_s(given: Mapping[str, Any]) -> float | None:
    return _seconds("for_s", given["for_s"]) if "for_s" in given else None


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a number of seconds, not {value!r}")
    return float(value)
