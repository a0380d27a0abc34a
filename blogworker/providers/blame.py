"""Decides whether an input was refused because of one job, or because of what we send with every job.

If the refusal names a field that has the same value for every job, every job would fail. Then the error becomes
Misconfigured, the circuit breaker opens, and no job loses an attempt. A refusal that names no field is attributed to
the job, unless inputs of several jobs are refused in a row.
"""

from anyio import current_time

from blogworker.errors import Misconfigured, ProviderError, Rejected
from blogworker.providers import http

IN_A_ROW = 3
RECENT_S = 600.0


class Blame:
    """One per client. `presumed_ours`: attribute a refusal that names no field to us if no input was accepted recently,
    because only a small part of the input comes from the job."""

    def __init__(self, provider: str, *, presumed_ours: bool = False) -> None:
        self._provider = provider
        self._presumed_ours = presumed_ours
        self._accepted_at: float | None = None
        self._refused: set[str] = set()

    def accepted(self) -> None:
        """Note that an input was accepted, so the part that all inputs share is valid."""
        self._accepted_at = current_time()
        self._refused.clear()

    def attributed(self, error: ProviderError, *, ours: bool | None, job: str) -> ProviderError:
        """Return the error, or a Misconfigured error instead. `ours`: whether the refusal names one of our fields, None
        if it names no field. `job`: any value that differs between jobs, or sites."""
        if type(error) is not Rejected or error.status not in http.REFUSED_INPUT:
            return error
        if ours is None:
            if len(self._refused) < IN_A_ROW:
                self._refused.add(job)
            ours = len(self._refused) >= IN_A_ROW or (self._presumed_ours and not self._accepted_recently())
        if not ours:
            return error
        return Misconfigured(
            f"{self._provider} refuses what is sent with every job, so the settings or this program are wrong: "
            f"{error.args[0]}",
            provider=error.provider,
            status=error.status,
            code=error.code or "refused_input",
            request_id=error.request_id,
        )

    def _accepted_recently(self) -> bool:
        return self._accepted_at is not None and current_time() - self._accepted_at < RECENT_S
