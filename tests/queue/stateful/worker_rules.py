"""What workers do: claim, settle, extend their leases, rescue and promote."""

from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)
from psycopg.types.json import Json

from blogworker.queue.job import Cancel, Done, Failure, Outcome, PauseSite, PutOff, Reject, Release, Retry, Wait
from blogworker.queue.rescue import MOST, MOST_LONE
from blogworker.queue.settle import move
from blogworker.spend.ledger import NO_SPEND, columns

from .machine import FILTERS, LATER_S, Machine, picks, sessions, workers
from .model import Job

MOST_VISITS = (
    150  # a window of 4 at weight 0.5 puts a site 8 turns behind, which at weight 3 are 24 visits, to 4 others
)


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


class WorkerRules(Machine):
    @rule(name=workers, slots=st.integers(1, 8), window=st.integers(1, 4), only=st.sampled_from(sorted(FILTERS)))
    def claim_some(self, name: str, slots: int, window: int, only: str) -> None:
        self.claim(name, slots, window, only=only)

    @rule(name=workers, session=sessions)
    @precondition(lambda self: any(session.jobs for session in self.server.sessions.values()))
    def claim_while_a_producer_commits(self, name: str, session: str) -> None:
        self.claim(name, 20, 20, meanwhile=self.server.sessions[session])

    @rule(name=workers)
    def a_worker_with_one_free_slot_gets_what_there_is(self, name: str) -> None:
        """No site blocks the others: neither an empty one, nor a locked one, nor one at its cap."""
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
        """By the worker that holds them, even if its lease has ended: they have not been rescued yet."""
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
            **columns(NO_SPEND),
            duration_s=0.1,
            made_of=None,
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
        )  # a rest of seconds could end before the next step
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
        """Time passes for one of them, without the triggers; then a worker promotes."""
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
