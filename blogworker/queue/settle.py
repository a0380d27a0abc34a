"""Settle attempts: store the outcome of each attempt, many outcomes in one statement."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, assert_never
from uuid import UUID

from anyio import Event, create_task_group, current_time, move_on_after, sleep
from psycopg import Error
from psycopg.types.json import Json

from blogworker.db.compatibility import is_incompatible
from blogworker.db.messages import message_of
from blogworker.db.pool import Runner
from blogworker.db.storable import storable_message
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

LONGEST_DELAY_S = 10 * 365 * 86_400.0  # a provider's retry-after may be any number
REASON_MAX = 2_000  # characters of an error or a reason; a provider's message may be longer
WORD_MAX = 200  # characters of the other fields of a failure, such as its kind and the provider's code
LOCKED_RETRY_S = 0.1  # until a statement is sent again whose row another transaction has locked
GATHER_S = 0.02  # from one statement to the next, while few outcomes wait
GATHER_MOST = 25  # outcomes that are sent at once
PAUSE_TRIES = 10  # of a site that another transaction has locked

log = get_logger()


@dataclass(frozen=True, slots=True)
class Move:
    """The change of the job's row that an outcome makes."""

    status: Status
    delay_s: float = 0.0  # from now until the job may be claimed
    spent: bool = False  # the attempt counts against max_attempts; after the last one the status is FAILED
    error: str | None = None
    failure: Failure | None = None
    pauses_site: bool = False


def move(outcome: Outcome) -> Move:
    """Return the change for an outcome. Only this function maps outcomes to statuses."""
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


@dataclass(frozen=True, slots=True)
class _Unstored:
    claim: Claim
    made: Move
    stored: Callable[[str | None], object]


class Settler:
    """Sends outcomes to the database. Outcomes that arrive during a statement go together in the next one.

    A statement begins GATHER_S after the one before at the earliest, unless GATHER_MOST outcomes wait for it. So a busy
    worker settles many attempts at once, and the outcome of a blog is not held up. `database` retries while the
    database is unavailable. A row that another transaction has locked is sent again later, and no slot waits for it.
    `strict` raises when the database is incompatible, to distinguish a row that a trigger refuses from a statement that
    the database refuses; by default it is `database`.
    """

    def __init__(self, database: Runner, worker_id: UUID, *, strict: Runner | None = None) -> None:
        self._database = database
        self._strict = strict or database
        self._worker_id = worker_id
        self._waiting: list[_Unstored] = []
        self._work, self._many = Event(), Event()

    def store(self, claim: Claim, outcome: Outcome, stored: Callable[[str | None], object]) -> None:
        """Store an outcome. Call `stored` with the job's new status, or with None if the claim was lost and nothing was
        written."""
        self._waiting.append(_Unstored(claim, move(outcome), stored))
        self._work.set()
        if len(self._waiting) >= GATHER_MOST:
            self._many.set()

    async def settle(self, claim: Claim, outcome: Outcome) -> str | None:
        """Store an outcome. Return the job's new status, or None if the claim was lost."""
        statuses: list[str | None] = []
        is_stored = Event()

        def stored(status: str | None) -> None:
            statuses.append(status)
            is_stored.set()

        self.store(claim, outcome, stored)
        await is_stored.wait()
        return statuses[0]

    async def settle_all(self, claims: Iterable[Claim], outcome: Outcome) -> None:
        """Store the same outcome for all these attempts."""
        async with create_task_group() as tasks:
            for claim in claims:
                tasks.start_soon(self.settle, claim, outcome)

    async def run(self) -> None:
        """Send waiting outcomes, forever."""
        next_at = 0.0
        while True:
            with move_on_after(LOCKED_RETRY_S if self._waiting else None):
                await self._work.wait()
            with move_on_after(next_at - current_time()):
                await self._many.wait()
            next_at = current_time() + GATHER_S
            self._work, self._many = Event(), Event()
            batch, self._waiting = self._waiting, []
            if batch:
                await self._send(batch)

    async def _send(self, batch: Sequence[_Unstored]) -> None:
        try:
            statuses = await self._store_or_wait(batch)
        except Error as error:
            if len(batch) > 1:  # a refused outcome must not delay the others
                for entry in batch:
                    await self._send([entry])
                return
            log.error("settle_failed", job_id=batch[0].claim.job_id, error=message_of(error))
            statuses = {}
        for entry in batch:
            status = statuses.get(entry.claim.job_id)
            if status is None and entry.claim.job_id in statuses:
                self._waiting.append(entry)
            else:
                entry.stored(status)

    async def _store_or_wait(self, batch: Sequence[_Unstored]) -> dict[int, str | None]:
        """Wait while the database is incompatible. Raise if it is compatible and refuses a row of the batch."""
        try:
            return await self._store(batch)
        except Error as error:
            if not is_incompatible(error):
                raise
        await self._database.rows("queue/settle", worker_id=self._worker_id, outcomes=Json([]))
        return await self._store(batch)

    async def _store(self, batch: Sequence[_Unstored]) -> dict[int, str | None]:
        # Pause before the jobs are PENDING again, otherwise they are claimed at once.
        pauses = {
            entry.claim.instance_id: storable_message(entry.made.error or "", REASON_MAX)
            for entry in batch
            if entry.made.pauses_site
        }
        for instance_id, reason in pauses.items():
            await self._pause(instance_id, reason)
        rows = await self._strict.rows(
            "queue/settle",
            worker_id=self._worker_id,
            outcomes=Json([_row(entry.claim, entry.made) for entry in batch]),
        )
        return {row["job_id"]: row["status"] for row in rows}

    async def _pause(self, instance_id: str, reason: str) -> None:
        """Pause a site. Give up if it stays locked: no claim takes its jobs meanwhile, and its next job pauses it."""
        for _ in range(PAUSE_TRIES):
            site = await self._database.one("queue/pause_if_unlocked", instance_id=instance_id, reason=reason)
            if site["paused"]:
                log.warning("site_paused", instance_id=instance_id, error=reason)
            if not site["locked"]:
                return
            await sleep(LOCKED_RETRY_S)


def _row(claim: Claim, made: Move) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "attempt": claim.attempt,
        "status": made.status,
        "delay_s": min(max(0.0, made.delay_s), LONGEST_DELAY_S),  # this order of arguments turns a NaN into 0
        "spent": made.spent,
        "error": None if made.error is None else storable_message(made.error, REASON_MAX),
        "failure": _failure(made.failure) if made.failure else None,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    facts = asdict(failure).items()
    row = {name: storable_message(value, WORD_MAX) if isinstance(value, str) else value for name, value in facts}
    return row | {"message": storable_message(failure.message, REASON_MAX)}
