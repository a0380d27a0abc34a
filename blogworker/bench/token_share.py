"""How the tokens of a small quota are shared between sites with long jobs and sites with short jobs.

The statements and the Postgres are real. The time and the provider are simulated: its quota allows one call per second,
and a job whose call would wait longer than half a minute is requeued, as by the limiter.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from blogworker.bench.claim import WINDOW
from blogworker.bench.scratch import database, register, server, settle
from blogworker.db.pool import Database
from blogworker.demo.fairness import jain
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done, Outcome, Wait
from blogworker.queue.promote import promote
from blogworker.queue.reconcile import reconcile

CALL_TOKENS = 2_500
LONGEST_WAIT_S = 30.0
STEP_S = 5.0
CLAIMS_PER_STEP = 2
PARKED_S = 86_400.0  # the simulation decides when a parked job is due


@dataclass(frozen=True, slots=True)
class Site:
    name: str
    calls: int  # of each of its jobs
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    long_tokens: int  # mean of the sites with long jobs, per unit of weight
    short_tokens: int
    jain: float  # of tokens per unit of weight, over all sites
    parked: int


@dataclass(slots=True)
class Fleet:
    """All workers as one, with `slots` slots."""

    opened: Database
    worker_id: UUID
    sites: Mapping[str, Site]
    slots: int
    tokens: Counter[str] = field(default_factory=Counter)
    parked: int = 0
    _now: float = 0.0
    _quota_clock: float = 0.0
    _running: dict[int, tuple[Claim, float]] = field(default_factory=dict)  # job id: claim, and when its call ends
    _calls: Counter[int] = field(default_factory=Counter)  # of each job so far
    _due: dict[float, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def run(self, seconds: float) -> None:
        """Simulate some seconds."""
        until = self._now + seconds
        while self._now < until:
            self._now += STEP_S
            await settle(self.opened, self.worker_id, await self._end_calls())
            for due in [due for due in self._due if due <= self._now]:
                await self.opened.execute("bench/make_due", job_ids=self._due.pop(due))
            await promote(self.opened)
            await reconcile(self.opened)
            for _ in range(CLAIMS_PER_STEP):
                await self._claim()

    async def _end_calls(self) -> list[tuple[Claim, Outcome]]:
        ended = [each for each, ends_at in self._running.values() if ends_at <= self._now]
        await self.opened.execute(
            "bench/spend",
            job_ids=[each.job_id for each in ended],
            attempts=[each.attempt for each in ended],
            stages=[f"content.{chr(ord('a') + self._calls[each.job_id])}" for each in ended],
            tokens=[CALL_TOKENS] * len(ended),
        )
        outcomes: list[tuple[Claim, Outcome]] = []
        for each in ended:
            del self._running[each.job_id]
            self._calls[each.job_id] += 1
            self.tokens[each.instance_id] += CALL_TOKENS
            if self._calls[each.job_id] == self.sites[each.instance_id].calls:
                outcomes.append((each, Done()))
            else:
                outcomes += self._call(each)
        return outcomes

    async def _claim(self) -> None:
        if not (free := self.slots - len(self._running)):
            return
        found = await claim(self.opened, self.worker_id, slots=free, site_window=WINDOW)
        parked: list[tuple[Claim, Outcome]] = []
        for taken in found.claims:
            parked += self._call(taken)
        await settle(self.opened, self.worker_id, parked)

    def _call(self, claim: Claim) -> list[tuple[Claim, Outcome]]:
        """Start the next call of a job, or park the job."""
        if self._quota_clock - self._now > LONGEST_WAIT_S:
            self.parked += 1
            self._due[self._quota_clock].append(claim.job_id)
            return [(claim, Wait(PARKED_S, "quota"))]
        self._quota_clock = max(self._quota_clock, self._now) + 1
        self._running[claim.job_id] = (claim, self._quota_clock)
        return []


async def measure(*, sites: int, seconds: float, slots: int) -> Figure:
    """Simulate `sites` sites with long jobs and as many with short jobs, all with a backlog."""
    made = [Site(f"{kind}-{n}", calls) for kind, calls in (("long", 8), ("short", 2)) for n in range(sites)]
    async with server() as dsn, database(dsn) as opened:
        for site in made:
            jobs = int(seconds / site.calls / sites) + slots
            await opened.execute("bench/insert_jobs", instance_id=site.name, jobs=jobs)
        fleet = Fleet(opened, await register(opened), {s.name: s for s in made}, slots)
        await fleet.run(seconds)
    return figure(fleet)


def figure(fleet: Fleet) -> Figure:
    shares = {site: fleet.tokens[site.name] / site.weight for site in fleet.sites.values()}
    longest = max(site.calls for site in shares)
    long, short = (
        [share for site, share in shares.items() if (site.calls == longest) == is_long] for is_long in (True, False)
    )
    index = round(jain(list(shares.values())), 4)
    return Figure(round(sum(long) / len(long)), round(sum(short) / len(short)), index, fleet.parked)
