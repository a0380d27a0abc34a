"""The state of one history: the model, and the statements that change the queue and are checked against it."""

from collections import Counter
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
)
from psycopg.types.json import Json

from blogworker.db.sql import query
from blogworker.queue.claim import ALL, ClaimFilter, Pacing, Scan, _filter_parameters
from blogworker.queue.job import Failure, Outcome, Stage
from blogworker.queue.settle import move

from .model import STAGES, Job, Site
from .server import SESSIONS, Server, Session

# As in the daemon. All quotas have room, so a paced claim leaves jobs for other reasons only.
PACING = Pacing(["openai/q"] * 2 + [None] * 3, [0] * 5, [0.0] * 6, patience_s=0.05)
FILTERS = {
    "any": ALL,
    "paced": ClaimFilter(pacing=PACING),
    "no text": ClaimFilter((Stage.IMAGE, Stage.PUBLISH)),
    "text": ClaimFilter((Stage.SOURCE, Stage.IDEAS, Stage.CONTENT), pacing=PACING),
}
SITES = [f"site{n}" for n in range(5)]
WORKERS = ("ada", "bob", "cyd")
LATER_S = 3_600.0

picks = st.integers(0, 1_000)  # which one of those there are
some_sites = st.lists(st.sampled_from(SITES), min_size=1, max_size=4)
sessions = st.sampled_from(SESSIONS)
workers = st.sampled_from(WORKERS)


class Machine(RuleBasedStateMachine):
    """One history: its rules are in the subclasses."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.jobs: dict[int, Job] = {}
        self.sites: dict[str, Site] = {}
        self.leases: dict[str, tuple[UUID, bool]] = {}  # by name: this incarnation, whether its lease is good
        self.attempts: set[tuple[int, int]] = set()  # all that were ever claimed
        self.rescue_rounds = 0

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
        """The first job of each site, which the next claims must reach however long transactions stay open."""
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

    def resting(self) -> list[Job]:
        return [j for j in self.free("PENDING") if not j.due]

    def site(self, pick: int) -> tuple[str, Site]:
        names = sorted(self.sites.keys() - self.held_sites())
        return names[pick % len(names)], self.sites[names[pick % len(names)]]

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

    def others_in_line(self, site: str) -> set[str]:
        """Return the other sites that surely wait: none of them is paused, or may be at its cap."""
        others = {j.site for j in self.waiting() if j.site != site}
        return {other for other in others if not self.sites[other].paused and self.sites[other].cap is None}

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
            assert count <= window or not self.others_in_line(site), "the window protects other sites"
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

    def commit_session(self, session: Session) -> None:
        if session.is_open:
            self.add(session.jobs)
            session.end("commit")


def vars_of(failure: Failure | None) -> dict[str, object] | None:
    return None if failure is None else {"stage": failure.stage, "kind": failure.kind, "message": failure.message}
