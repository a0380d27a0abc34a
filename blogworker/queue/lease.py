"""A worker's right to the jobs it holds: one row of `workers`, extended while the worker lives.

Jobs of a worker whose lease ended belong to whoever rescues them. The worker must have let go of them by then, so it
counts its own deadline from before the extension was sent, less a margin for stopping.
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

STOPPING_MARGIN_S = 2.0  # from "stop" to the last write of a cancelled job


class LeaseEnded(BlogworkerError):
    """The worker's lease ended: it was silent for too long. What it held may be another's by now."""


class LeaseTaken(LeaseEnded):
    """Another process took the worker's name over: two must not share one."""


@dataclass(frozen=True, slots=True)
class Registration:
    worker_id: UUID
    replaced: bool  # a live worker of this name was fenced out


class Lease:
    """The lease of this incarnation."""

    def __init__(self, database: Runner, *, name: str, lease_s: float, concurrency: int) -> None:
        self._database = database
        self.name = name
        self._lease_s = lease_s
        self._concurrency = concurrency
        self.worker_id = uuid4()
        self.good_until = 0.0  # by this process's monotonic clock
        self._extending = Lock()

    async def begin(self) -> Registration:
        """Register, taking the name over from an earlier incarnation."""
        asked_at = current_time()
        row = await self._database.one(
            "queue/register_worker",
            name=self.name,
            worker_id=self.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            concurrency=self._concurrency,
            lease_s=self._lease_s,
        )
        self._extended(asked_at)
        return Registration(self.worker_id, row["replaced"])

    async def extend(self, *, in_flight: int, draining: bool, stats: dict[str, object]) -> list[int]:
        """Extend; give the jobs that a person asked to cancel. Raises LeaseEnded when it is too late.

        One at a time: who asks during an extension waits for it, because it may have looked for the cancelled already.
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
            raise LeaseTaken(f"another process runs as {self.name} now: give each its own BLOGWORKER_NAME")
        if not row["extended"]:
            raise LeaseEnded(f"the lease of {self.name} ended before it could be extended")
        self._extended(asked_at)
        cancelled: list[int] = row["cancelled"]
        return cancelled

    async def end(self) -> None:
        """Leave in good order."""
        await self._database.execute("queue/end_lease", worker_id=self.worker_id)

    def _extended(self, asked_at: float) -> None:
        self.good_until = asked_at + self._lease_s - min(STOPPING_MARGIN_S, self._lease_s / 3)
