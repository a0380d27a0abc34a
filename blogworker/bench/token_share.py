"""Who gets the tokens when they are what everybody waits for: sites of long blogs beside sites of short ones.

Claims, settles and parking are the real statements on a real Postgres. The vendor is a bucket of one call a second, in
simulated time: a call that could not go within half a minute parks its blog, as the desk of the quota does.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from psycopg.types.json import Json

from blogworker.bench.claim import WINDOW
from blogworker.bench.fairness import jain
from blogworker.bench.scratch import database, registered, server
from blogworker.db.pool import Database
from blogworker.queue.claim import claim
from blogworker.queue.job import Claim, Done, Outcome, Wait
from blogworker.queue.promote import promote
from blogworker.queue.reconcile import reconcile
from blogworker.queue.settle import move

CALL_TOKENS = 2_500
LONGEST_WAIT_S = 30.0
STEP_S = 5.0
CLAIMS_A_STEP = 2
FAR_S = 86_400.0  # the simulation says when a parked blog is due


@dataclass(frozen=True, slots=True)
class Site:
    name: str
    calls: int  # of one of its blogs
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    long_tokens: int  # a site of long blogs, per unit of weight
    short_tokens: int
    jain: float  # of tokens per unit of weight, over all sites
    parked: int


@dataclass(slots=True)
class Fleet:
    """All workers as one, with so many slots."""

    opened: Database
    worker_id: UUID
    sites: Mapping[str, Site]
    slots: int
    tokens: Counter[str] = field(default_factory=Counter)
    parked: int = 0
    _now: float = 0.0
    _quota_clock: float = 0.0
    _running: dict[int, tuple[Claim, float]] = field(default_factory=dict)  # and when its call ends
    _calls: Counter[int] = field(default_factory=Counter)  # made for a blog so far
    _due: dict[float, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def run(self, seconds: float) -> None:
        """Simulate so many seconds."""
        until = self._now + seconds
        while self._now < until:
            self._now += STEP_S
            await self._settle(await self._end_calls())
            for due in [due for due in self._due if due <= self._now]:
                await self.opened.execute("bench/come_due", job_ids=self._due.pop(due))
            await promote(self.opened)
            await reconcile(self.opened)
            for _ in range(CLAIMS_A_STEP):
                await self._claim()

    async def _end_calls(self) -> list[tuple[Claim, Outcome]]:
        made = [held for held, ends_at in self._running.values() if ends_at <= self._now]
        await self.opened.execute(
            "bench/spend",
            job_ids=[held.job_id for held in made],
            attempts=[held.attempt for held in made],
            stages=[f"content.{chr(ord('a') + self._calls[held.job_id])}" for held in made],
            tokens=[CALL_TOKENS] * len(made),
        )
        ended: list[tuple[Claim, Outcome]] = []
        for held in made:
            del self._running[held.job_id]
            self._calls[held.job_id] += 1
            self.tokens[held.instance_id] += CALL_TOKENS
            if self._calls[held.job_id] == self.sites[held.instance_id].calls:
                ended.append((held, Done()))
            else:
                ended += self._ask(held)
        return ended

    async def _claim(self) -> None:
        if not (free := self.slots - len(self._running)):
            return
        found = await claim(self.opened, self.worker_id, slots=free, site_window=WINDOW)
        refused: list[tuple[Claim, Outcome]] = []
        for taken in found.claims:
            refused += self._ask(taken)
        await self._settle(refused)

    def _ask(self, held: Claim) -> list[tuple[Claim, Outcome]]:
        """Stand in line for the next call, or be refused."""
        if self._quota_clock - self._now > LONGEST_WAIT_S:
            self.parked += 1
            self._due[self._quota_clock].append(held.job_id)
            return [(held, Wait(FAR_S, "quota"))]
        self._quota_clock = max(self._quota_clock, self._now) + 1
        self._running[held.job_id] = (held, self._quota_clock)
        return []

    async def _settle(self, ended: list[tuple[Claim, Outcome]]) -> None:
        moves = [(held, move(outcome)) for held, outcome in ended]
        outcomes = [
            {"job_id": h.job_id, "attempt": h.attempt, "status": m.status, "delay_s": m.delay_s, "spent": m.spent}
            for h, m in moves
        ]
        await self.opened.rows("queue/settle", worker_id=self.worker_id, outcomes=Json(outcomes))


async def measure(*, sites: int, seconds: float, slots: int) -> Figure:
    """So many sites of long blogs and as many of short ones, all with a backlog."""
    made = [Site(f"{kind}-{n}", calls) for kind, calls in (("long", 8), ("short", 2)) for n in range(sites)]
    async with server() as dsn, database(dsn) as opened:
        for site in made:
            jobs = int(seconds / site.calls / sites) + slots
            await opened.execute("bench/insert_by_hand", instance_id=site.name, jobs=jobs)
        fleet = Fleet(opened, await registered(opened), {s.name: s for s in made}, slots)
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
