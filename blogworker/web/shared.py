"""Answers that many callers share, so that fifty viewers cost the database as much as one."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

from anyio import Lock

T = TypeVar("T")


class Shared(Generic[T]):
    """The result of `read`, at most `fresh_s` seconds old. Only one call of `read` runs at a time."""

    def __init__(self, read: Callable[[], Awaitable[T]], *, fresh_s: float) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._lock = Lock()
        self._found: tuple[float, T] | None = None

    async def get(self) -> T:
        """Return the result. An error of `read` is raised in each caller and not remembered."""
        if (found := self._current()) is not None:
            return found[1]
        async with self._lock:
            if (found := self._current()) is None:
                value = await self._read()
                found = self._found = (monotonic(), value)
            return found[1]

    def _current(self) -> tuple[float, T] | None:
        found = self._found
        return found if found is not None and monotonic() - found[0] < self._fresh_s else None
