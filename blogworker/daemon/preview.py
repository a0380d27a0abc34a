"""Builds the world for one blog that is not queued, and makes it there.

It is a guest of the fleet: it waits for the fleet's quota, whose limits it leaves as they are, and what it spends is
counted under its site.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from blogworker.daemon.clients import opened_vendors
from blogworker.daemon.pacing import buckets
from blogworker.db.fit import require_fit
from blogworker.db.grants import WORKER
from blogworker.db.loaders import Unreadable
from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.queue.job import Claim, Stage
from blogworker.queue.validation import NewBlog
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings
from blogworker.spend.ledger import record_usage
from blogworker.stages.checkpoint import POSTS_LOOKED_AT, related_posts
from blogworker.stages.preview import Preview, Recalled, Say, Unguarded, UnqueuedCheckpoints, preview
from blogworker.stages.work import Related, Work


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be shown."""

    blog: NewBlog
    facts: Mapping[str, str] = field(default_factory=dict)  # of the site, laid over those it has
    illustrated: bool = True


async def run(settings: Settings, wish: Wish, *, say: Say) -> Preview:
    """Make the blog; write nothing but its spend. Raises DatabaseUnready before anything is paid for."""
    site = wish.blog.instance_id
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database, application="blogworker preview"))
        async with database.connection() as connection:
            await require_fit(connection, needs=WORKER)
        limiter = Limiter(database, buckets(settings))
        await limiter.join()
        vendors = await stack.enter_async_context(
            opened_vendors(settings, limiter, connections=1, illustrated=wish.illustrated)
        )
        told = await database.one("stages/site", instance_id=site)

        tags = await database.rows("stages/site_tags", instance_id=site, job_id=0, posts=POSTS_LOOKED_AT)

        async def library(terms: Mapping[str, int], language: str | None) -> list[Related]:
            return await related_posts(database, site, terms, language=language)

        kept = UnqueuedCheckpoints(
            partial(record_usage, database, site), tags=[row["tag"] for row in tags], library=library
        )
        cache = Recalled(database, product_s=settings.wix.product_ttl, ideas_s=settings.openai.ideas_ttl)
        stored = told["settings"] or {}
        if isinstance(stored, Unreadable):
            raise SettingsError(f"the settings of site {site} cannot be read: {stored.reason}. Correct them with SQL")
        claim = _claim(wish.blog, site=stored | dict(wish.facts), now=told["now"])
        return await preview(
            Work(claim, kept, vendors, limiter, settings.openai, Unguarded(), cache),
            kept,
            illustrated=wish.illustrated,
            retry_base_s=settings.worker.retry_base,
            retry_cap_s=settings.worker.retry_cap,
            say=say,
        )


def _claim(blog: NewBlog, *, site: dict[str, Any], now: Any) -> Claim:
    """As a worker would have claimed it, but for its number, which is no job's."""
    return Claim(
        job_id=0,
        instance_id=blog.instance_id,
        attempt=1,
        failures=0,
        max_attempts=1,
        stage=Stage.SOURCE,
        source_type=blog.source_type,
        source_id=blog.source_id,
        source_data=blog.source_data,
        site=site,
        created_at=now,
        publish_in_s=None,
    )
