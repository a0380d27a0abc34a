"""What producers do, and transactions that are left open."""

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from .machine import LATER_S, SITES, Machine, picks, sessions, some_sites
from .model import Job


class ProducerRules(Machine):
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
        except psycopg.errors.SerializationFailure:  # an old snapshot: the producer has to retry
            session.end("rollback")
            return
        session.jobs += jobs
        session.sites |= {site for site in sites if site not in self.sites}

    @rule(name=sessions, pick=picks, count=st.integers(1, 3))
    @precondition(lambda self: self.free())
    def hold_jobs(self, name: str, pick: int, count: int) -> None:
        """A transaction that reads jobs FOR UPDATE is left open."""
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

    @rule(name=sessions)
    @precondition(lambda self: any(session.is_open for session in self.server.sessions.values()))
    def commit(self, name: str) -> None:
        self.commit_session(self.server.sessions[name])

    @rule(name=sessions)
    @precondition(lambda self: any(session.is_open for session in self.server.sessions.values()))
    def roll_back(self, name: str) -> None:
        session = self.server.sessions[name]
        if session.is_open:
            session.end("rollback")
