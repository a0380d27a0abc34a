"""What people do, at psql and by commands."""

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from .machine import LATER_S, SITES, Machine, picks
from .model import ENDED, STAGES


class PeopleRules(Machine):
    @rule(pick=picks, count=st.integers(1, 3))
    @precondition(lambda self: self.free("PENDING"))
    def put_off_by_hand(self, pick: int, count: int) -> None:
        """In line or resting: now its owner decides when."""
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
        """A person ends the rest of a job."""
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
        """Triggers maintain it: a value that a person writes has no effect."""
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
        """Two sites become one: the new site must get into line for any job moved by hand."""
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
