"""How long the claim loop waits between two claims."""

from dataclasses import dataclass

FIRST_WAIT_S = 0.004  # doubles each time
CONTENDED_MAX_S = 1.0
MAX_DOUBLINGS = 20  # beyond every longest wait


@dataclass(slots=True)
class ClaimBackoff:
    """Two exponential backoffs, because a claim finds nothing for two reasons.

    Contended: other transactions have locked what could be claimed. They end soon, so the loop claims again soon.

    Idle: nothing can be claimed. The first waits after a wake-up are short: several producers that commit at nearly the
    same time send one notification, and the later ones may commit after the claim.
    """

    contended_claims: int = 0  # in a row
    idle_waits: int = 0  # in a row, without a wake-up

    def reset(self) -> None:
        """A claim found jobs."""
        self.contended_claims = self.idle_waits = 0

    def next_contended_s(self) -> float:
        """Return the wait after a claim that found nothing because of locks."""
        self.contended_claims += 1
        return _doubled_s(self.contended_claims, longest_s=CONTENDED_MAX_S)

    def idle_s(self, *, longest_s: float, quota_s: float | None) -> float:
        """Return the wait after a claim that found nothing to claim.

        `quota_s`: when the quotas let a job continue; then that is the wait, at most `longest_s`.
        """
        self.contended_claims = 0
        if quota_s is None:
            return _doubled_s(self.idle_waits, longest_s=longest_s)
        self.idle_waits = MAX_DOUBLINGS
        return min(longest_s, quota_s)

    def end_idle(self, *, woken: bool) -> None:
        """The idle wait is over: by a wake-up, or because its time has passed."""
        self.idle_waits = 0 if woken else self.idle_waits + 1


def _doubled_s(times: int, *, longest_s: float) -> float:
    return min(longest_s, FIRST_WAIT_S * 2.0 ** min(times, MAX_DOUBLINGS))
