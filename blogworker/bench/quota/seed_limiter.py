"""The limiter of the seed: a sliding minute of requests and estimated tokens, in each process."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import Lock, current_time, sleep

BATCH = 50  # jobs that all end before the next batch starts


class SeedLimiter:
    """It does not correct estimates by the real usage, and does not know of other processes."""

    def __init__(self, *, requests: int, tokens: int, minute_s: float) -> None:
        self._requests = requests
        self._tokens = tokens
        self._minute_s = minute_s
        self._taken: deque[tuple[float, int]] = deque()
        self._lock = Lock()

    @asynccontextmanager
    async def permit(self, tokens: int) -> AsyncIterator[None]:
        async with self._lock:  # in the order of arrival
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
