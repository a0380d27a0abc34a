"""Run the stages for one post without the queue, and show the result.

A preview uses the fleet's quotas and does not change their limits. Its cost is recorded for its site.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from blogworker.daemon.clients import open_clients
from blogworker.daemon.pacing import buckets
from blogworker.db.grants import WORKER
from blogworker.db.loaders import Unreadable
from blogworker.db.pool import Database
from blogworker.db.readiness import require_ready
from blogworker.errors import SettingsError
from blogworker.queue.job import Claim, Stage
from blogworker.queue.validation import NewJob
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings
from blogworker.spend.ledger import record_usage
from blogworker.stages.checkpoint import POSTS_READ, related_posts
from blogworker.stages.preview import Preview, Recalled, Say, Unguarded, UnqueuedCheckpoints, preview
from blogworker.stages.work import Related, Work


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What to preview."""

    job: NewJob
    facts: Mapping[str, str] = field(default_factory=dict)  # settings that replace the site's stored settings
    illustrated: bool = True


async def run(settings: Settings, request: PreviewRequest, *, say: Say) -> Preview:
    """Make the post, and write nothing but its cost. Raises DatabaseNotReady before anything is paid for."""
    site = request.job.instance_id
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database, application="blogworker preview"))
        async with database.connection() as connection:
            await require_ready(connection, needs=WORKER)
        limiter = Limiter(database, buckets(settings))
        await limiter.start_as_guest()
        clients = await stack.enter_async_context(
            open_clients(settings, limiter, connections=1, illustrated=request.illustrated)
        )
        stored_site = await database.one("stages/site", instance_id=site)

        tags = await database.rows("stages/site_tags", instance_id=site, job_id=0, posts=POSTS_READ)

        async def library(terms: Mapping[str, int], language: str | None) -> list[Related]:
            return await related_posts(database, site, terms, language=language)

        kept = UnqueuedCheckpoints(
            partial(record_usage, database, site), tags=[row["tag"] for row in tags], library=library
        )
        cache = Recalled(database, product_s=settings.wix.product_ttl, ideas_s=settings.openai.ideas_ttl)
        stored = stored_site["settings"] or {}
        if isinstance(stored, Unreadable):
            raise SettingsError(f"the settings of site {site} cannot be read: {stored.reason}. Correct them with SQL")
        claim = _claim(request.job, site=stored | dict(request.facts), now=stored_site["now"])
        return await preview(
            Work(claim, kept, clients, limiter, settings.openai, Unguarded(), cache),
            kept,
            illustrated=request.illustrated,
            retry_base_s=settings.worker.retry_base,
            retry_cap_s=settings.worker.retry_cap,
            say=say,
        )


def _claim(job: NewJob, *, site: dict[str, Any], now: Any) -> Claim:
    """Return a claim as a worker would have it. The id 0 belongs to no job."""
    return Claim(
        job_id=0,
        instance_id=job.instance_id,
        attempt=1,
        failures=0,
        max_attempts=1,
        stage=Stage.SOURCE,
        source_type=job.source_type,
        source_id=job.source_id,
        source_data=job.source_data,
        site=site,
        created_at=now,
        publish_in_s=None,
    )
