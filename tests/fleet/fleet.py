"""A whole fleet in virtual time: the real workers, desks and statements. Only vendors and breakers are made up.

A stage asks the real limiter and sleeps as long as its call takes.
"""

import random
from asyncio import Runner
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from random import Random
from uuid import UUID, uuid4

from anyio import create_task_group, current_time, move_on_after, sleep, sleep_until
from anyio.abc import TaskGroup
from psycopg.types.json import Json

from blogworker.daemon.gate import Gate
from blogworker.daemon.incarnation import ADMIT_S, PROMOTE_S, RECONCILE_S, RESCUE_S
from blogworker.daemon.pacing import SITE_BURST_S, SITE_CALLS, StageTimes
from blogworker.daemon.ticker import every
from blogworker.daemon.worker import Worker
from blogworker.db.pool import Row
from blogworker.db.retrying import DatabaseHealth
from blogworker.errors import ProviderDown, ProviderError
from blogworker.queue.admit import Reopening, admit
from blogworker.queue.claim import Pacing
from blogworker.queue.job import Claim, Done, Outcome, Stage
from blogworker.queue.promote import promote
from blogworker.queue.reconcile import reconcile
from blogworker.queue.settle import Settler
from blogworker.quota.bucket import Bucket
from blogworker.quota.limiter import Limiter, waits_of_attempt
from blogworker.settings import QueueSettings, WorkerSettings
from blogworker.spend.ledger import Spend
from blogworker.stages.catalog import CATALOG
from blogworker.stages.checkpoint import StoredCheckpoints
from blogworker.stages.pipeline import outcome
from blogworker.stages.records import Output

from .story import FREE_RPM, Call, Site, Story, Trouble
from .virtual import Look, VirtualDatabase, VirtualLoop

PATIENCE_S = 5.0
SITE_RPM = 150
OPEN_RPM, OPEN_TPM = 120, 1_000_000  # of every shared bucket, once everything is opened: two calls a second
TOKENS = {Stage.IDEAS: 2_000, Stage.CONTENT: 4_000, Stage.IMAGE: 0}  # reserved for a call
USED = {Stage.IDEAS: (800, 2_200), Stage.CONTENT: (2_500, 4_500)}
SECONDS = {Stage.IDEAS: (3, 15), Stage.CONTENT: (15, 40), Stage.IMAGE: (6, 6), Stage.PUBLISH: (0.2, 0.4)}
BLOG_S = 75.0  # the longest that one takes without waits
LOOK_S = 1.0
LEASE_S, EXTEND_S = 1e6, 5.0
BLOGS = "select id, instance_id as site, status, attempt, failures, rescues, error from blog_generations"


@dataclass(slots=True)
class Shut:
    """Stands for the breakers: open while the story says so."""

    until: dict[str, float] = field(default_factory=dict)

    @property
    def open_breakers(self) -> list[str]:
        return [provider for provider, until in self.until.items() if current_time() < until]

    def require_closed(self, provider: str) -> None:
        if provider in self.open_breakers:
            raise ProviderDown("down", provider=provider).after(self.until[provider] - current_time())

    async def release_probe(self, provider: str) -> None: ...

    async def refresh(self) -> None: ...

    async def take_probe(self, providers: set[str]) -> None: ...


class Fleet:
    """Runs a story and writes down what happened."""

    def __init__(self, database: VirtualDatabase, story: Story) -> None:
        self.story = story
        self.breakers = Shut()
        self.workers: list[Worker] = []
        self.database = database
        self.calls: list[Call] = []
        self.looks: list[Look] = []
        self.epochs: defaultdict[str, list[float]] = defaultdict(list)  # when calls had to ask again
        self.troubles: list[tuple[float, float, str]] = []  # from, until: a block, an outage
        self.came: dict[str, float] = {}  # newcomers
        self.opened_at = self.drain_s = 0.0
        self.left = 0
        self._published: Counter[int] = Counter()  # calls made
        self._held: set[int] = set()
        self.doubled: list[int] = []  # claimed while another attempt ran
        self.blogs: list[Row] = []  # in the end
        limits, texts = story.limits, "openai/text"
        names = (texts, texts) if limits.one_model else ("openai/ideas", "openai/content")
        self._reopening = Reopening()
        self.buckets = {
            Stage.IDEAS: Bucket(names[0], "openai", *(limits.content if limits.one_model else limits.ideas)),
            Stage.CONTENT: Bucket(names[1], "openai", *limits.content),
            Stage.IMAGE: Bucket("replicate/predictions", "replicate", limits.pictures, None),
        }
        self.sites = {f"site{n}": site for n, site in enumerate(story.sites)}

    def slots(self, at: float) -> int:
        joined = sum(trouble.n for trouble in self.story.troubles if trouble.what == "worker" and trouble.at <= at)
        return sum(self.story.slots) + joined

    def _wake(self) -> None:
        for worker in self.workers:
            worker.wake()

    def run(self) -> None:
        random.seed(self.story.seed)  # the jitter of every ticker
        self.database.begin(self._wake)
        with Runner(loop_factory=VirtualLoop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        for name, site in self.sites.items():
            await self._make_site(name, site)
        async with create_task_group() as tasks:
            self._start_worker = partial(self._start, tasks)
            for slots in self.story.slots:
                await self._start_worker(slots)
            tasks.start_soon(every, "look", LOOK_S, self._look)
            tasks.start_soon(every, "admit", ADMIT_S, partial(admit, self.database))
            tasks.start_soon(every, "promote", PROMOTE_S, partial(promote, self.database))
            tasks.start_soon(every, "reconcile", RECONCILE_S, partial(reconcile, self.database))
            tasks.start_soon(every, "reopen", RESCUE_S, self._reopen)
            async with create_task_group() as troubles:
                for trouble in self.story.troubles:
                    troubles.start_soon(self._meet, trouble)
                troubles.start_soon(sleep_until, self.story.seconds)
            await self._drain()
            tasks.cancel_scope.cancel()

    async def _make_site(self, name: str, site: Site) -> None:
        await self.database.execute(
            "queue/set_site",
            instance_id=name,
            weight=site.weight,
            max_in_flight=site.max_in_flight,
            from_plan=[],
            **dict.fromkeys(("name", "plan", "priority", "max_pending", "quota_share", "settings")),
        )
        await self.database.execute("quota/ensure_bucket", **asdict(self.site_bucket(name)))
        await self._enqueue(name, site.backlog)

    async def _enqueue(self, site: str, jobs: int) -> None:
        await self.database.execute("bench/insert_jobs", instance_id=site, jobs=jobs)

    def site_bucket(self, name: str) -> Bucket:
        return Bucket(f"wix/{name}", "wix", self.sites[name].wix_rpm, None, SITE_BURST_S)

    async def _start(self, tasks: TaskGroup, slots: int) -> None:
        worker_id, times, database, n = uuid4(), StageTimes(), self.database, len(self.workers)
        about = {"host": "here", "pid": n, "version": "0", "concurrency": slots, "lease_s": LEASE_S}
        await database.execute("queue/register_worker", name=f"worker{n}", worker_id=worker_id, **about)
        gate = Gate(self.breakers, "wait", pacing=partial(self._pacing, times))
        limiter = Limiter(database, self.buckets, longest_wait_s=PATIENCE_S)
        await limiter.start()
        settler = Settler(database, worker_id)
        worker = Worker(
            database,
            settler,
            partial(self._attempt, worker_id, limiter, times),
            queue=QueueSettings(_env_file=None),
            worker=WorkerSettings(concurrency=slots, _env_file=None),
            health=DatabaseHealth(),
            gate=gate,
        )
        self.workers.append(worker)
        tasks.start_soon(every, "lease", EXTEND_S, partial(self._extend, worker_id, gate))
        tasks.start_soon(settler.run)
        tasks.start_soon(worker.claim_loop, worker_id, tasks)

    async def _extend(self, worker_id: UUID, gate: Gate) -> None:
        """Tell what this worker knows."""
        facts = {"lease_s": LEASE_S, "in_flight": 0, "draining": False, "stats": Json({"needs": gate.needs()})}
        await self.database.execute("queue/extend_lease", worker_id=worker_id, **facts)

    async def _reopen(self) -> None:
        if await self._reopening.run_once(self.database):
            self._wake()

    def _pacing(self, times: StageTimes) -> Pacing:
        names = [self.buckets[stage].name if stage in self.buckets else None for stage in Stage]
        tokens = [TOKENS.get(stage, 0) for stage in Stage]
        return Pacing(names, tokens, times.leads(), PATIENCE_S, SITE_RPM, SITE_CALLS)

    async def _attempt(
        self,
        worker_id: UUID,
        limiter: Limiter,
        times: StageTimes,
        claim: Claim,
        saved: Mapping[str, Output],
        enter: object,
    ) -> Outcome:
        if claim.job_id in self._held:
            self.doubled.append(claim.job_id)
        self._held.add(claim.job_id)
        checkpoints = StoredCheckpoints(self.database, worker_id, claim, {})
        waits_of_attempt.set(waits := [])
        stages = list(Stage)
        stage = claim.stage
        try:
            for stage in stages[stages.index(claim.stage) :]:
                started, waited_s = current_time(), sum(waits)
                spend = await self._stage(stage, limiter, claim)
                await checkpoints.save(stage, {}, spend)
                times.took(stage, current_time() - started - (sum(waits) - waited_s))
        except ProviderError as error:
            return outcome(error, stage=stage, delay_s=0)
        finally:
            self._held.discard(claim.job_id)
        return Done()

    async def _stage(self, stage: Stage, limiter: Limiter, claim: Claim) -> Spend | None:
        if stage == Stage.SOURCE:
            return None
        dice = Random(f"{self.story.seed} {claim.job_id} {stage}")
        self.breakers.require_closed(CATALOG[stage].provider)
        if stage == Stage.PUBLISH:
            bucket = self.site_bucket(claim.instance_id)
            while self._published[claim.job_id] < SITE_CALLS:
                await limiter.ensure(bucket)
                await self._call(limiter, stage, bucket.name, claim, dice.uniform(*SECONDS[stage]))
                self._published[claim.job_id] += 1
            return None
        used = dice.randint(*USED[stage]) if stage in USED else 0
        await self._call(limiter, stage, stage, claim, dice.uniform(*SECONDS[stage]), used)
        return Spend(CATALOG[stage].provider, "model", tokens_out=used, cost_usd=0.0)

    async def _call(
        self, limiter: Limiter, stage: Stage, bucket: str, claim: Claim, seconds: float, used: int = 0
    ) -> None:
        name = self.buckets[stage].name if stage in self.buckets else bucket
        call = Call(stage, name, claim.instance_id, claim.job_id, current_time(), used=used)
        self.calls.append(call)
        turn = claim.turn if stage in self.buckets else 0.0
        try:
            async with limiter.permit(bucket, tokens=TOKENS.get(stage, 0), turn=turn) as permit:
                call.answered_at, call.went = current_time(), True
                await sleep(seconds)
                permit.used(used)
        finally:
            if not call.went:
                call.answered_at = current_time()

    async def _look(self) -> None:
        self.looks.append(self.database.look())

    async def _meet(self, trouble: Trouble) -> None:
        await sleep_until(trouble.at)
        database = self.database
        until = min(trouble.at + trouble.seconds, self.story.seconds)
        match trouble.what:
            case "newcomers":
                for n in range(trouble.n):
                    name = f"new{trouble.at:g}-{n}"
                    self.sites[name], self.came[name] = Site(backlog=1), current_time()
                    await self._make_site(name, self.sites[name])
            case "worker":
                await self._start_worker(trouble.n)
            case "pause":
                name = f"site{trouble.n % len(self.story.sites)}"
                await database.execute("queue/pause_site", instance_id=name, reason="by hand")
                await sleep_until(until)
                await database.execute("queue/resume_site", instance_id=name)
            case "block":
                name = list(self.buckets.values())[trouble.n % 3].name
                self.troubles.append((trouble.at, until, name))
                self.epochs[name] += [trouble.at, until]
                await database.execute("quota/block", name=name, seconds=until - current_time())
            case "outage":
                provider = ("openai", "replicate", "wix")[trouble.n % 3]
                self.troubles.append((trouble.at, until, provider))
                self.breakers.until[provider] = max(until, self.breakers.until.get(provider, 0.0))
                await sleep_until(until)
                self._wake()

    async def _drain(self) -> None:
        """Open everything, and see how long it takes until all is done."""
        self.opened_at = current_time()
        shared = {bucket.name for bucket in self.buckets.values()}
        for name in (*sorted(shared), *(f"wix/{site}" for site in self.sites)):
            tokens = None if name.startswith(("wix", "replicate")) else OPEN_TPM
            rpm = FREE_RPM if name.startswith("wix") else OPEN_RPM
            await self.database.execute(
                "quota/set_bucket", name=name, requests_per_minute=rpm, tokens_per_minute=tokens, pinned=True
            )
            self.epochs[name].append(current_time())
        self.database.sql(("update sites set max_in_flight = null where max_in_flight is not null", {}))
        self.left = sum(self.statuses().values()) - self.statuses().get("DONE", 0)
        texts = 2 if self.story.limits.one_model else 1
        a_blog_s = max(texts * 60 / OPEN_RPM, BLOG_S / self.slots(self.opened_at))
        self.drain_s = 1.5 * (self.left * a_blog_s + BLOG_S)
        with move_on_after(self.drain_s):
            while self.statuses().keys() - {"DONE"}:
                await sleep(LOOK_S)
        self.blogs = self.database.sql((BLOGS, {}))[0]

    def statuses(self) -> dict[str, int]:
        rows = self.database.sql(("select status, count(*) as blogs from blog_generations group by status", {}))[0]
        return {row["status"]: row["blogs"] for row in rows}
