"""A chaos experiment: start everything, inject faults, let the queue become empty, audit."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
from anyio import create_task_group, move_on_after, sleep
from psycopg.conninfo import make_conninfo
from psycopg_pool import PoolTimeout
from pydantic import SecretStr

from blogworker.bench.chaos.audit import Verdict, judge
from blogworker.bench.chaos.evidence import ANSWER_HISTORY, JOB_HISTORY, Report, collect, record
from blogworker.bench.chaos.incompatible import IncompatibleDatabase
from blogworker.bench.chaos.injector import FaultInjector, Targets
from blogworker.bench.chaos.plan import LEASE_S, Plan, schedule
from blogworker.bench.chaos.poison import Poisoner
from blogworker.bench.chaos.producers import Producers, until_success
from blogworker.bench.chaos.servers import running_servers
from blogworker.bench.chaos.spikes import LoadSpikes
from blogworker.bench.chaos.worker_logs import WorkerLogs
from blogworker.bench.environment.fleet import Fleet
from blogworker.bench.environment.simulator import FAULTS, Simulator, running_simulator
from blogworker.bench.scratch import prepare
from blogworker.db.migrate import ours
from blogworker.db.pool import Database
from blogworker.db.roles import create, grant
from blogworker.settings import DatabaseSettings

POLL_S = 0.5
START_TIMEOUT_S = 30.0
PROGRESS_S = 10.0
ROLES = ("bench/chaos_worker_role", "bench/chaos_unprivileged_role")
WORKER, UNPRIVILEGED, PASSWORD = "chaos_worker", "chaos_unprivileged", "chaos"  # as in these statements
WORKER_SETTINGS = {
    "BLOGWORKER_LEASE": str(LEASE_S),
    "BLOGWORKER_POLL_INTERVAL": "1",
    "BLOGWORKER_HEARTBEAT_INTERVAL": "5",
    "BLOGWORKER_RETRY_BASE": "0.2",
    "BLOGWORKER_RETRY_CAP": "3",
    "BLOGWORKER_LOG_FORMAT": "json",
    "DB_POOL_MAX": "6",
    "LOG_LEVEL": "info",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything that runs in an experiment."""

    direct: Database
    proxied: Database  # through the proxy
    simulator: Simulator
    targets: Targets


async def run(plan: Plan, *, logs: Path | None = None, progress: Callable[[str], None]) -> Verdict:
    """Run an experiment and audit it. The output of the workers is written to `logs` if it is given."""
    async with AsyncExitStack() as stack:
        if logs is None:
            logs = Path(stack.enter_context(TemporaryDirectory(prefix="blogworker-chaos-")))
        cluster = await stack.enter_async_context(_cluster(plan, logs))
        targets, fleet = cluster.targets, cluster.targets.fleet
        producers, injector = Producers(plan, cluster.direct, cluster.proxied), FaultInjector(targets)
        initial = await producers.enqueue_initial()
        progress(f"{len(initial)} jobs, {plan.workers} workers; faults for {plan.seconds:.0f} s, seed {plan.seed}")
        async with fleet.supervised(plan.names):
            await _inject_and_wait(plan, cluster, producers, injector, progress)
        report = Report(
            submissions=producers.submissions,
            injected=injector.injected,
            exits=fleet.exits,
            killed=fleet.killed,
            logs=WorkerLogs.read([fleet.log(name) for name in plan.names]),
            initial=initial,
            poisons=len(targets.poisoner.accepted),
            refused=targets.poisoner.refused,
            spikes=targets.spikes.counts,
            longest_pause_s=plan.longest_pause_s,
        )
        return judge(await collect(cluster.direct, cluster.simulator, report))


async def _inject_and_wait(
    plan: Plan, cluster: Cluster, producers: Producers, injector: FaultInjector, progress: Callable[[str], None]
) -> None:
    """Inject all faults. Then wait until the queue is empty or the time limit is over."""
    async with create_task_group() as background:
        background.start_soon(producers.reset_failed)
        background.start_soon(report_progress, cluster.direct, progress)
        with move_on_after(START_TIMEOUT_S):  # so that the first faults hit running workers
            while (await cluster.direct.one("bench/live_workers"))["workers"] < plan.workers:
                await sleep(POLL_S)
        await cluster.simulator.set_faults(FAULTS)
        async with create_task_group() as tasks:
            tasks.start_soon(producers.run)
            await injector.run(schedule(plan))
            await cluster.simulator.clear_faults()
            progress("no more faults")
        with move_on_after(plan.recovery_s):
            while await until_success(lambda: _unfinished(cluster.direct)):
                await sleep(POLL_S)
        background.cancel_scope.cancel()


async def _unfinished(database: Database) -> int:
    state = await database.one("bench/chaos_state")
    return int(state["open"] + state["failed"])


async def report_progress(database: Database, progress: Callable[[str], None]) -> None:
    """Report the state of the queue every few seconds, forever."""
    while True:
        await sleep(PROGRESS_S)
        try:
            state = await database.one("bench/chaos_state")
        except (psycopg.Error, PoolTimeout):
            continue
        progress(f"{state['done']} done, {state['open']} open, {state['failed']} failed")


@asynccontextmanager
async def _cluster(plan: Plan, logs: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(running_servers())
        url = servers.dsn
        await prepare(url)
        direct = await stack.enter_async_context(_open(url))
        proxied = await stack.enter_async_context(_open(servers.proxied_dsn))
        await record(direct, JOB_HISTORY, ANSWER_HISTORY)
        async with direct.connection() as owner:
            await create(owner)
            await grant(owner, ours())
        for statement in ROLES:
            await direct.execute(statement)
        simulator = await stack.enter_async_context(running_simulator(logs, speed=plan.speed, seed=plan.seed))
        worker_url = make_conninfo(servers.proxied_dsn, user=WORKER, password=PASSWORD)
        environment = {**WORKER_SETTINGS, **simulator.environment, "BLOGWORKER_CONCURRENCY": str(plan.concurrency)}
        environment |= {"DATABASE_URL": worker_url, "DATABASE_DIRECT_URL": worker_url}
        targets = Targets(
            fleet=Fleet(environment, logs),
            servers=servers,
            database=direct,
            poisoner=Poisoner(direct),
            spikes=LoadSpikes(direct, make_conninfo(url, user=UNPRIVILEGED, password=PASSWORD), sites=plan.burst_sites),
            incompatible=IncompatibleDatabase(direct),
        )
        yield Cluster(direct, proxied, simulator, targets)


def _open(url: str) -> Database:
    return Database(DatabaseSettings(url=SecretStr(url)), application="chaos", checked=True)
