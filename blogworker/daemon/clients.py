"""What making a blog needs of the world: the vendors' clients, each with the turns it has to wait for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from blogworker.daemon.pacing import read_pace, site_pace
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.wix.client import WixClient
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings
from blogworker.stages.work import Vendors


@asynccontextmanager
async def opened_vendors(
    settings: Settings, limiter: Limiter, *, connections: int, illustrated: bool = True
) -> AsyncIterator[Vendors]:
    """The clients, open as long as the block; that of the pictures only where there are to be any."""
    painter = ReplicateClient(settings.replicate, connections=connections, pace=read_pace(limiter))
    sites = site_pace(limiter, rpm=settings.wix.rpm)
    async with (
        OpenAIClient(settings.openai, connections=connections) as openai,
        painter if illustrated else nullcontext(painter) as replicate,
        WixClient(settings.wix, connections=connections, pace=sites)
        if settings.wix.configured
        else nullcontext() as wix,
    ):
        yield Vendors(openai=openai, replicate=replicate, wix=wix)
