"""Helpers of the tests of paced claims.

Figures are chosen for slow machines: a patience of minutes, buckets of a call every ten seconds.
"""

from collections import Counter
from dataclasses import replace

from blogworker.queue.claim import Claimed, Pacing
from blogworker.queue.job import Stage

PATIENCE_S = 100.0
IDEAS, CONTENT, IMAGE = "openai/small", "openai/large", "replicate/predictions"
BUCKETS = [None, IDEAS, CONTENT, IMAGE, None]
# The lead to content is short, the one to its picture long: content is the narrow bucket, wherever its pace is set.
PACING = Pacing(buckets=BUCKETS, tokens=[0] * 5, leads=[0, 0, 100, 200, 300, 400], patience_s=PATIENCE_S)
UNLIMITED = replace(PACING, buckets=[None] * 5)


async def look_again_at_all(psql) -> None:
    """End the moment for which a site without a startable job is out of line."""
    await psql.run("update sites set capped_until = now() where capped_until is not null")


def stages(found: Claimed) -> Counter[Stage]:
    return Counter(c.stage for c in found.claims)


def sites(found: Claimed) -> Counter[str]:
    return Counter(c.instance_id for c in found.claims)
