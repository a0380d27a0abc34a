"""Budgets: an attempt holds money before its paid calls, and a worker checks the total before it claims.

An attempt holds the highest cost it may have. The hold is a column of its job and counts while the attempt runs. Each
paid call moves its cost from the hold to the ledger. A site whose budget is used up is paused and resumes by itself.
When the total budget is used up, every worker stops claiming paid stages within a second.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from blogworker.db.pool import Runner


@dataclass(frozen=True, slots=True)
class Budget:
    """Whether the total budget allows claims of stages that cost money, and which stages a person has paused."""

    resumed: int = 0  # sites whose pause ended with this check
    stop_reason: str | None = None  # None: claims are allowed
    stopped_s: float = 0.0  # seconds until claims are allowed again
    paused: frozenset[str] = frozenset()  # stages


ALLOWED = Budget()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an attempt may not spend now."""

    scope: Literal["site", "fleet"]
    reason: str
    newly: bool  # the first refusal since the budget was last below its limit


async def check_budgets(database: Runner, *, now: datetime | None = None) -> Budget:
    """Resume the sites whose pause is over, and return the total budget. Any worker may call this at any time."""
    row = await database.one("spend/check_budgets", now=now)
    return Budget(row["resumed"], row["stop_reason"], row["stopped_s"], frozenset(row["paused_stages"]))
