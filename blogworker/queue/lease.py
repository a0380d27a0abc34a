"""A worker's lease: its right to the jobs it has claimed. One row of `workers`, extended while the worker lives.

When a lease ends, other workers may rescue the jobs. The worker must have stopped them by then. So it computes its own
deadline from the time before the extension was sent, less a margin for stopping.
"""

import os
import socket
from dataclasses import dataclass
from uuid import UUID, uuid4

from anyio import Lock, current_time
from psycopg.types.json import Json

from blogworker import __version__
from blogworker.db.pool import Runner
from blogworker.errors import BlogworkerError

STOPPING_MARGIN_S = 2.0  # from the cancellation of a job to its last write


class LeaseEnded(BlogworkerError):
    """The worker's lease ended, because it was not extended in time. Other workers may have its jobs now."""


class LeaseTaken(LeaseEnded):
    """Another process has taken over the worker's name. Two processes must not share a name."""


@dataclass(frozen=True, slots=True)
class Registration:
    worker_id: UUID
    replaced: bool  # a live worker of this name has lost its lease


class Lease:
    """The lease of this incarnation."""

    def __init__(self, database: Runner, *, name: str, lease_s: float, concurrency: int) -> None:
        self._database = database
        self.name = name
        self._lease_s = lease_s
        self.concurrency = concurrency
        self.worker_id = uuid4()
        self.good_until = 0.0  # by this process's monotonic clock
        self._extending = Lock()

    async def begin(self) -> Registration:
        """Register the worker. This takes over the name from an earlier incarnation."""
        asked_at = current_time()
        row = await self._database.one(
            "queue/register_worker",
            name=self.name,
            worker_id=self.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            concurrency=self.concurrency,
            lease_s=self._lease_s,
        )
        self._extended(asked_at)
        return Registration(self.worker_id, row["replaced"])

    async def extend(self, *, in_flight: int, draining: bool, stats: dict[str, object]) -> list[int]:
        """Extend the lease. Return the jobs that a person has cancelled. Raises LeaseEnded when it is too late.

        Extensions run one at a time: one that is already running may have read the cancelled jobs too early.
        """
        async with self._extending:
            asked_at = current_time()
            row = await self._database.maybe(
                "queue/extend_lease",
                worker_id=self.worker_id,
                lease_s=self._lease_s,
                in_flight=in_flight,
                draining=draining,
                stats=Json(stats),
            )
        if row is None:
            raise LeaseTaken(f"another process now runs as {self.name}: give each worker its own BLOGWORKER_NAME")
        if not row["extended"]:
            raise LeaseEnded(f"the lease of {self.name} ended before it could be extended")
        self._extended(asked_at)
        cancelled: list[int] = row["cancelled"]
        return cancelled

    async def end(self) -> None:
        """End the lease at a normal exit."""
        await self._database.execute("queue/end_lease", worker_id=self.worker_id)

    def _extended(self, asked_at: float) -> None:
        self.good_until = asked_at + self._lease_s - min(STOPPING_MARGIN_S, self._lease_s / 3)
