"""`blogworker serve --demo`: the dashboard on the demo's own Postgres, simulator and workers, live while they work."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anyio import create_task_group, sleep
from anyio.abc import Process
from pydantic import SecretStr

from blogworker.db.migrate import migrate
from blogworker.db.pool import Database, connect
from blogworker.demo.campaign import campaign
from blogworker.demo.processes import require_running
from blogworker.demo.run import UNLIMITED, Plan, private_postgres, running_workers, simulated_providers
from blogworker.ops.sites import SiteChanges, set_site
from blogworker.ops.tokens import Scope, create_token
from blogworker.queue.enqueue import enqueue_many
from blogworker.queue.validation import NewJob
from blogworker.settings import DatabaseSettings

AT_ONCE = 0.3  # part of the jobs that exist at the beginning
FEED_S = 2.0  # between batches of the others
LASTS_S = 900.0  # until the last one is added
WATCH_S = 2.0

Serve = Callable[[DatabaseSettings, str], Awaitable[None]]


async def run_live(plan: Plan, *, say: Callable[[str], None], serve: Serve) -> None:
    """Start everything, then `serve` with the settings of the database and a token, until it ends."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-demo-", ignore_cleanup_errors=True)))
        logs = plan.out / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        say("starting a private Postgres")
        dsn = await stack.enter_async_context(private_postgres(folder, keep=False))
        settings = DatabaseSettings(url=SecretStr(dsn), pool_max=8)
        database = await stack.enter_async_context(Database(settings))
        say("starting the simulator of the providers")
        base = await simulated_providers(stack, plan, logs)
        async with await connect(dsn, timeout_s=10) as connection:
            await migrate(connection)
        token, _ = await create_token(database, "demo", scopes=list(Scope), instance_ids=None, expires_s=None)
        feed = await stack.enter_async_context(_feeding(database, plan))
        workers = await running_workers(stack, plan, dsn, base, logs, until_empty=False)
        async with create_task_group() as tasks:
            tasks.start_soon(feed)
            tasks.start_soon(_watch, workers, logs)
            await serve(settings, token)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def _feeding(database: Database, plan: Plan) -> AsyncIterator[Callable[[], Coroutine[Any, Any, None]]]:
    """Add the first jobs; yield what adds the others, so that there is something to watch."""
    later: list[NewJob] = []
    for shop, jobs in campaign(plan.jobs, plan.sites):
        await set_site(database, shop.instance_id, SiteChanges(name=shop.name))
        whole = list(jobs)
        first = max(1, round(len(whole) * AT_ONCE))
        await _add(database, whole[:first])
        later += whole[first:]
    yield partial(_feed, database, later)


async def _feed(database: Database, jobs: Sequence[NewJob]) -> None:
    """Add jobs of all sites in turn."""
    batches = max(1, round(LASTS_S / FEED_S))
    for number in range(batches):
        await _add(database, jobs[number::batches])
        await sleep(FEED_S)


async def _add(database: Database, jobs: Sequence[NewJob]) -> None:
    if jobs:
        counts = Counter(job.instance_id for job in jobs)
        await enqueue_many(database, jobs, counts=counts, queue_size_limit=UNLIMITED)


async def _watch(workers: Sequence[Process], logs: Path) -> None:
    while True:
        for number, worker in enumerate(workers, 1):
            require_running(worker, logs / f"worker-{number}.log")
        await sleep(WATCH_S)
