"""Open the provider clients that a job needs, each with the pace that its quotas allow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

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
