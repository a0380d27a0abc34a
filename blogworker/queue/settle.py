"""End attempts: the outcome of each becomes one database move, many moves one statement."""

from dataclasses import asdict, dataclass
from typing import Any, assert_never
from uuid import UUID

from anyio import Event, sleep
from psycopg import Error
from psycopg.types.json import Json

from blogworker.db.pool import Database
from blogworker.queue.job import Cancel, Claim, Done, Failure, Outcome, PauseSite, Reject, Release, Retry, Status, Wait
from blogworker.telemetry import get_logger

RESEND_S = 0.5

log = get_logger()


@dataclass(frozen=True, slots=True)
class Move:
    """What an outcome does to the job's row."""

    status: Status
    delay_s: float = 0.0
    spent: bool = False  # counts against max_attempts; the last one makes the status FAILED
    error: str | None = None
    failure: Failure | None = None


def move(outcome: Outcome) -> Move:
    """The one place where outcomes become statuses."""
    match outcome:
        case Done():
            return Move(Status.DONE)
        case Retry(failure, delay_s):
            return Move(Status.SCHEDULED, delay_s, spent=True, error=failure.message, failure=failure)
        case Wait(delay_s, reason, failure):
            return Move(Status.SCHEDULED, delay_s, error=reason, failure=failure)
        case Reject(failure):
            return Move(Status.FAILED, error=failure.message, failure=failure)
        case PauseSite(failure):
            return Move(Status.PENDING, error=failure.message, failure=failure)
        case Release():
            return Move(Status.PENDING)
        case Cancel():
            return Move(Status.CANCELLED, error="cancelled")
        case _:
            assert_never(outcome)


class Settler:
    """Collects outcomes while a statement is under way, and sends them together in the next: nothing ever waits for a
    tick, and a busy worker settles many attempts at once."""

    def __init__(self, database: Database, worker_id: UUID) -> None:
        self._database = database
        self._worker_id = worker_id
        self._waiting: list[tuple[Claim, Move, Settlement]] = []
        self._work = Event()

    async def settle(self, claim: Claim, outcome: Outcome) -> str | None:
        """Store an outcome; give the job's new status, or None when the attempt was lost and nothing was written."""
        settlement = Settlement()
        if isinstance(outcome, PauseSite):
            await self._database.maybe(
                "queue/pause_site", instance_id=claim.instance_id, reason=outcome.failure.message
            )
        self._waiting.append((claim, move(outcome), settlement))
        self._work.set()
        await settlement.stored.wait()
        return settlement.status

    async def run(self) -> None:
        """Send what is waiting, for ever."""
        while True:
            await self._work.wait()
            self._work = Event()
            batch, self._waiting = self._waiting, []
            while batch and not await self._send(batch):
                await sleep(RESEND_S)

    async def _send(self, batch: list[tuple[Claim, Move, "Settlement"]]) -> bool:
        try:
            rows = await self._database.rows(
                "queue/settle",
                worker_id=self._worker_id,
                outcomes=Json([_row(claim, made) for claim, made, _ in batch]),
            )
        except Error as error:
            log.warning("settle_failed", error=str(error), count=len(batch))
            return False
        statuses = {row["job_id"]: row["status"] for row in rows}
        for claim, _, settlement in batch:
            settlement.status = statuses.get(claim.job_id)
            settlement.stored.set()
        return True


class Settlement:
    """What became of one outcome."""

    def __init__(self) -> None:
        self.stored = Event()
        self.status: str | None = None


def _row(claim: Claim, made: Move) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "status": made.status,
        "delay_s": made.delay_s,
        "spent": made.spent,
        "error": made.error,
        "failure": asdict(made.failure) if made.failure else None,
    }
