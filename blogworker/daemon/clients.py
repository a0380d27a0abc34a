"""Open the provider clients that a job needs, each with the pace that its quotas allow."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial

from anyio import to_thread

from blogworker.daemon.pacing import read_pace, site_pace
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings
from blogworker.stages.work import Clients


@asynccontextmanager
async def open_clients(
    settings: Settings, limiter: Limiter, *, connections: int, illustrated: bool = True
) -> AsyncIterator[Clients]:
    """Keep the clients open during the block. Without `illustrated`, do not open the client for pictures."""
    from blogworker.providers.openai import OpenAIClient
    from blogworker.providers.replicate import ReplicateClient
    from blogworker.providers.wix.client import WixClient

    picture_client = ReplicateClient(settings.replicate, connections=connections, pace=read_pace(limiter))
    sites = site_pace(limiter, rpm=settings.wix.rpm)
    async with (
        OpenAIClient(settings.openai, connections=connections) as openai,
        picture_client if illustrated else nullcontext(picture_client) as replicate,
        WixClient(settings.wix, connections=connections, pace=sites)
        if settings.wix.configured
        else nullcontext() as wix,
    ):
        yield Clients(openai=openai, replicate=replicate, wix=wix)


def import_sdks() -> None:
    """Import the SDKs of the providers, which takes most of the time that a worker needs to start."""
    import blogworker.providers.openai
    import blogworker.providers.replicate  # noqa: F401


class OpeningClients:
    """The clients of a worker, opened after it has registered its lease and before its first claim: a restarted worker
    takes its jobs back first.

    Entering it opens nothing; `open` does. They stay open until it is left.
    """

    def __init__(self, settings: Settings, limiter: Limiter) -> None:
        self._open = partial(open_clients, settings, limiter, connections=settings.worker.concurrency)
        self._stack = AsyncExitStack()
        self._clients: Clients | None = None

    async def __aenter__(self) -> "OpeningClients":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def open(self) -> None:
        """Open the clients, unless they are open."""
        if self._clients is None:
            await to_thread.run_sync(import_sdks)
            self._clients = await self._stack.enter_async_context(self._open())

    @property
    def opened(self) -> Clients:
        """Return the clients. Raises RuntimeError before `open`."""
        if self._clients is None:
            raise RuntimeError("the clients of the providers are not open")
        return self._clients
