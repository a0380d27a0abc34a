"""Helpers of the tests of failures at Wix."""

from .conftest import SITE

OTHERS = [f"{n}2222222-2222-3333-4444-555555555555" for n in range(4)]
CREATE, PUBLISH = "drafts.create", "drafts.publish"


async def shown(harness, site=SITE) -> int:
    return len(await harness.room.posts(site))


async def spotless(harness) -> bool:
    wix = (await harness.room.stats())["wix"]
    return (wix["duplicate_drafts"], wix["duplicate_posts"]) == (0, 0)


async def paused(harness) -> set[str]:
    return {
        row["instance_id"] for row in await harness.run("select instance_id from sites where paused_at is not null")
    }
