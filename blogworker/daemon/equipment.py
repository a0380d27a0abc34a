"""What jobs start with: settings, limiter, clients, cache. A reload replaces it; running jobs keep what they have."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

from anyio import CancelScope, Event, create_task_group, move_on_after, to_thread
from anyio.abc import TaskGroup, TaskStatus

from blogworker.daemon.clients import import_sdks, open_clients
from blogworker.daemon.pacing import buckets
from blogworker.db.pool import Runner
from blogworker.queue.job import Claim
from blogworker.queue.restores import RestoreWatch
from blogworker.quota.breaker import Breakers
from blogworker.quota.limiter import Limiter
from blogworker.settings import Settings
from blogworker.stages.cache import StoredCache
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.records import Output
from blogworker.stages.work import Clients, Work

CLOSE_S = 2.0


class Equipment:
    """One set. Its clients stay open until it is replaced and the last of its jobs has ended."""

    def __init__(self, settings: Settings, database: Runner) -> None:
        self.settings = settings
        self.limiter = Limiter(database, buckets(settings), longest_wait_s=settings.worker.quota_patience)
        self.is_open = False
        self._database = database
        self._cache = StoredCache(database, product_s=settings.wix.product_ttl, ideas_s=settings.openai.ideas_ttl)
        self._clients: Clients | None = None
        self._users = 0
        self._is_replaced = False
        self._unused = Event()

    async def keep_open(self, *, task_status: TaskStatus[None]) -> None:
        """Open the clients, and close them when nobody needs them any more.

        If the one who waits for them is cancelled, as by a lost lease, they are closed, and may be opened again.
        """
        await to_thread.run_sync(import_sdks)
        stack = AsyncExitStack()
        opening = open_clients(self.settings, self.limiter, connections=self.settings.worker.concurrency)
        self._clients = await stack.enter_async_context(opening)
        self.is_open = True
        task_status.started()
        try:
            await self._unused.wait()
        finally:
            self.is_open = False
            with CancelScope(shield=True), move_on_after(CLOSE_S):  # cancelled, it would leave connections open
                await stack.aclose()

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator["Equipment"]:
        """A job uses this set during the block."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            self._close_if_unused()

    def replace(self) -> None:
        """No more jobs start with this set."""
        self._is_replaced = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._is_replaced and not self._users:
            self._unused.set()

    def work(
        self, worker_id: UUID, claim: Claim, saved: Mapping[str, Output], breakers: Breakers, restores: RestoreWatch
    ) -> Work:
        """Return what one attempt needs. Raises RuntimeError before the clients are open."""
        if self._clients is None:
            raise RuntimeError("the clients of the providers are not open")
        return Work(
            claim,
            StoredCheckpoints(self._database, worker_id, claim, saved, restores),
            self._clients,
            self.limiter,
            self.settings.openai,
            breakers,
            self._cache,
            self.settings.replicate.image_trouble,
            self.settings.worker.review_every,
        )


class Store:
    """The current equipment of a process, and that of jobs which started before a reload."""

    def __init__(self, settings: Settings, database: Runner, tasks: TaskGroup) -> None:
        self._database = database
        self._tasks = tasks
        self.current = Equipment(settings, database)

    @property
    def settings(self) -> Settings:
        return self.current.settings

    def waiting(self) -> dict[str, int]:
        """Return how many callers wait for quota, by bucket."""
        return self.current.limiter.waiting()

    def stuck_s(self) -> float:
        """Return how long callers have waited for an answer of the limiter."""
        return self.current.limiter.stuck_s()

    async def open(self) -> None:
        """Open the clients, unless they are open: a restarted worker registers its lease first."""
        if not self.current.is_open:
            await self._tasks.start(self.current.keep_open)

    async def replace(self, settings: Settings) -> None:
        """Let jobs start with other settings from now on."""
        following, former = Equipment(settings, self._database), self.current
        await following.limiter.start()
        if former.is_open:
            await self._tasks.start(following.keep_open)
        self.current = following
        former.replace()


@asynccontextmanager
async def equipment_store(settings: Settings, database: Runner) -> AsyncIterator[Store]:
    """Keep the clients open during the block, once they are opened."""
    async with create_task_group() as tasks:
        store = Store(settings, database, tasks)
        try:
            yield store
        finally:
            store.current.replace()
