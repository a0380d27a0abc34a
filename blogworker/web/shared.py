"""Answers that many callers share, so that fifty viewers cost the database as much as one."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

from anyio import CancelScope, Lock, fail_after

T = TypeVar("T")
LONGEST_S = 300.0
READ_S = 10.0
ERROR_S = 1.0


class Shared(Generic[T]):
    """The result of `read`, at most `fresh_s` seconds old. Only one call of `read` runs at a time.

    `share`: if `read` is slow, its result is kept longer, so that it runs for at most this part of all time; at most
    `LONGEST_S`, so that the result of a busy moment does not stay.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], *, fresh_s: float, share: float = 1.0) -> None:
        self._read = read
        self._share = share
        self._fresh_s = self._usual_s = fresh_s
        self._lock = Lock()
        self._error: tuple[float, Exception] | None = None
        self._found: tuple[float, T] | None = None

    async def get(self) -> T:
        """Return the result. An error of `read` is raised in each caller, for a second. Raises TimeoutError."""
        if (found := self._current()) is not None:
            return found[1]
        async with self._lock:
            if self._error is not None and monotonic() - self._error[0] < ERROR_S:
                raise self._error[1]
            if (found := self._current()) is None:
                began = monotonic()
                try:
                    # Shielded: when this caller leaves, the others still want the result.
                    with CancelScope(shield=True), fail_after(READ_S):
                        value = await self._read()
                except Exception as error:
                    self._error = (monotonic(), error)
                    raise
                ended = monotonic()
                self._fresh_s = min(LONGEST_S, max(self._usual_s, (ended - began) / self._share))
                found = self._found = (ended, value)
            return found[1]

    def _current(self) -> tuple[float, T] | None:
        found = self._found
        return found if found is not None and monotonic() - found[0] < self._fresh_s else None
