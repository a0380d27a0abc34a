"""Statements that several sessions run at once, and their parameters."""

from typing import Any
from uuid import UUID

from blogworker.queue.claim import ALL, ClaimFilter, Pacing, Scan, _filter_parameters

PACING = Pacing(["openai/q"] * 2 + [None] * 3, [0] * 5, [0.0] * 6, patience_s=1.0, site_rpm=600, site_calls=2)
PACED = ClaimFilter(pacing=PACING)


def outcome(job_id: int, attempt: int, status: str = "DONE") -> dict[str, object]:
    return {"job_id": job_id, "attempt": attempt, "status": status, "delay_s": 0, "spent": False}


def asked(worker_id: UUID, only: ClaimFilter = ALL, *, slots: int = 100) -> dict[str, Any]:
    """The parameters of a claim."""
    return {"worker_id": worker_id, "slots": slots, "site_window": 10} | _filter_parameters(only, Scan())
