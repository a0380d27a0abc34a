"""Budgets: asked before an attempt pays, and looked at before a worker claims.

An attempt reserves what it may cost at the most; the reservation is a note on its job, which counts while that attempt
runs and is replaced by what it really paid, in the ledger, as it pays. A site without room is paused and comes back by
itself; the total budget without room shuts a gate that every worker looks at once a second.
"""

from dataclasses import dataclass
from datetime import datetime

from blogworker.db.pool import Runner


@dataclass(frozen=True, slots=True)
class Budget:
    """Whether the total budget lets anything be claimed that costs money."""

    resumed: int = 0  # sites whose pause was ended by this look
    shut_reason: str | None = None  # None: open
    shut_s: float = 0.0  # until it opens by itself


OPEN = Budget()


async def look(database: Runner, *, now: datetime | None = None) -> Budget:
    """End the pauses whose time has come; tell of the total. Any worker may, at any time."""
    row = await database.one("queue/budget_tick", now=now)
    return Budget(row["resumed"], row["shut_reason"], row["shut_s"])
