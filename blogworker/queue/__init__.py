"""The job queue: rows of `blog_generations`.

    SCHEDULED --promote--> PENDING --claim--> PROCESSING --settle--> DONE | FAILED | CANCELLED
        ^---- publish later ------------------------'  '--wait, retry, release, rescue--> PENDING

A SCHEDULED job waits for a time that its owner set. A PENDING job is *in line* (column `line`) and may be claimed, or
it *rests* until `run_at`, after a failure or for a wait that a provider named.

The database refuses every other transition (trigger `blog_generations_guard_update`). A claim is fair between sites
(`claim.py`). It is valid while its worker extends its lease (`lease.py`), and every write is fenced by the attempt.
"""

from blogworker.queue.job import Claim, Outcome, Stage, Status
from blogworker.queue.validation import NewJob

__all__ = ["Claim", "NewJob", "Outcome", "Stage", "Status"]
