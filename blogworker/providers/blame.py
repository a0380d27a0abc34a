"""Whose fault a refused input is: this blog's, or that of what we send with every blog.

A refusal that names a field is about that field. What is ours fails for every blog, so it is a Misconfiguration: the
breaker opens, nothing more is bought, no blog loses an attempt. A refusal that names no field is the blog's own while
the vendor takes others. Several blogs refused in a row, none taken between them, are not all at fault themselves.
"""

from anyio import current_time

from blogworker.errors import Misconfigured, ProviderError, Rejected
from blogworker.providers import http

IN_A_ROW = 3
LATELY_S = 600.0


class Blame:
    """One per client. `presumed_ours`: a refusal that names nothing is ours if nothing was taken lately, since little
    of what is sent is the blog's."""

    def __init__(self, provider: str, *, presumed_ours: bool = False) -> None:
        self._provider = provider
        self._presumed_ours = presumed_ours
        self._taken_at: float | None = None
        self._refused: set[str] = set()

    def taken(self) -> None:
        """An input was taken: what it has in common with the others is right."""
        self._taken_at = current_time()
        self._refused.clear()

    def judged(self, error: ProviderError, *, ours: bool | None, blog: str) -> ProviderError:
        """The error, or Misconfigured in its place. `ours`: what the refusal names, None if nothing; `blog`: anything
        that tells the blogs, or sites, apart."""
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
