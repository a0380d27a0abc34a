"""End attempts: the outcome of each becomes one database move, many moves one statement."""

from dataclasses import asdict, dataclass
from typing import Any, assert_never
from uuid import UUID

from anyio import Event, move_on_after
from psycopg import Error
from psycopg.types.json import Json

from blogworker.db.misfit import misfit
from blogworker.db.pool import Runner
from blogworker.db.storable import explained
from blogworker.db.words import in_words
from blogworker.queue.job import (
    Cancel,
    Claim,
    Done,
    Failure,
    Outcome,
    OverBudget,
    PauseSite,
    PutOff,
    Reject,
    Release,
    Retry,
    Status,
    Wait,
)
from blogworker.telemetry import get_logger

LONGEST_DELAY_S = 10 * 365 * 86_400.0  # a vendor's retry-after may be any number
PAUSE_S = 1.0
REASON_MAX = 2_000  # characters of an error or a reason; a vendor's message may have any number
WORD_MAX = 200  # of the words beside it: its kind, the vendor's code
AGAIN_S = 0.25  # until a job whose row somebody holds is tried again

log = get_logger()


@dataclass(frozen=True, slots=True)
class Move:
    """What an outcome does to the job's row."""

    status: Status
    delay_s: float = 0.0  # from now until it may be claimed
    spent: bool = False  # counts against max_attempts; the last one makes the status FAILED
    error: str | None = None
    failure: Failure | None = None
    pauses_site: bool = False


def move(outcome: Outcome) -> Move:
    """The one place where outcomes become statuses."""
    match outcome:
        case Done():
            return Move(Status.DONE)
        case Retry(failure, delay_s):
            return Move(Status.PENDING, delay_s, spent=True, error=failure.message, failure=failure)
        case Wait(delay_s, reason, failure):
            return Move(Status.PENDING, delay_s, error=reason, failure=failure)
        case PutOff(delay_s, reason):
            return Move(Status.SCHEDULED, delay_s, error=reason)
        case Reject(failure):
            return Move(Status.FAILED, error=failure.message, failure=failure)
        case PauseSite(failure):
            return Move(Status.PENDING, error=failure.message, failure=failure, pauses_site=True)
        case OverBudget(reason):
            return Move(Status.PENDING, error=reason)
        case Release():
            return Move(Status.PENDING)
        case Cancel():
            return Move(Status.CANCELLED, error="cancelled")
        case _:
            assert_never(outcome)


class Settler:
    """Collects outcomes while a statement is under way, and sends them together in the next: nothing ever waits for a
    tick, and a busy worker settles many attempts at once. Runs on a patient database: an outage is waited for. A row
    that somebody holds is not: it is sent again, and keeps its own slot only. Nor is a row that does not fit, where the
    statement itself does: `strict` raises a misfit, by default `database` does."""

    def __init__(self, database: Runner, worker_id: UUID, *, strict: Runner | None = None) -> None:
        self._database = database
        self._strict = strict or database
        self._worker_id = worker_id
        self._waiting: list[tuple[Claim, Move, Settlement]] = []
        self._unstored: dict[tuple[int, int], Settlement] = {}  # by job and attempt: waiting, or under way
        self._work = Event()

    async def settle(self, claim: Claim, outcome: Outcome) -> str | None:
        """Store an outcome; give the job's new status, or None when the attempt was lost and nothing was written.

        The first outcome of an attempt stands: who is cancelled while it waits hands back what has ended already.
        """
        attempt = claim.job_id, claim.attempt
        settlement = self._unstored.get(attempt)
        if settlement is None:
            settlement = self._unstored[attempt] = Settlement()
            self._waiting.append((claim, move(outcome), settlement))
            self._work.set()
        await settlement.stored.wait()
        return settlement.status

    async def run(self) -> None:
        """Send what is waiting, for ever."""
        while True:
            with move_on_after(AGAIN_S if self._waiting else None):
                await self._work.wait()
            self._work = Event()
            batch, self._waiting = self._waiting, []
            if batch:
                await self._send(batch)

    async def _send(self, batch: list[tuple[Claim, Move, "Settlement"]]) -> None:
        try:
            statuses = await self._store_fitting(batch)
        except Error as error:
            if len(batch) > 1:  # one that is refused must not hold up the others
                for entry in batch:
                    await self._send([entry])
                return
            log.error("settle_failed", job_id=batch[0][0].job_id, error=in_words(error))
            statuses = {}
        for claim, made, settlement in batch:
            status = statuses.get(claim.job_id)
            if status is None and claim.job_id in statuses:
                self._waiting.append((claim, made, settlement))
            else:
                del self._unstored[claim.job_id, claim.attempt]
                settlement.status = status
                settlement.stored.set()

    async def _store_fitting(self, batch: list[tuple[Claim, Move, "Settlement"]]) -> dict[int, str | None]:
        """Waits for a database that does not fit; raises where it fits, and a row of the batch does not."""
        try:
            return await self._store(batch)
        except Error as error:
            if not misfit(error):
                raise
        await self._database.rows("queue/settle", worker_id=self._worker_id, outcomes=Json([]))
        return await self._store(batch)

    async def _store(self, batch: list[tuple[Claim, Move, "Settlement"]]) -> dict[int, str | None]:
        # Before the jobs are PENDING again, or else they are claimed at once.
        pauses = {
            claim.instance_id: explained(made.error or "", REASON_MAX) for claim, made, _ in batch if made.pauses_site
        }
        for instance_id, reason in pauses.items():
            # A site somebody holds is not waited for: nobody claims from it meanwhile, and its next job tries again.
            with move_on_after(PAUSE_S):
                if await self._database.maybe("queue/pause_site", instance_id=instance_id, reason=reason) is not None:
                    log.warning("site_paused", instance_id=instance_id, error=reason)
        rows = await self._strict.rows(
            "queue/settle",
            worker_id=self._worker_id,
            outcomes=Json([_row(claim, made) for claim, made, _ in batch]),
        )
        return {row["job_id"]: row["status"] for row in rows}


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
        "delay_s": min(max(0.0, made.delay_s), LONGEST_DELAY_S),  # in this order, which makes a NaN 0
        "spent": made.spent,
        "error": None if made.error is None else explained(made.error, REASON_MAX),
        "failure": _failure(made.failure) if made.failure else None,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    facts = asdict(failure).items()
    row = {name: explained(value, WORD_MAX) if isinstance(value, str) else value for name, value in facts}
    return row | {"message": explained(failure.message, REASON_MAX)}
