"""The queue: rows of `blog_generations`, from enqueue to their end.

    SCHEDULED --promote--> PENDING --claim--> PROCESSING --settle--> DONE | FAILED | CANCELLED
        ^---- publish later ------------------------'  '--wait, retry, release, rescue--> PENDING

SCHEDULED is what its owner put off. What waits for anything else is PENDING: in line (column `line`), or at rest until
`run_at` after a failure or a wait that a vendor named.

The database refuses every other move (`blog_generations_guard_update`). A claim is fair over the sites
(`claim.py`), good while its worker's lease is extended (`lease.py`), and fenced by its attempt in every write.
"""

from blogworker.queue.job import Claim, Outcome, Stage, Status
from blogworker.queue.validation import NewBlog

__all__ = ["Claim", "NewBlog", "Outcome", "Stage", "Status"]
