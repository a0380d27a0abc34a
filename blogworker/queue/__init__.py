"""The queue: rows of `blog_generations`, from enqueue to their end.

    SCHEDULED --promote--> PENDING --claim--> PROCESSING --settle--> DONE | FAILED | CANCELLED
        ^---- retry, wait, publish later ----------'  '--release, rescue--> PENDING

The database refuses every other move (`sql/migrations/0001_queue.sql`). A claim is fair over the sites
(`claim.py`), good while its worker's lease is extended (`lease.py`), and fenced by its attempt in every write.
"""

from blogworker.queue.job import Claim, Outcome, Stage, Status
from blogworker.queue.newblog import NewBlog

__all__ = ["Claim", "NewBlog", "Outcome", "Stage", "Status"]
