"""How often notifications wake the claim loop."""

from collections.abc import Callable

from anyio import move_on_after

from blogworker.queue.notify import Flag

WAKE_S = 0.1  # after a wake-up that found no job; shorter than the time in which the claim loop then polls by itself


class WakeUps:
    """`work`: the flag that notifications set. `wake` is called for it.

    Notifications arrive at any rate, so a wake-up that finds no job delays the next.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.work = Flag()
        self._found = Flag()

    async def wake_once(self) -> None:
        """Wait for a notification and wake the claim loop. Return when the next may follow."""
        await self.work.wait_and_clear()
        self._found = Flag()
        self._wake()
        with move_on_after(WAKE_S):
            await self._found.wait_and_clear()

    def note_found(self) -> None:
        """A claim has found jobs."""
        self._found.set()
