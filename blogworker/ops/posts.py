"""Posts: find those that a person wants to read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from blogworker.db.pool import Database
from blogworker.ops.records import PostSummary, records
from blogworker.ops.sites import require_site

By = Literal["newest", "worst", "sample"]


@dataclass(frozen=True, slots=True)
class PostChoice:
    """Which posts to find. A post has to match everything that is given."""

    job_ids: Sequence[int] | None  # None: of jobs that finished within `within_s` seconds
    instance_id: str | None
    within_s: float
    drafts: bool  # only posts that are drafts on their site
    by: By
    most: int


async def find_posts(database: Database, choice: PostChoice) -> list[PostSummary]:
    """Return the posts, without their texts. Raises SettingsError when the site is unknown."""
    await require_site(database, choice.instance_id)
    return records(PostSummary, await database.rows("ops/posts_to_review", **asdict(choice)))
