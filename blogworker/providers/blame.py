"""Decides whether a refused input is one blog's fault, or the fault of what we send with every blog.

If the refusal names a field that every blog has the same, every blog would fail: the error becomes Misconfigured, the
breaker opens, nothing more is bought and no blog loses an attempt. A refusal that names no field is the blog's own
fault, unless several different blogs are refused in a row with none accepted between them.
"""

from anyio import current_time

from blogworker.errors import Misconfigured, ProviderError, Rejected
from blogworker.providers import http

IN_A_ROW = 3
LATELY_S = 600.0


class Blame:
    """One per client. `presumed_ours`: a refusal that names no field is ours if no input was accepted recently, because
    little of what is sent comes from the blog."""

    def __init__(self, provider: str, *, presumed_ours: bool = False) -> None:
        self._provider = provider
        self._presumed_ours = presumed_ours
        self._taken_at: float | None = None
        self._refused: set[str] = set()

    def taken(self) -> None:
        """Note that an input was accepted: what all inputs have in common is right."""
        self._taken_at = current_time()
        self._refused.clear()

    def judged(self, error: ProviderError, *, ours: bool | None, blog: str) -> ProviderError:
        """The error, or Misconfigured in its place. `ours`: whether the refusal names a field of ours, None if it names
        no field; `blog`: any value that differs between blogs, or sites."""
        if type(error) is not Rejected or error.status not in http.REFUSED_INPUT:
            return error
        if ours is None:
            if len(self._refused) < IN_A_ROW:
                self._refused.add(blog)
            ours = len(self._refused) >= IN_A_ROW or (self._presumed_ours and not self._lately())
        if not ours:
            return error
        return Misconfigured(
            f"{self._provider} refuses what is sent with every blog, so the settings or this program are at fault: "
            f"{error.args[0]}",
            provider=error.provider,
            status=error.status,
            code=error.code or "refused_input",
            request_id=error.request_id,
        )

    def _lately(self) -> bool:
        return self._taken_at is not None and current_time() - self._taken_at < LATELY_S
