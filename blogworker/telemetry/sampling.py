"""Limits the lines of an event that may come thousands of times per second."""

from time import monotonic


class Sampler:
    """Admits `most` lines per second, and counts those that it does not admit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._second = 0.0
        self._admitted = 0
        self.unlogged = 0  # since the last line that was admitted

    def admits(self) -> bool:
        """Return whether this line may be written. If so, it should tell `unlogged`, which then starts at 0 again."""
        if (now := monotonic()) - self._second >= 1:
            self._second, self._admitted = now, 0
        if self._admitted == self._most:
            self.unlogged += 1
            return False
        self._admitted += 1
        return True

    def take_unlogged(self) -> int | None:
        """Return how many lines were not admitted since the last one; None: all were."""
        unlogged, self.unlogged = self.unlogged, 0
        return unlogged or None
