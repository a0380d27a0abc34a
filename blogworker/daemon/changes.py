"""Wait for facts about state that other tasks change."""

from collections.abc import Callable

from anyio import Event


class Changes:
    """Whoever changes the state calls `note`, which costs little while nobody waits."""

    def __init__(self) -> None:
        self._changed = Event()
        self._waiting = 0

    def note(self) -> None:
        """The state has changed."""
        if self._waiting:
            self._changed.set()
            self._changed = Event()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait until `fact` returns True."""
        self._waiting += 1
        try:
            while not fact():
                await self._changed.wait()
        finally:
            self._waiting -= 1
