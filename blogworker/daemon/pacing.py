"""The buckets that calls are charged to, and the turns that clients wait for.

A permit is asked for by the stage where a call costs money: texts, pictures. The many small calls around them, looks at
a prediction and everything about a Wix site, wait for their turns inside the clients, which know nothing of quotas.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from blogworker.providers.http import Pace, SitePace
from blogworker.queue.job import Stage
from blogworker.quota.bucket import Bucket
from blogworker.quota.limiter import Limiter
from blogworker.settings import OpenAISettings, Settings

PREDICTIONS = "replicate/predictions"
READS = "replicate/reads"
# Wix counts the calls to a site by the minute, and whose minute it is nobody knows: in none may there be more. Three
# quarters of the limit a minute, and a quarter minute's worth of that at once, make 15/16 of it in the busiest minute
# (188 of 200). A post needs about ten calls, so four start at once without waiting; what is left over is for calls
# that take longer to get there than others.
SITE_RATE = 3 / 4
SITE_BURST_S = 15.0


def buckets(settings: Settings) -> dict[str, Bucket]:
    """The quotas that are known from the start, by what callers ask for: one a text model, two of Replicate. Which of
    them are one, and whose, is in the bucket's own name."""
    openai, replicate = settings.openai, settings.replicate
    texts = {
        f"openai/{model}": Bucket(openai.bucket(model), "openai", openai.rpm, openai.tpm) for model in openai.models
    }
    return {
        **texts,
        PREDICTIONS: Bucket(replicate.bucket("predictions"), "replicate", replicate.rpm, None),
        READS: Bucket(replicate.bucket("reads"), "replicate", replicate.reads_rpm, None),
    }


def stage_buckets(settings: OpenAISettings) -> dict[str, str]:
    """The names of the quotas whose block stops a stage. A source is for the ideas that follow at once."""
    ideas, content = settings.bucket(settings.ideas_model), settings.bucket(settings.content_model)
    return {Stage.SOURCE: ideas, Stage.IDEAS: ideas, Stage.CONTENT: content}


def site_bucket(instance_id: str, *, rpm: int) -> Bucket:
    """The share of Wix's limit for one site that the fleet uses."""
    return Bucket(f"wix/{instance_id}", "wix", int(SITE_RATE * rpm), None, SITE_BURST_S)


def read_pace(limiter: Limiter) -> Pace:
    return partial(limiter.permit, READS)


def site_pace(limiter: Limiter, *, rpm: int) -> SitePace:
    """A bucket a site, made when the site is first called."""

    @asynccontextmanager
    async def turn(instance_id: str) -> AsyncIterator[None]:
        bucket = site_bucket(instance_id, rpm=rpm)
        await limiter.ensure(bucket)
        async with limiter.permit(bucket.name):
            yield

    return turn
