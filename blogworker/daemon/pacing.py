"""The buckets of the providers, the pace of the clients, and the needs of quota that a claim considers.

For calls that cost money (texts, pictures) the stage itself takes a permit. For the many small calls (reads of a
prediction, all calls to a Wix site) the client waits through a callback, so clients do not depend on the quota package.
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

# Wix counts calls per site and minute, and does not say when its minute starts. So no 60 seconds may exceed the limit.
# A rate of 3/4 of the limit with a burst of 15 s makes at most 15/16 of the limit in any minute (188 of 200). The rest
# is a margin for calls that arrive late. A post needs about ten calls, so four posts can start without waiting.
SITE_RATE = 3 / 4
SITE_BURST_S = 15.0
# Calls that are granted in advance start up to two seconds late. That is at most five calls of the margin, and so many
# calls of another worker may follow a 429.
SITE_SPARES = 4
SITE_CALLS = 9  # calls per post, without the list of categories, which is read once per hour
AVERAGED_JOBS = 10  # a stage's average covers about this many jobs


def buckets(settings: Settings) -> dict[str, Bucket]:
    """Return the buckets known at the start, by the key that callers use: one per text model, two of Replicate.

    Several keys may share one bucket: the bucket's name says which account and model family it belongs to.
    """
    openai, replicate = settings.openai, settings.replicate
    texts = {text_quota(model): Bucket(openai.bucket(model), OPENAI, openai.rpm, openai.tpm) for model in openai.models}
    return {
        **texts,
        PREDICTIONS: Bucket(replicate.bucket("predictions"), REPLICATE, replicate.rpm, None),
        READS: Bucket(replicate.bucket("reads"), REPLICATE, replicate.reads_rpm, None),
    }


def site_bucket(instance_id: str, *, rpm: int) -> Bucket:
    """Return the bucket of one site: the part of Wix's limit per site that the fleet uses."""
    return Bucket(f"wix/{instance_id}", WIX, int(SITE_RATE * rpm), None, SITE_BURST_S)


def read_pace(limiter: Limiter) -> Pace:
    """Return what Replicate's client waits for before each read."""
    return partial(limiter.permit, READS)


def site_pace(limiter: Limiter, *, rpm: int) -> SitePace:
    """Return what the Wix client waits for before each call: one bucket per site, created at the first call."""

    @asynccontextmanager
    async def turn(instance_id: str) -> AsyncIterator[None]:
        bucket = site_bucket(instance_id, rpm=rpm)
        await limiter.ensure(bucket)
        async with limiter.permit(bucket.name, spares=SITE_SPARES):
            yield

    return turn


class StageTimes:
    """The moving average of each stage's duration on this worker, in seconds, without waits for quotas.

    The initial guesses are low, so until the first jobs are measured too few run, and a quota may be idle briefly. The
    first measurement replaces the guess completely: when each job changed the guess by a tenth only, a narrow quota was
    used to two thirds for minutes, because one worker runs few jobs.
    """

    def __init__(self) -> None:
        self._seconds = {stage: needs.guess_s for stage, needs in CATALOG.items()}
        self._measured: Counter[Stage] = Counter()

    def took(self, stage: Stage, seconds: float) -> None:
        """Record the duration of one stage."""
        self._measured[stage] += 1
        self._seconds[stage] += (max(0.0, seconds) - self._seconds[stage]) / min(self._measured[stage], AVERAGED_JOBS)

    def leads(self) -> list[float]:
        """Return the seconds from the start of a job to the start of each stage, and to the end of the job."""
        leads = [0.0]
        for stage in Stage:
            leads.append(leads[-1] + self._seconds[stage])
        return leads


def pacing(settings: Settings, times: StageTimes) -> Pacing:
    """Return the needs of quota for a claim, with the stage times measured so far."""
    calls = [paid_calls(settings.openai, settings.replicate).get(stage) for stage in Stage]
    return Pacing(
        buckets=[call.bucket if call else None for call in calls],
        tokens=[call.tokens if call else 0 for call in calls],
        leads=times.leads(),
        patience_s=settings.worker.quota_patience,
        site_rpm=site_bucket("", rpm=settings.wix.rpm).requests_per_minute if settings.wix.configured else None,
        site_calls=SITE_CALLS,
    )
