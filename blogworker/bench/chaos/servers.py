"""The Postgres of an experiment: a primary, a synchronous standby, and the proxy, which leads to the primary."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from anyio import CancelScope, Lock, current_time, sleep
from anyio.to_thread import run_sync

from blogworker.bench.chaos.proxy import HOST, Proxy, running_proxy
from blogworker.bench.environment.pair import Pair, running_pair

STORM_EVERY_S = 0.25


class Servers:
    """The two servers and the proxy, and what can happen to them. A fault waits for the end of the one before."""

    def __init__(self, pair: Pair, proxy: Proxy) -> None:
        self._pair = pair
        self._fault = Lock()  # a server that is crashed while it refuses writes would go on doing so
        self.proxy = proxy
        self.dsn = pair.dsn  # of the primary, whichever it is, without the proxy

    @property
    def proxied_dsn(self) -> str:
        place = self._pair.primary.place
        return f"postgresql://postgres:{place.password}@{HOST}:{self.proxy.port}/postgres?sslmode=disable"

    async def crash(self) -> None:
        """Restart the primary as after a crash."""
        await self._restart("immediate", 0.0)

    async def go_away(self, seconds: float) -> None:
        """Stop the primary in an orderly way, and start it again after some seconds."""
        await self._restart("fast", seconds)

    async def _restart(self, mode: str, down_s: float) -> None:
        async with self._fault:
            await run_sync(partial(self._pair.primary.server.restart, mode, down_s=down_s))
            await run_sync(self._pair.wait_for_standby)  # else a failover right after it would lose history

    async def fail_over(self) -> None:
        """Crash the primary and promote the standby. Then make the crashed server a synchronous standby."""
        async with self._fault:
            with CancelScope(shield=True):
                self._pair = await run_sync(self._pair.failover)
                self.proxy.set_target(self._pair.primary.port)
                await run_sync(self._pair.standby.become_standby_of, self._pair.primary)
                await run_sync(self._pair.make_synchronous)

    async def terminate_all(self, seconds: float) -> None:
        """End every session again and again, as the restart of a pooler does."""
        async with self._fault:
            end = current_time() + seconds
            while current_time() < end:
                await run_sync(self._pair.primary.end_sessions, "postgres")
                await sleep(STORM_EVERY_S)

    async def refuse_writes(self, seconds: float) -> None:
        """Let the primary refuse every write, as one that was demoted does. Sessions stay connected."""
        async with self._fault:
            with CancelScope(shield=True):
                await run_sync(self._pair.primary.refuse_writes)
                await sleep(seconds)
                await run_sync(self._pair.primary.accept_writes)


@asynccontextmanager
async def running_servers() -> AsyncIterator[Servers]:
    """Run both servers and the proxy during the block."""
    async with running_pair() as pair, running_proxy(pair.primary.port) as proxy:
        await run_sync(pair.make_synchronous)
        yield Servers(pair, proxy)
