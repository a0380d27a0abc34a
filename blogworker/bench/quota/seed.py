"""The limiter of the system before this one: each process by itself, a sliding minute of requests and estimates."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import Lock, current_time, sleep

WIDTH = 50  # blogs of one sub-batch, all of which end before the next begins


class SeedLimiter:
    """What was estimated is never corrected, and what other processes take is not seen."""

    def __init__(self, *, requests: int, tokens: int, minute_s: float) -> None:
        self._requests = requests
        self._tokens = tokens
        self._minute_s = minute_s
        self._taken: deque[tuple[float, int]] = deque()
        self._lock = Lock()

    @asynccontextmanager
    async def permit(self, tokens: int) -> AsyncIterator[None]:
        async with self._lock:  # first come, first served
            while (wait_s := self._wait_s(tokens)) > 0:
                await sleep(wait_s)
            self._taken.append((current_time(), tokens))
        yield

    def _wait_s(self, tokens: int) -> float:
        now = current_time()
        while self._taken and now - self._taken[0][0] >= self._minute_s:
            self._taken.popleft()
        used = sum(taken for _, taken in self._taken)
        if len(self._taken) < self._requests and used + tokens <= self._tokens:
            return 0.0
        return self._minute_s - (now - self._taken[0][0])
