"""What the three providers share: options, clock, ledger, faults, and the calls in flight."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

import anyio
import httpx2
from anyio.abc import TaskGroup

from blogworker.simulator.clock import Clock
from blogworker.simulator.faults import FaultRegistry
from blogworker.simulator.ledger import Ledger
from blogworker.simulator.options import SimulatorOptions


class World:
    """The state of one simulator. `background` and `client` exist only while the application runs."""

    background: TaskGroup
    client: httpx2.AsyncClient

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.clock = Clock(speed=options.speed, latency_scale=options.latency_scale)
        self.faults = FaultRegistry(options.seed)
        self.ledger = Ledger(options.kept_requests)
        self._in_flight: set[anyio.CancelScope] = set()

    def random(self, name: str) -> Random:
        """A random generator for `name`; it gives the same numbers in every run with this seed."""
        return Random(f"{name}:{self.options.seed}")

    def per_minute(self, quota: float) -> float:
        """A quota per provider minute, converted to real minutes."""
        return quota * self.clock.speed

    def configure(self, values: Mapping[str, Any]) -> SimulatorOptions:
        """Change options while the simulator runs. Raises ValueError."""
        self.options = self.options.changed(values)
        self.clock.speed = self.options.speed
        self.clock.latency_scale = self.options.latency_scale
        return self.options

    @contextmanager
    def in_flight(self) -> Iterator[anyio.CancelScope]:
        """A cancel scope for one call. `close()` cancels it."""
        with anyio.CancelScope() as scope:
            self._in_flight.add(scope)
            try:
                yield scope
            finally:
                self._in_flight.discard(scope)

    @property
    def calls_in_flight(self) -> int:
        return len(self._in_flight)

    def close(self) -> None:
        """Cancel all calls in flight, so that the server can stop without waiting for slow answers."""
        for scope in tuple(self._in_flight):
            scope.cancel()
