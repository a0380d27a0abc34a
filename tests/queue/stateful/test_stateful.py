"""Any history of the queue: producers, workers, people at psql and open transactions, in any order.

Hypothesis generates histories of a real database, one step at a time, and shrinks those that break an invariant. Beside
the database runs a model (model.py) that knows what must be true of each job. After each step the two are compared, and
the line of sites is checked: it must contain every site that has work.

Nothing runs at the same time here, so no statement may wait: every session has a lock timeout, and a wait for one of
the open transactions fails the step.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    initialize,
    invariant,
    run_state_machine_as_test,
)

from blogworker.queue.job import Done

from .machine import SITES, WORKERS
from .model import Site
from .people_rules import PeopleRules
from .producer_rules import ProducerRules
from .server import Server
from .worker_rules import WorkerRules

EXAMPLES, STEPS, AT_LEAST = settings.default.max_examples // 3, 50, 1_000
CAPS = {"site0": 1, "site1": 2}  # at the start of each history
SETTABLE = ("name", "plan", "weight", "priority", "max_pending", "quota_share", "settings")

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


class Queue(ProducerRules, WorkerRules, PeopleRules):
    """One history, with its invariants."""

    @initialize()
    def begin(self) -> None:
        for session in self.server.sessions.values():
            session.end("rollback" if session.is_open else "select 1")
        self.sql(TRUNCATE)
        self.sql("insert into quotas (name, provider, requests_per_minute) values ('openai/q', 'openai', 60000000)")
        for site, cap in CAPS.items():
            given = {"instance_id": site, "max_in_flight": cap, "from_plan": []}
            self.run("queue/set_site", **dict.fromkeys(SETTABLE) | given)
            self.sites[site] = Site(cap)
        self.add(self.insert(None, SITES[:-1] * 3, later=False, priority=0, max_attempts=2))
        for name in WORKERS:
            self.register(name)
            self.claim(name, 2, 1)

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.server.steps += 1
        self.every_blog_is_what_its_history_made_it()
        self.no_site_with_work_is_forgotten()
        self.virtual_time_never_runs_backwards()

    def every_blog_is_what_its_history_made_it(self) -> None:
        """Nothing is lost, nothing is duplicated, and a lost attempt has written nothing."""
        rows = {row["id"]: row for row in self.sql(JOBS)}
        assert rows == {job.id: job.facts for job in self.jobs.values()}
        assert all((row["status"] == "PROCESSING") == (row["worker"] is not None) for row in rows.values())
        assert all(row["failures"] <= row["max_attempts"] for row in rows.values())
        saved = self.sql("select generation_id, stage, attempt from generation_stages")
        assert {(row["generation_id"], row["stage"]): row["attempt"] for row in saved} == {
            (job.id, stage): attempt for job in self.jobs.values() for stage, attempt in job.checkpoints.items()
        }

    def no_site_with_work_is_forgotten(self) -> None:
        """All claims rely on this: a site that is neither in line nor announced is never visited again."""
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


@pytest.mark.slow
@pytest.mark.search
@pytest.mark.timeout(600)
def test_no_history_loses_or_duplicates_a_job(module_url):
    """Thousands of random steps. A failure prints the shortest history that reproduces it."""
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
