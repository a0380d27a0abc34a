"""Any history of the queue: producers, workers, people at psql and transactions left open, in any order.

Hypothesis makes up histories of a real database, one step at a time, and shrinks those that break a promise. Beside
the database runs a model: plain Python objects that know what must be true of each blog. After each step the two are
compared, and the line of sites is asked whether it still knows of every site that has work.

Nothing runs at the same time here, so nothing may ever wait: every session has a lock timeout, and a wait for one of
the open transactions fails the step.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row
from psycopg.types.json import Json

from blogworker.db.sql import query
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, Scan, _filter_parameters
from blogworker.queue.job import Cancel, Done, Failure, Outcome, PauseSite, PutOff, Reject, Release, Retry, Stage, Wait
from blogworker.queue.rescue import MOST, MOST_LONE
from blogworker.queue.settle import move

EXAMPLES, STEPS, AT_LEAST = settings.default.max_examples // 3, 50, 1_000
STAGES = ("source", "ideas", "content", "image", "publish")
# As the daemon's: all quotas have room, so what a paced claim leaves is left for another reason.
PACING = Pacing(["openai/q"] * 2 + [None] * 3, [0] * 5, [0.0] * 6, patience_s=0.05)
FILTERS = {
    "any": ALL,
    "paced": ClaimFilter(pacing=PACING),
    "no text": ClaimFilter((Stage.IMAGE, Stage.PUBLISH)),
    "text": ClaimFilter((Stage.SOURCE, Stage.IDEAS, Stage.CONTENT), pacing=PACING),
}
SITES = [f"site{n}" for n in range(5)]
CAPS = {"site0": 1, "site1": 2}  # what histories begin with
WORKERS = ("ada", "bob", "cyd")
SESSIONS = ("left", "right")  # transactions that are left open
SETTABLE = ("instance_id", "name", "plan", "weight", "max_in_flight", "max_pending", "settings")
LATER_S = 3_600.0
SUSPECT = 2  # rescues
MOST_VISITS = (
    150  # a window of 4 at weight 0.5 puts a site 8 turns behind, which at weight 3 are 24 visits, to 4 others
)
ENDED = ("DONE", "FAILED", "CANCELLED")
WAITING = ("PENDING", "SCHEDULED")
FORGOTTEN = ("Rejected", "Refused", "Truncated")

TRUNCATE = (
    "truncate sites, blog_generations, site_arrivals, site_bills, generation_stages, generation_errors, blog_posts, "
    "scheduled_blogs, workers, provider_usage, quotas restart identity cascade"
)
JOBS = """
select
    id, instance_id as site, status, attempt, failures, rescues, lone_rescues, stage, worker_id as worker, priority,
    cancel_requested_at is not null as unwanted, finished_at is not null as ended,
    max_attempts, claimed_at is not null as claimed, run_at <= now() as due, line
from blog_generations
"""
FORGOTTEN_SITES = """
select s.instance_id
from sites as s
where
    not s.ready
    and exists (select from blog_generations as g where g.instance_id = s.instance_id and g.line >= 0)
    and not exists (select from site_arrivals as a where a.instance_id = s.instance_id)
"""
WRONGLY_AT_CAP = """
select s.instance_id
from sites as s
where
    s.at_cap
    and s.capped_until is null
    and (s.max_in_flight is null or s.max_in_flight > (
        select count(*) from blog_generations as g where g.instance_id = s.instance_id and g.status = 'PROCESSING'
    ))
    and not exists (select from site_arrivals as a where a.instance_id = s.instance_id)
"""


def failure(kind: str) -> Failure:
    return Failure(stage="ideas", kind=kind, message="what went wrong")


OUTCOMES: list[Outcome] = [
    Done(),
    Retry(failure("Unavailable"), 0),
    Retry(failure("Truncated"), LATER_S),
    Wait(0, "quota"),
    Wait(LATER_S, "quota", failure("RateLimited")),
    PutOff(LATER_S, "to be published later"),
    Reject(failure("Rejected")),
    Release(),
    Cancel(),
    PauseSite(failure("SiteUnavailable")),
]


@dataclass
class Job:
    """What must be true of a blog."""

    id: int
    site: str
    status: str
    priority: int = 0
    max_attempts: int = 5
    key: str | None = None
    due: bool = True
    attempt: int = 0
    failures: int = 0
    rescues: int = 0
    lone_rescues: int = 0
    lost_in: int | None = None  # the round of rescues in which it was taken back last
    stage: str = "source"
    worker: UUID | None = None
    unwanted: bool = False
    last_error: str | None = None
    checkpoints: dict[str, int] = field(default_factory=dict)  # and the attempt that saved each

    def take(self, worker: UUID) -> None:
        self.status, self.worker, self.attempt = "PROCESSING", worker, self.attempt + 1

    def go(self, status: str) -> None:
        """Any other move, as the database is to make it."""
        if self.status == "PROCESSING" and self.unwanted and status in WAITING:
            status = "CANCELLED"
        if self.status in ENDED and status in WAITING:
            self.failures = self.rescues = self.lone_rescues = 0
            self.unwanted = False
            if self.last_error in FORGOTTEN and self.stage in {"ideas", "content", "image"}:
                self.checkpoints = {k: v for k, v in self.checkpoints.items() if not k.startswith(f"{self.stage}.")}
        unwritten = self.stage in {"ideas", "content"} and not any(k.startswith("content") for k in self.checkpoints)
        if status == "CANCELLED" and self.status != status and unwritten:  # it gives its title back
            self.checkpoints.pop("ideas", None)
            self.stage = "ideas"
        if status == "PENDING" and self.status != "PROCESSING":
            self.due = True  # asked for now; only an attempt that ended may rest first
        self.status, self.worker = status, None

    def settle(self, outcome: Outcome) -> None:
        made = move(outcome)
        self.failures += made.spent
        self.due = made.delay_s == 0
        self.go("FAILED" if made.spent and self.failures >= self.max_attempts else made.status)
        if made.failure:
            self.last_error = made.failure.kind

    def rescue(self, *, alone: bool, explained: bool) -> None:
        self.rescues += 1
        self.lone_rescues += alone and not explained
        self.due = not alone or self.rescues < SUSPECT
        guilty = alone and (self.lone_rescues >= MOST_LONE or self.rescues >= MOST)
        self.go("FAILED" if guilty else "PENDING")
        self.last_error = "LeaseLost"

    @property
    def line(self) -> int | None:
        """Its place among the jobs of its site, -1: apart; None: it may not be claimed now."""
        if self.status != "PENDING" or not self.due:
            return None
        return STAGES.index(self.stage) if self.rescues < SUSPECT else -1

    @property
    def in_line(self) -> bool:
        return self.line is not None and self.line >= 0

    @property
    def order(self) -> tuple[int, int, int]:
        """What is part done goes before what is new, the later its stage the sooner."""
        assert self.line is not None
        return -self.line, -self.priority, self.id

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "site": self.site,
            "status": self.status,
            "attempt": self.attempt,
            "failures": self.failures,
            "rescues": self.rescues,
            "lone_rescues": self.lone_rescues,
            "stage": self.stage,
            "worker": self.worker,
            "priority": self.priority,
            "unwanted": self.unwanted,
            "ended": self.status in ENDED,
            "max_attempts": self.max_attempts,
            "claimed": self.attempt > 0,
            "due": self.due,
            "line": self.line,
        }


@dataclass
class Site:
    cap: int | None = None
    weight: float = 1.0
    paused: bool = False
    virtual_time: float = 0.0


@dataclass
class Session:
    """A connection, and what its open transaction did that nobody else can see yet."""

    connection: psycopg.Connection[dict[str, Any]]
    is_open: bool = False
    jobs: list[Job] = field(default_factory=list)
    sites: set[str] = field(default_factory=set)  # made here
    held_jobs: set[int] = field(default_factory=set)  # locked here
    held_sites: set[str] = field(default_factory=set)

    def end(self, how: str) -> None:
        self.connection.execute(how.encode())
        self.forget()

    def forget(self) -> None:
        self.is_open = False
        self.jobs, self.sites, self.held_jobs, self.held_sites = [], set(), set(), set()


class Server:
    """The connections, kept over all histories."""

    def __init__(self, url: str) -> None:
        self.psql = self._connect(url)
        self.sessions = {name: Session(self._connect(url)) for name in SESSIONS}
        self.steps = 0

    def _connect(self, url: str) -> psycopg.Connection[dict[str, Any]]:
        connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        connection.execute("set lock_timeout = '2s'")
        return connection

    def close(self) -> None:
        for connection in (self.psql, *(session.connection for session in self.sessions.values())):
            connection.close()


picks = st.integers(0, 1_000)  # which one of those there are
some_sites = st.lists(st.sampled_from(SITES), min_size=1, max_size=4)
sessions = st.sampled_from(SESSIONS)
workers = st.sampled_from(WORKERS)


class Queue(RuleBasedStateMachine):
    """One history."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.jobs: dict[int, Job] = {}
        self.sites: dict[str, Site] = {}
        self.leases: dict[str, tuple[UUID, bool]] = {}  # by name: this incarnation, whether its lease is good
        self.attempts: set[tuple[int, int]] = set()  # all that were ever claimed
        self.rescue_rounds = 0

    @initialize()
    def begin(self) -> None:
        for session in self.server.sessions.values():
            session.end("rollback" if session.is_open else "select 1")
        self.sql(TRUNCATE)
        self.sql("insert into quotas (name, provider, requests_per_minute) values ('openai/q', 'openai', 60000000)")
        for site, cap in CAPS.items():
            self.run("queue/set_site", **dict.fromkeys(SETTABLE) | {"instance_id": site, "max_in_flight": cap})
            self.sites[site] = Site(cap)
        self.add(self.insert(None, SITES[:-1] * 3, later=False, priority=0, max_attempts=2))
        for name in WORKERS:
            self.register(name)
            self.claim(name, 2, 1)

    # What the steps are made of.

    def sql(self, text: str, *parameters: object) -> list[dict[str, Any]]:
        cursor = self.server.psql.execute(text.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def run(self, name: str, /, **parameters: object) -> list[dict[str, Any]]:
        cursor = self.server.psql.execute(query(name), parameters)
        return cursor.fetchall() if cursor.description else []

    def held_jobs(self) -> set[int]:
        return set().union(*(session.held_jobs for session in self.server.sessions.values()))

    def held_sites(self) -> set[str]:
        return set().union(*(session.held_sites for session in self.server.sessions.values()))

    def being_made(self) -> set[str]:
        return set().union(*(session.sites for session in self.server.sessions.values()))

    def free(self, *statuses: str) -> list[Job]:
        """Jobs that no open transaction holds, with a status of these, or with any."""
        held = self.held_jobs()
        return [j for j in self.jobs.values() if j.id not in held and (not statuses or j.status in statuses)]

    def in_flight(self, site: str) -> int:
        return sum(j.site == site and j.status == "PROCESSING" for j in self.jobs.values())

    def claimable(self) -> list[Job]:
        """What the next claims must reach, however long the open transactions stay open: the first of each site."""
        held, held_jobs = self.held_sites(), self.held_jobs()
        waiting = sorted((j for j in self.jobs.values() if j.in_line), key=lambda j: j.order)
        first = {j.site: j for j in reversed(waiting)}
        return [
            j
            for j in first.values()
            if j.id not in held_jobs
            and j.site not in held
            and not (site := self.sites[j.site]).paused
            and (site.cap is None or self.in_flight(j.site) < site.cap)
        ]

    def insert(
        self, session: Session | None, sites: list[str], *, later: bool, priority: int, max_attempts: int
    ) -> list[Job]:
        """As typed: one statement, several rows."""
        connection = session.connection if session else self.server.psql
        rows = ", ".join(["(%s, 'keyword', 'k', %s, %s, now() + make_interval(secs => %s))"] * len(sites))
        values = [v for site in sites for v in (site, priority, max_attempts, LATER_S if later else 0)]
        ids = connection.execute(
            "insert into blog_generations (instance_id, source_type, source_id, priority, max_attempts, run_at) "
            f"values {rows} returning id".encode(),
            values,
        ).fetchall()
        return [
            Job(row["id"], site, "SCHEDULED" if later else "PENDING", priority, max_attempts, due=not later)
            for row, site in zip(ids, sites, strict=True)
        ]

    def add(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.sites.setdefault(job.site, Site())
            self.jobs[job.id] = job

    def waiting(self) -> list[Job]:
        """What may be claimed: nobody has locked it, and it is in line."""
        return [j for j in self.free("PENDING") if j.in_line]

    def claim(
        self, name: str, slots: int, window: int, *, only: str = "any", meanwhile: Session | None = None
    ) -> list[Job]:
        """The statements of a claim, and all that must be true of what it took.

        `meanwhile` is committed before the last of them.
        """
        worker, good = self.leases[name]
        stages = FILTERS[only].stages or STAGES
        self.run("queue/admit_sites", batch=50, only=None, skipped=[])
        waiting = [j for j in self.waiting() if j.stage in stages]
        for booked in self.run(
            "queue/reconcile_sites", batch=50, only=None, skipped=[]
        ):  # the one that may turn it back: what was not used
            self.sites[booked["instance_id"]].virtual_time = float("-inf")
        asked = {"slots": slots, "site_window": window} | _filter_parameters(FILTERS[only], Scan())
        rows = self.run("queue/claim", worker_id=worker, **asked)
        if meanwhile:
            self.commit_session(meanwhile)
        if dry := rows[0]["dry"]:
            self.run("queue/retire_sites", instance_ids=dry, ahead=0)
        taken = [self.jobs[row["job_id"]] for row in rows if row["job_id"] is not None]
        assert len(taken) <= (slots if good else 0)
        assert all(job in waiting for job in taken), "only what is in line, and not locked, is claimed"
        per_site = Counter(job.site for job in taken)
        for site, count in per_site.items():
            assert not self.sites[site].paused
            assert count <= window
            assert self.sites[site].cap is None or self.in_flight(site) + count <= self.sites[site].cap
            left = [j for j in waiting if j.site == site and j not in taken]
            last = max(j.order for j in taken if j.site == site)
            assert all(j.order > last for j in left), "a site's jobs are taken in their order"
        for job in taken:
            job.take(worker)
            assert (job.id, job.attempt) not in self.attempts, "an attempt is claimed once"
            self.attempts.add((job.id, job.attempt))
        return taken

    def settle(self, worker: UUID, ended: list[tuple[Job, int, Outcome]]) -> dict[int, str]:
        """As the settler sends it."""
        for job, _, outcome in ended:
            if move(outcome).pauses_site:
                self.run("queue/pause_site", instance_id=job.site, reason="what went wrong")
                self.sites[job.site].paused = True
        rows = self.run(
            "queue/settle",
            worker_id=worker,
            outcomes=Json(
                [
                    {
                        "job_id": job.id,
                        "attempt": attempt,
                        "status": (made := move(outcome)).status,
                        "delay_s": made.delay_s,
                        "spent": made.spent,
                        "error": made.error,
                        "failure": vars_of(made.failure),
                    }
                    for job, attempt, outcome in ended
                ]
            ),
        )
        return {row["job_id"]: row["status"] for row in rows}

    # Producers.

    @rule(sites=some_sites, later=st.booleans(), priority=st.integers(0, 2), max_attempts=st.integers(1, 3))
    def insert_by_hand(self, sites: list[str], later: bool, priority: int, max_attempts: int) -> None:
        sites = [site for site in sites if site not in self.being_made()]
        if sites:
            self.add(self.insert(None, sites, later=later, priority=priority, max_attempts=max_attempts))

    @rule(site=st.sampled_from(SITES), key=st.sampled_from(["k1", "k2", None]), later=st.booleans())
    def enqueue(self, site: str, key: str | None, later: bool) -> None:
        if site in self.being_made():
            return
        known = next((j for j in self.jobs.values() if j.key and (j.site, j.key) == (site, key)), None)
        (answer,) = self.sql(
            "select * from enqueue_blog(%s, 'keyword', 'k', run_at => now() + make_interval(secs => %s), "
            "idempotency_key => %s)",
            site,
            LATER_S if later else 0,
            key,
        )
        if known:
            assert (answer["id"], answer["created"], answer["status"]) == (known.id, False, known.status)
        else:
            assert answer["created"]
            self.add([Job(answer["id"], site, answer["status"], key=key, due=not later)])

    @rule(
        name=sessions,
        sites=some_sites,
        later=st.booleans(),
        isolation=st.sampled_from(["read committed", "repeatable read"]),
    )
    def insert_and_keep_open(self, name: str, sites: list[str], later: bool, isolation: str) -> None:
        session = self.server.sessions[name]
        sites = [site for site in sites if site not in self.being_made() - session.sites]
        if not sites:
            return
        self.open(session, isolation)
        try:
            jobs = self.insert(session, sites, later=later, priority=1, max_attempts=2)
        except psycopg.errors.SerializationFailure:  # an old snapshot: told to the producer, who may begin again
            session.end("rollback")
            return
        session.jobs += jobs
        session.sites |= {site for site in sites if site not in self.sites}

    @rule(name=sessions, pick=picks, count=st.integers(1, 3))
    @precondition(lambda self: self.free())
    def hold_jobs(self, name: str, pick: int, count: int) -> None:
        """A transaction that reads blogs FOR UPDATE is left open."""
        session = self.server.sessions[name]
        jobs = self.free()
        ids = [jobs[(pick + n) % len(jobs)].id for n in range(count)]
        self.hold(session, session.held_jobs, "blog_generations", "id", ids)

    @rule(name=sessions, pick=picks)
    @precondition(lambda self: self.sites.keys() - self.held_sites())
    def hold_a_site(self, name: str, pick: int) -> None:
        """As an UPDATE of the site would, before its COMMIT."""
        session = self.server.sessions[name]
        sites = sorted(self.sites.keys() - self.held_sites())
        self.hold(session, session.held_sites, "sites", "instance_id", [sites[pick % len(sites)]])

    def open(self, session: Session, isolation: str) -> None:
        if not session.is_open:
            session.connection.execute(f"begin isolation level {isolation}".encode())
            session.connection.execute("select count(*) from sites")  # here an old snapshot begins to grow old
            session.is_open = True

    def hold(self, session: Session, held: set[Any], table: str, key: str, values: list[Any]) -> None:
        self.open(session, "read committed")
        try:
            rows = session.connection.execute(
                f"select {key} as held from {table} where {key} = any (%s) for no key update".encode(), (values,)
            ).fetchall()
        except psycopg.errors.SerializationFailure:
            session.end("rollback")
            return
        held.update(row["held"] for row in rows)  # an old snapshot does not show them all

    @rule(name=sessions)
    @precondition(lambda self: any(session.is_open for session in self.server.sessions.values()))
    def commit(self, name: str) -> None:
        self.commit_session(self.server.sessions[name])

    def commit_session(self, session: Session) -> None:
        if session.is_open:
            self.add(session.jobs)
            session.end("commit")

    @rule(name=sessions)
    @precondition(lambda self: any(session.is_open for session in self.server.sessions.values()))
    def roll_back(self, name: str) -> None:
        session = self.server.sessions[name]
        if session.is_open:
            session.end("rollback")

    # Workers.

    @rule(name=workers, slots=st.integers(1, 8), window=st.integers(1, 4), only=st.sampled_from(sorted(FILTERS)))
    def claim_some(self, name: str, slots: int, window: int, only: str) -> None:
        self.claim(name, slots, window, only=only)

    @rule(name=workers, session=sessions)
    @precondition(lambda self: any(session.jobs for session in self.server.sessions.values()))
    def claim_while_a_producer_commits(self, name: str, session: str) -> None:
        self.claim(name, 20, 20, meanwhile=self.server.sessions[session])

    @rule(name=workers)
    def a_worker_with_one_free_slot_gets_what_there_is(self, name: str) -> None:
        """No site can stand in the way of the others: not dry, not locked, not at its cap."""
        self.sql(
            "update sites set capped_until = now() where capped_until is not null and instance_id <> all (%s)",
            sorted(self.held_sites()),
        )  # the moment is over
        there_is = self.claimable()
        _, good = self.leases[name]
        if there_is and good:
            visits = next((n for n in range(MOST_VISITS) if self.claim(name, 1, 1)), None)
            assert visits is not None, f"{len(there_is)} claimable, none reached"

    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=4), pick=picks)
    @precondition(lambda self: self.free("PROCESSING"))
    def settle_held(self, outcomes: list[Outcome], pick: int) -> None:
        """By whoever holds them, even if its lease has ended: nobody has taken them back yet."""
        running = self.free("PROCESSING")
        worker = running[pick % len(running)].worker
        assert worker is not None
        held = self.held_sites()
        ended = [
            (job, job.attempt, outcome)
            for job, outcome in zip([j for j in running if j.worker == worker], outcomes, strict=False)
            if not (move(outcome).pauses_site and job.site in held)
        ]
        answer = self.settle(worker, ended)
        for job, _, outcome in ended:
            job.settle(outcome)
        assert answer == {job.id: job.status for job, _, _ in ended}

    @rule(
        name=workers,
        outcome=st.sampled_from([o for o in OUTCOMES if not isinstance(o, PauseSite)]),
        pick=picks,
        running=st.booleans(),
    )
    @precondition(lambda self: self.free())
    def settle_what_is_lost(self, name: str, outcome: Outcome, pick: int, running: bool) -> None:
        """An older attempt, another's attempt, an attempt that ended: none of them may write.

        The end of an attempt may be sent again, when its answer was lost, and is answered again.
        """
        jobs = (running and self.free("PROCESSING")) or self.free()
        job = jobs[pick % len(jobs)]
        worker, _ = self.leases[name]
        attempts = [job.attempt - 1, *([job.attempt] if job.worker != worker else [])]
        answer = self.settle(worker, [(job, attempt, outcome) for attempt in attempts])

        assert answer == ({job.id: "DONE"} if job.status == "DONE" and isinstance(outcome, Done) else {})

    @rule(
        name=workers,
        pick=picks,
        stage=st.sampled_from(["source", "ideas", "ideas.draft", "content.draft", "publish.draft"]),
        next_stage=st.sampled_from(["ideas", "content", "publish", None]),
        stale=st.booleans(),
        stranger=st.booleans(),
    )
    @precondition(lambda self: self.free("PROCESSING"))
    def save_a_checkpoint(
        self, name: str, pick: int, stage: str, next_stage: str | None, stale: bool, stranger: bool
    ) -> None:
        jobs = self.free("PROCESSING")
        job = jobs[pick % len(jobs)]
        worker = self.leases[name][0] if stranger else job.worker
        attempt = job.attempt - stale
        rows = self.run(
            "stages/save_checkpoint",
            worker_id=worker,
            job_id=job.id,
            attempt=attempt,
            stage=stage,
            output=Json({}),
            next_stage=next_stage,
            model=None,
            prompt_version=None,
            tokens_in=0,
            tokens_cached=0,
            tokens_out=0,
            cost_usd=None,
            duration_s=0.1,
            provider=None,
            made_of=None,
            wasted=False,
            replaces=[],
        )
        if job.worker == worker and not stale:
            assert rows == [{"job_id": job.id}]
            job.checkpoints[stage] = attempt
            if next_stage:
                job.stage, job.rescues, job.lone_rescues = next_stage, 0, 0
        else:
            assert rows == []

    @rule(name=workers)
    def register(self, name: str) -> None:
        """A new incarnation: what the old one held is free for rescue."""
        worker = uuid4()
        (row,) = self.run(
            "queue/register_worker",
            name=name,
            worker_id=worker,
            host="here",
            pid=1,
            version="0",
            concurrency=8,
            lease_s=LATER_S,
        )
        assert row["replaced"] == self.leases.get(name, (None, False))[1]
        self.leases[name] = (worker, True)

    @rule(name=workers)
    def fall_silent(self, name: str) -> None:
        self.sql("update workers set lease_until = now() - interval '1 second' where name = %s", name)
        self.leases[name] = (self.leases[name][0], False)

    @rule(name=workers)
    def extend(self, name: str) -> None:
        worker, good = self.leases[name]
        (row,) = self.run(
            "queue/extend_lease", worker_id=worker, lease_s=LATER_S, in_flight=0, draining=False, stats=Json({})
        )
        assert row["extended"] == good
        assert set(row["cancelled"]) == {j.id for j in self.jobs.values() if j.worker == worker and j.unwanted}

    @rule(batch=st.integers(1, 5))
    def rescue(self, batch: int) -> None:
        live = {worker for worker, good in self.leases.values() if good}
        orphans = sorted((j for j in self.free("PROCESSING") if j.worker not in live), key=lambda j: j.id)[:batch]
        running = [j for j in self.jobs.values() if j.status == "PROCESSING"]
        verdicts = [
            {
                "alone": sum(other.worker == job.worker for other in running) == 1,
                "explained": any(other.worker != job.worker for other in orphans) or self.others_died_since(job),
            }
            for job in orphans
        ]
        rows = self.run("queue/rescue", batch=batch, most_lone=MOST_LONE, most=MOST, only=None, skipped=[])
        self.rescue_rounds += 1
        for job, verdict in zip(orphans, verdicts, strict=True):
            job.rescue(**verdict)
            job.lost_in = self.rescue_rounds
        assert {row["job_id"]: row["status"] for row in rows} == {j.id: j.status for j in orphans}
        self.sql("set session_replication_role = replica")
        self.sql(
            "update blog_generations set run_at = now() + interval '1 hour' "
            "where status = 'PENDING' and run_at > now() and id = any (%s)",
            [job.id for job in orphans],
        )  # a rest of seconds might end by itself before the story goes on
        self.sql("set session_replication_role = origin")

    def others_died_since(self, job: Job) -> bool:
        if job.lost_in is None:
            return False
        return any(other.lost_in is not None and other.lost_in > job.lost_in for other in self.jobs.values())

    @rule(name=workers)
    def claim_a_suspect(self, name: str) -> None:
        """Only by a worker that holds nothing, and lives."""
        worker, good = self.leases[name]
        rows = self.run("queue/claim_suspect", worker_id=worker, stages=None)
        free = [
            j
            for j in self.free("PENDING")
            if j.line == -1
            and j.site not in self.held_sites()
            and not self.sites[j.site].paused
            and (self.sites[j.site].cap is None or self.in_flight(j.site) < self.sites[j.site].cap)
        ]
        idle = not any(j.status == "PROCESSING" and j.worker == worker for j in self.jobs.values())
        assert len(rows) == (1 if free and good and idle else 0)
        for row in rows:
            assert row["job_id"] in {j.id for j in free}
            self.jobs[row["job_id"]].take(worker)

    @rule(name=workers, heir=workers)
    def crash_be_rescued_and_restart(self, name: str, heir: str) -> None:
        self.fall_silent(name)
        self.rescue(50)
        self.register(name)
        self.claim(heir, 8, 4)

    @rule(name=workers, known=st.booleans())
    def release_lost_claims(self, name: str, known: bool) -> None:
        worker, _ = self.leases[name]
        mine = [j for j in self.free("PROCESSING") if j.worker == worker]
        kept = [j.id for j in mine[:1]] if known else []
        rows = self.run(
            "queue/release_lost_claims", worker_id=worker, known=kept, older_than_s=-1, only=None, skipped=[]
        )
        for job in mine:
            if job.id not in kept:
                job.go("PENDING")
        assert {row["job_id"] for row in rows} == {j.id for j in mine} - set(kept)

    @rule(batch=st.integers(1, 4), hurry=st.booleans())
    def promote(self, batch: int, hurry: bool) -> None:
        if hurry:
            for job in self.free("SCHEDULED"):
                job.due = True
            ids = [j.id for j in self.free("SCHEDULED")]
            self.sql("update blog_generations set run_at = now() - interval '1 second' where id = any (%s)", ids)
        due = {j.id for j in self.free("SCHEDULED") if j.due}
        (row,) = self.run("queue/promote", batch=batch, only=None, skipped=[])
        assert row["promoted"] == min(batch, len(due))
        promoted = self.sql("select id from blog_generations where id = any (%s) and status = 'PENDING'", list(due))
        assert len(promoted) == row["promoted"]
        for found in promoted:
            self.jobs[found["id"]].go("PENDING")

    @rule(batch=st.integers(1, 4), pick=picks)
    @precondition(lambda self: self.resting())
    def a_rest_ends(self, batch: int, pick: int) -> None:
        """Time goes by for one of them, past the guards; then a worker promotes."""
        resting = self.resting()
        job = resting[pick % len(resting)]
        due = [j for j in self.free("SCHEDULED") if j.due]
        self.sql("set session_replication_role = replica")
        self.sql("update blog_generations set run_at = now() - interval '1 second' where id = %s", job.id)
        self.sql("set session_replication_role = origin")
        job.due = True
        (row,) = self.run("queue/promote", batch=batch, only=None, skipped=[])
        assert row["promoted"] == 1 + min(batch, len(due))
        for found in self.sql("select id from blog_generations where status = 'PENDING'"):
            if self.jobs[found["id"]].status == "SCHEDULED":
                self.jobs[found["id"]].go("PENDING")

    def resting(self) -> list[Job]:
        return [j for j in self.free("PENDING") if not j.due]

    # People.

    @rule(pick=picks, count=st.integers(1, 3))
    @precondition(lambda self: self.free("PENDING"))
    def put_off_by_hand(self, pick: int, count: int) -> None:
        """Whether it is in line or rests: now it is its owner who says when."""
        jobs = self.free("PENDING")
        chosen = {j.id: j for j in (jobs[(pick + n) % len(jobs)] for n in range(count))}
        self.sql(
            "update blog_generations set run_at = now() + make_interval(secs => %s) where id = any (%s)",
            2 * LATER_S,
            list(chosen),
        )
        for job in chosen.values():
            job.go("SCHEDULED")
            job.due = False

    @rule(pick=picks)
    @precondition(lambda self: self.free("PENDING"))
    def call_by_hand(self, pick: int) -> None:
        """A person does not wait for the end of its rest."""
        jobs = self.resting() or self.free("PENDING")
        job = jobs[pick % len(jobs)]
        self.sql("update blog_generations set run_at = now() where id = %s", job.id)
        job.due = True

    @rule(pick=picks, stage=st.sampled_from(STAGES))
    @precondition(lambda self: self.free("PENDING", "SCHEDULED"))
    def set_the_stage_by_hand(self, pick: int, stage: str) -> None:
        """Back to an earlier one, or past one: its place in line follows."""
        jobs = self.free("PENDING", "SCHEDULED")
        job = jobs[pick % len(jobs)]
        self.sql("update blog_generations set stage = %s where id = %s", stage, job.id)
        job.stage = stage

    @rule(pick=picks, line=st.integers(0, 4) | st.none())
    @precondition(lambda self: self.free("PENDING"))
    def meddle_with_the_line(self, pick: int, line: int | None) -> None:
        """It is kept by triggers: what a person writes there changes nothing."""
        jobs = self.free("PENDING")
        self.sql("update blog_generations set line = %s where id = %s", line, jobs[pick % len(jobs)].id)

    @rule(pick=picks, count=st.integers(1, 3))
    @precondition(lambda self: self.free())
    def cancel(self, pick: int, count: int) -> None:
        jobs = self.free()
        chosen = {j.id: j for j in (jobs[(pick + n) % len(jobs)] for n in range(count))}
        rows = self.run("queue/cancel", job_ids=list(chosen))
        alive = [j for j in chosen.values() if j.status not in ENDED]
        for job in alive:
            job.unwanted = True
            if job.status != "PROCESSING":
                job.go("CANCELLED")
        assert {row["job_id"]: row["status"] for row in rows} == {j.id: j.status for j in alive}

    @rule(pick=picks, alone=st.booleans())
    @precondition(lambda self: self.free(*ENDED))
    def retry(self, pick: int, alone: bool) -> None:
        ended = self.free(*ENDED)
        job = ended[pick % len(ended)]
        chosen = [job] if alone else [j for j in self.free() if j.site == job.site]
        wanted = [j for j in chosen if j.status in ("FAILED", "CANCELLED")]
        rows = self.run("queue/retry", job_ids=[j.id for j in chosen], retry_from=None)
        for each in wanted:
            each.go("PENDING")
        assert {row["job_id"] for row in rows} == {j.id for j in wanted}

    @rule(site=st.sampled_from(SITES))
    def reset_failed_by_hand(self, site: str) -> None:
        failed = [j for j in self.free("FAILED") if j.site == site]
        self.sql("update blog_generations set status = 'PENDING' where id = any (%s)", [j.id for j in failed])
        for job in failed:
            job.go("PENDING")

    @rule(pick=picks)
    @precondition(lambda self: self.free("PROCESSING"))
    def take_from_its_worker_by_hand(self, pick: int) -> None:
        jobs = self.free("PROCESSING")
        job = jobs[pick % len(jobs)]
        self.sql("update blog_generations set status = 'PENDING' where id = %s", job.id)
        job.go("PENDING")

    @rule(pick=picks, site=st.sampled_from(SITES))
    @precondition(lambda self: self.free("PENDING", "PROCESSING"))
    def hand_a_job_to_another_site(self, pick: int, site: str) -> None:
        """Two sites become one: whatever is done to a blog by hand, its new site must know of it."""
        jobs = self.free("PENDING", "PROCESSING")
        job = jobs[pick % len(jobs)]
        if site in self.sites and job.key is None:
            self.sql("update blog_generations set instance_id = %s where id = %s", site, job.id)
            job.site = site

    @rule(pick=picks, count=st.integers(1, 3))
    @precondition(lambda self: self.free())
    def delete_by_hand(self, pick: int, count: int) -> None:
        jobs = self.free()
        ids = {jobs[(pick + n) % len(jobs)].id for n in range(count)}
        self.sql("delete from blog_generations where id = any (%s)", list(ids))
        for job_id in ids:
            del self.jobs[job_id]

    @rule(batch=st.integers(1, 4))
    def prune(self, batch: int) -> None:
        old = {j.id for j in self.free(*ENDED)}
        (row,) = self.run("ops/prune", older_than_s=0, batch=batch)
        left = {found["id"] for found in self.sql("select id from blog_generations")}
        gone = self.jobs.keys() - left
        assert row["pruned"] == len(gone) == min(batch, len(old))
        assert gone <= old
        for job_id in gone:
            del self.jobs[job_id]

    @rule(pick=picks)
    @precondition(lambda self: self.sites.keys() - self.held_sites())
    def pause_or_resume(self, pick: int) -> None:
        name, site = self.site(pick)
        if site.paused:
            self.run("queue/resume_site", instance_id=name)
        else:
            self.run("queue/pause_site", instance_id=name, reason="asked")
        site.paused = not site.paused

    @rule(pick=picks, cap=st.integers(1, 3) | st.none())
    @precondition(lambda self: self.sites.keys() - self.held_sites())
    def set_the_cap(self, pick: int, cap: int | None) -> None:
        name, site = self.site(pick)
        self.sql("update sites set max_in_flight = %s where instance_id = %s", cap, name)
        site.cap = cap

    @rule(pick=picks, weight=st.sampled_from([0.5, 1, 3]))
    @precondition(lambda self: self.sites.keys() - self.held_sites())
    def set_the_weight(self, pick: int, weight: float) -> None:
        name, site = self.site(pick)
        self.sql("update sites set weight = %s where instance_id = %s", weight, name)
        site.weight = weight

    def site(self, pick: int) -> tuple[str, Site]:
        names = sorted(self.sites.keys() - self.held_sites())
        return names[pick % len(names)], self.sites[names[pick % len(names)]]

    # What must be true after every step.

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.server.steps += 1
        self.every_blog_is_what_its_history_made_it()
        self.no_site_with_work_is_forgotten()
        self.virtual_time_never_runs_backwards()

    def every_blog_is_what_its_history_made_it(self) -> None:
        """Nothing lost, nothing twice, nothing written by who had lost it."""
        rows = {row["id"]: row for row in self.sql(JOBS)}
        assert rows == {job.id: job.facts for job in self.jobs.values()}
        assert all((row["status"] == "PROCESSING") == (row["worker"] is not None) for row in rows.values())
        assert all(row["failures"] <= row["max_attempts"] for row in rows.values())
        saved = self.sql("select generation_id, stage, attempt from generation_stages")
        assert {(row["generation_id"], row["stage"]): row["attempt"] for row in saved} == {
            (job.id, stage): attempt for job in self.jobs.values() for stage, attempt in job.checkpoints.items()
        }

    def no_site_with_work_is_forgotten(self) -> None:
        """The promise all claims rest on: who is not in the line and not announced is never looked at again."""
        assert self.sql(FORGOTTEN_SITES) == []
        assert self.sql(WRONGLY_AT_CAP) == []

    def virtual_time_never_runs_backwards(self) -> None:
        rows = self.sql("select instance_id, virtual_time from sites")
        assert {row["instance_id"] for row in rows} == self.sites.keys()
        for row in rows:
            site = self.sites[row["instance_id"]]
            assert row["virtual_time"] >= site.virtual_time
            site.virtual_time = row["virtual_time"]

    def teardown(self) -> None:
        """The end of every history: whatever waits is reached by a bounded number of claims, of suspects too."""
        for session in self.server.sessions.values():
            self.add(session.jobs)
            session.end("commit" if session.is_open else "select 1")
        self.sql("update sites set paused_at = null")
        for site in self.sites.values():
            site.paused = False
        self.sql("update blog_generations set run_at = now() where status = 'PENDING' and line is null")
        for job in self.jobs.values():
            job.due = job.due or job.status == "PENDING"
        self.register("ada")
        for _ in range(2 * len(SITES) + len(self.jobs)):
            self.sql("update sites set capped_until = now() where capped_until is not null")
            for job in self.free("PROCESSING"):
                assert self.settle(job.worker, [(job, job.attempt, Done())]) == {job.id: "DONE"}
                job.settle(Done())
            self.claim_a_suspect("ada")
            self.claim("ada", 5, 2)
        left = [j for j in self.jobs.values() if j.status == "PENDING"]
        assert left == []


def vars_of(failure: Failure | None) -> dict[str, object] | None:
    return None if failure is None else {"stage": failure.stage, "kind": failure.kind, "message": failure.message}


@pytest.mark.slow
@pytest.mark.search
@pytest.mark.timeout(600)
def test_no_history_loses_forgets_or_doubles_a_blog(module_url):
    """Thousands of steps nobody thought of. A failure prints the shortest history that shows it."""
    server = Server(module_url)
    try:
        run_state_machine_as_test(
            lambda: Queue(server),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                derandomize=True,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        server.close()

    assert server.steps >= AT_LEAST
