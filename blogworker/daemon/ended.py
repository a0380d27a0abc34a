"""What became of the attempts of one worker: counted, and logged."""

from collections import Counter

from blogworker.queue.job import Outcome, Release
from blogworker.telemetry import get_logger, tracing
from blogworker.telemetry.facts import Facts
from blogworker.telemetry.sampling import Sampler

DONE_LINES = 50  # per second; a job's row says the same

log = get_logger()


class EndedAttempts:
    """Counts and logs the ends of attempts. `outcomes`: by the job's status after the attempt."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.settled = self.released = 0
        self._done_lines = Sampler(DONE_LINES)

    def report(self, outcome: Outcome | None, status: str | None, duration_s: float, facts: Facts) -> None:
        """Count, trace and log one attempt, in its context. `status`: of its job; None: the claim was lost."""
        if outcome is None or status is None:
            self.outcomes["lost"] += 1
            tracing.end_attempt("lost", None)
            log.warning("attempt_lost", duration_s=round(duration_s, 3))
            return
        self.outcomes[status] += 1
        failure, name = getattr(outcome, "failure", None), type(outcome).__name__.lower()
        paid = {key: facts[key] for key in ("tokens", "cost_usd", "score") if key in facts}
        delay_s = getattr(outcome, "delay_s", None)
        tracing.end_attempt(name, status, failure=failure, delay_s=delay_s, **paid)
        if isinstance(outcome, Release):
            self.released += 1
        else:
            self.settled += 1
        if status == "DONE" and not self._done_lines.admits():
            return
        keys = {key: facts.get(key) for key in ("title", "score", "tokens", "cost_usd")} | {
            "stage": failure.stage if failure else None,
            "error_type": failure.kind if failure else None,
            "error": failure.message if failure else getattr(outcome, "reason", None),
            "unlogged": self._done_lines.take_unlogged(),
        }
        write = log.error if status == "FAILED" else log.info
        write(
            "job_settled",
            outcome=name,
            status=status,
            duration_s=round(duration_s, 3),
            **{key: value for key, value in keys.items() if value is not None},
        )
