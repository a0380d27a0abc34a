"""The buckets that calls are charged to, the turns that clients wait for, and what claims need to know of both.

A permit is asked for by the stage where a call costs money: texts, pictures. The many small calls around them, looks at
a prediction and everything about a Wix site, wait for their turns inside the clients, which know nothing of quotas.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from blogworker.providers.http import Pace, SitePace
from blogworker.queue.claim import Pacing
from blogworker.queue.job import Stage
from blogworker.quota.bucket import Bucket
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings
from blogworker.stages.catalog import CATALOG, OPENAI, PREDICTIONS, READS, REPLICATE, WIX, paid_calls, text_quota

# Wix counts the calls to a site by the minute, and whose minute it is nobody knows: in none may there be more. Three
# quarters of the limit a minute, and a quarter minute's worth of that at once, make 15/16 of it in the busiest minute
# (188 of 200). A post needs about ten calls, so four start at once without waiting; what is left over is for calls
# that take longer to get there than others.
SITE_RATE = 3 / 4
SITE_BURST_S = 15.0
SITE_CALLS = 9  # that a post takes, without the list of categories, which is read once an hour
MEMORY = 10  # a stage's average is about this many of its last blogs


def buckets(settings: Settings) -> dict[str, Bucket]:
    """The quotas that are known from the start, by what callers ask for: one a text model, two of Replicate. Which of
    them are one, and whose, is in the bucket's own name."""
    openai, replicate = settings.openai, settings.replicate
    texts = {text_quota(model): Bucket(openai.bucket(model), OPENAI, openai.rpm, openai.tpm) for model in openai.models}
    return {
        **texts,
        PREDICTIONS: Bucket(replicate.bucket("predictions"), REPLICATE, replicate.rpm, None),
        READS: Bucket(replicate.bucket("reads"), REPLICATE, replicate.reads_rpm, None),
    }


def site_bucket(instance_id: str, *, rpm: int) -> Bucket:
    """The share of Wix's limit for one site that the fleet uses."""
    return Bucket(f"wix/{instance_id}", WIX, int(SITE_RATE * rpm), None, SITE_BURST_S)


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


class StageTimes:
    """How long each stage takes on this worker, without its waits for quotas: a moving average in seconds.

    The first guesses are low: until the first blogs have been measured too few run, and a quota may idle for moments.
    The first blog measured replaces the guess: a worker sees few of the blogs, and if each took a tenth of the guess
    away, a narrow quota was used to two thirds for minutes.
    """

    def __init__(self) -> None:
        self._seconds = {stage: needs.guess_s for stage, needs in CATALOG.items()}
        self._measured: Counter[Stage] = Counter()

    def took(self, stage: Stage, seconds: float) -> None:
        self._measured[stage] += 1
        self._seconds[stage] += (max(0.0, seconds) - self._seconds[stage]) / min(self._measured[stage], MEMORY)

    def leads(self) -> list[float]:
        """Seconds from the start of a blog to that of each stage, and to its end."""
        leads = [0.0]
        for stage in Stage:
            leads.append(leads[-1] + self._seconds[stage])
        return leads


def pacing(settings: Settings, times: StageTimes) -> Pacing:
    """What a claim has to know about the quotas, with the stage times measured so far."""
    calls = [paid_calls(settings.openai, settings.replicate).get(stage) for stage in Stage]
    return Pacing(
        buckets=[call.bucket if call else None for call in calls],
        tokens=[call.tokens if call else 0 for call in calls],
        leads=times.leads(),
        patience_s=settings.worker.quota_patience,
        site_rpm=site_bucket("", rpm=settings.wix.rpm).requests_per_minute if settings.wix.configured else None,
        site_calls=SITE_CALLS,
    )
