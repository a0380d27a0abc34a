"""Budgets: an attempt holds money before it pays, and a worker checks the total before it claims.

An attempt holds the most that it may cost. The hold is a column of its job. It counts while that attempt runs; each
payment moves its amount from the hold to the ledger. A site whose budget is used up is paused and resumes by itself.
When the total budget is used up, every worker stops claiming paid stages within a second.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from blogworker.db.pool import Runner


@dataclass(frozen=True, slots=True)
class Budget:
    """Whether the total budget allows claims of stages that cost money."""

    resumed: int = 0  # sites whose pause ended with this check
    stop_reason: str | None = None  # None: claims are allowed
    stopped_s: float = 0.0  # seconds until claims are allowed again


ALLOWED = Budget()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an attempt may not spend now."""

    scope: Literal["site", "fleet"]
    reason: str
    newly: bool  # the first refusal since the budget last had room


async def check_budgets(database: Runner, *, now: datetime | None = None) -> Budget:
    """Resume the sites whose pause is over, and report the total budget. Any worker may do this at any time."""
    row = await database.one("spend/check_budgets", now=now)
    return Budget(row["resumed"], row["shut_reason"], row["shut_s"])
