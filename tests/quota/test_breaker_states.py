"""The breaker in the database: what opens it, who may probe, what closes it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blogworker.db.sql import query

RESET = """
update provider_health set state = 'closed', probe = null;
update provider_health
set struck = '{}', openings = 0, epoch = 0, succeeded_site = null, succeeded_at = clock_timestamp(), retry_at = null
"""
DUE = "update provider_health set retry_at = clock_timestamp() where state = 'open'"
SILENT = "update provider_health set probe_until = clock_timestamp() where state = 'half_open'"
LONG_AGO = "update provider_health set succeeded_at = clock_timestamp() - interval '31 seconds'"


@dataclass
class Breaker:
    """OpenAI's, as several workers would call it."""

    session: psycopg.Connection[dict[str, Any]]
    opened: int = 0

    def sql(self, text: str) -> None:
        self.session.execute(text.encode())

    def run(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        cursor = self.session.execute(query(f"quota/{name}"), parameters)
        return cursor.fetchall() if cursor.description else []

    @property
    def row(self) -> dict[str, Any]:
        return self.session.execute(
            "select *, extract(epoch from retry_at - clock_timestamp())::float as pause_s "
            "from provider_health where provider = 'openai'"
        ).fetchone()

    def report(self, failures: int = 1, *, successes: int = 0, refused: bool = False, reason: str = "503") -> bool:
        return self.report_sites([None] * failures, successes=successes, refused=refused, reason=reason)

    def report_sites(self, failed: list[str | None], *, report: UUID | None = None, **said: object) -> bool:
        asked = {"successes": 0, "succeeded": None, "refused": False, "main": False, "reason": "503", **said}
        rows = self.run("breaker_report", provider="openai", failed=failed, report=report or uuid4(), **asked)
        self.opened += rows[0]["opened"]
        return rows[0]["opened"]

    def succeed(self, count: int = 1, *probes: UUID, site: str | None = None) -> None:
        asked = {"providers": ["openai"], "successes": [count], "sites": [site]}
        self.run("breaker_succeeded", **asked, probes=list(probes), probe_s=10.0)

    def probe(self) -> UUID | None:
        probe = uuid4()
        return probe if self.run("breaker_probe", provider="openai", probe=probe, probe_s=10.0) else None

    def end(self, probe: UUID, verdict: str, *, refused: bool = False) -> float | None:
        said = {"refused": refused, "main": False, "reason": "503 again"}
        answer = self.run("breaker_end_probe", probe=probe, verdict=verdict, **said)
        return answer[0]["open_s"]


@pytest.fixture
def breaker(session: psycopg.Connection[dict[str, Any]]) -> Breaker:
    session.execute(RESET.encode())
    return Breaker(session)


def test_five_failures_open_it_and_one_caller_reports_it(breaker):
    """The line that wakes a person is written once, however many workers meet the outage."""
    opened = [breaker.report() for _ in range(8)]

    assert opened == [False] * 4 + [True] + [False] * 3
    assert (breaker.row["state"], breaker.row["reason"]) == ("open", "503")
    assert 0.5 < breaker.row["pause_s"] <= 1


def test_three_failures_open_it_when_nothing_succeeded_lately(breaker):
    """A single slow slot would spend all its attempts before it saw five."""
    breaker.sql(LONG_AGO)

    assert [breaker.report() for _ in range(3)] == [False, False, True]


def test_successes_cancel_failures(breaker):
    """A provider that fails a tenth of its calls is worth calling."""
    for _ in range(20):
        breaker.report(successes=9)
        breaker.succeed(9)
        breaker.report(2, successes=18)

    assert (breaker.row["state"], breaker.row["strikes"]) == ("closed", 2)


def test_failures_of_one_site_do_not_open_it_while_others_succeed(breaker):
    """The failures are the site's: otherwise other sites would wait for a provider that is up."""
    breaker.report_sites([], successes=30, succeeded="well")

    assert [breaker.report_sites(["broken"] * 5) for _ in range(4)] == [False] * 4
    assert breaker.row["strikes"] == 1
    breaker.succeed(site="well")
    assert breaker.row["strikes"] == 0


def test_failures_of_five_sites_without_a_success_open_it(breaker):
    breaker.succeed(30, site="well")

    assert not breaker.report_sites(["a", "b", "a", "c"])
    assert not breaker.report_sites(["b", "d"])
    assert breaker.report_sites(["e"])


@pytest.mark.parametrize("sites", [["a"], ["a", "b"]], ids=len)
def test_an_outage_is_detected_with_few_sites_too(breaker, sites):
    """No other site succeeds that could show that the provider is up."""
    for site in sites:
        breaker.succeed(10, site=site)

    opened = [breaker.report_sites([sites[n % len(sites)]]) for n in range(6)]

    assert True in opened


def test_failures_of_one_site_open_it_when_no_other_is_served(breaker):
    breaker.succeed(10, site="idle")
    breaker.report_sites(["a"])
    breaker.sql(LONG_AGO)

    assert breaker.report_sites(["a", "a"])


def test_a_repeated_report_returns_the_same_opening(breaker):
    """Otherwise no alert would be sent: the process that opened the breaker writes the log line."""
    report = uuid4()

    assert breaker.report_sites([None] * 5, report=report)
    assert not breaker.report_sites([None] * 5)
    assert breaker.report_sites([None] * 5, report=report)
    breaker.run("breaker_close", provider="openai")
    assert breaker.report_sites([None] * 5, report=report), "it was ours, though it is closed by now"
    assert (breaker.row["state"], breaker.row["epoch"]) == ("closed", 1)


def test_a_failure_rate_of_one_half_opens_it_soon(breaker):
    """In clumps, as failures come; strict alternation would never."""
    turns = 0
    while breaker.row["state"] == "closed":
        breaker.report(3)
        breaker.succeed(2)
        turns += 1

    assert turns <= 3


def test_an_account_without_credit_opens_it_at_once_and_for_longer(breaker):
    """Our own credit does not return within a second, and every call would be useless."""
    assert breaker.report(refused=True, reason="insufficient_quota")

    pauses = []
    for _ in range(6):
        pauses.append(round(breaker.row["pause_s"]))
        breaker.sql(DUE)
        breaker.end(breaker.probe(), "down", refused=True)

    assert pauses == [5, 10, 20, 40, 60, 60]


def test_pauses_grow_with_each_failed_probe(breaker):
    """But never more than five seconds: a provider that is back is used again at once."""
    breaker.report(5)

    pauses = []
    for _ in range(5):
        pauses.append(round(breaker.row["pause_s"]))
        breaker.sql(DUE)
        breaker.end(breaker.probe(), "down")

    assert pauses == [1, 2, 4, 5, 5]


def test_a_closed_breaker_starts_again_with_the_shortest_pause(breaker):
    breaker.report(5)
    breaker.sql(DUE)
    breaker.end(breaker.probe(), "down")
    breaker.sql(DUE)

    open_s = breaker.end(breaker.probe(), "alive")
    breaker.report(5)

    assert open_s > 0
    assert round(breaker.row["pause_s"]) == 1
    assert breaker.row["epoch"] == 2


def test_no_probe_starts_before_retry_at(breaker):
    breaker.report(5)

    assert breaker.probe() is None


def test_one_probe_at_a_time(breaker):
    breaker.report(5)
    breaker.sql(DUE)

    assert [breaker.probe() is not None for _ in range(3)] == [True, False, False]


def test_a_probe_of_a_dead_worker_is_replaced_and_its_result_ignored(breaker):
    """Its answer can arrive much later."""
    breaker.report(5)
    breaker.sql(DUE)
    dead = breaker.probe()
    breaker.sql(SILENT)
    heir = breaker.probe()

    assert breaker.end(dead, "alive") is None
    assert breaker.row["state"] == "half_open"
    assert breaker.end(heir, "alive") is not None


def test_an_extended_probe_is_not_replaced(breaker):
    """A long post takes longer than a worker may be silent."""
    breaker.report(5)
    breaker.sql(DUE)
    probe = breaker.probe()
    breaker.sql(SILENT)
    breaker.succeed(0, probe)

    assert breaker.probe() is None


def test_an_unused_probe_is_available_again_after_a_second(breaker):
    breaker.report(5)
    breaker.sql(DUE)
    breaker.end(breaker.probe(), "unused")

    assert breaker.row["state"] == "open"
    assert breaker.row["openings"] == 1
    assert 0.5 < breaker.row["pause_s"] <= 1


def test_late_answers_of_older_calls_do_not_close_it(breaker):
    """They started before the outage."""
    breaker.report(5)
    breaker.succeed(100)

    assert breaker.row["state"] == "open"


def test_a_person_can_close_it_in_psql(breaker):
    breaker.report(5)
    breaker.sql("update provider_health set state = 'closed' where provider = 'openai'")

    row = breaker.row
    assert (row["strikes"], row["openings"], row["reason"], row["retry_at"]) == (0, 0, None, None)
    assert not breaker.report()


def test_a_person_can_open_it_in_psql(breaker):
    """For announced maintenance: nobody probes until a person closes the breaker."""
    breaker.sql("update provider_health set state = 'open', reason = 'works' where provider = 'openai'")

    assert breaker.probe() is None
    (look,) = [row for row in breaker.run("breaker_states") if row["provider"] == "openai"]
    assert (look["state"], look["retry_s"]) == ("open", None)


def test_another_providers_breaker_is_not_touched(breaker):
    breaker.report(5)

    states = {row["provider"]: row["state"] for row in breaker.run("breaker_states")}

    assert states == {"openai": "open", "replicate": "closed", "wix": "closed"}


STEPS = ["fail", "fail", "refused", "succeed", "due", "silent", "probe", "alive", "down", "unused", "person"]


@dataclass
class Story:
    """Two workers and a clock that jumps; what is true of the breaker whatever they do."""

    breaker: Breaker
    probes: dict[str, UUID] = field(default_factory=dict)
    logged: Counter[str] = field(default_factory=Counter)

    def step(self, who: str, what: str) -> None:
        before = self.breaker.row
        getattr(self, what)(who)
        after = self.breaker.row
        opened = before["state"] == "closed" and after["state"] == "open"
        closed = before["state"] != "closed" and after["state"] == "closed"
        assert opened == (after["epoch"] > before["epoch"])
        self.logged["opened"] += opened
        assert self.breaker.opened == self.logged["opened"], "every opening is reported once"
        if closed:
            assert what == "person" or (what == "alive" and before["probe"] == self.probes.get(who)), what
        if before["state"] == "half_open" and after["state"] == "half_open" and before["probe"] != after["probe"]:
            assert what == "probe", "only who takes over a silent probe replaces it"

    def fail(self, who: str) -> None:
        self.breaker.report()

    def refused(self, who: str) -> None:
        self.breaker.report(refused=True)

    def succeed(self, who: str) -> None:
        self.breaker.succeed()

    def due(self, who: str) -> None:
        self.breaker.sql(DUE)

    def silent(self, who: str) -> None:
        self.breaker.sql(SILENT)

    def probe(self, who: str) -> None:
        held = self.breaker.row
        silent = held["state"] == "half_open" and held["probe_until"] <= self.now()
        may = (held["state"] == "open" and held["retry_at"] <= self.now()) or silent
        taken = self.breaker.probe()
        assert (taken is not None) == may, "one probe, at its time, until it is silent"
        if taken:
            self.probes[who] = taken

    def alive(self, who: str) -> None:
        self.end(who, "alive")

    def down(self, who: str) -> None:
        self.end(who, "down")

    def unused(self, who: str) -> None:
        self.end(who, "unused")

    def person(self, who: str) -> None:
        self.breaker.run("breaker_close", provider="openai")

    def end(self, who: str, verdict: str) -> None:
        if who in self.probes:
            valid = self.breaker.row["probe"] == self.probes[who]
            open_s = self.breaker.end(self.probes[who], verdict)
            assert (open_s is not None) == (valid and verdict == "alive"), "every closing by a probe is reported once"

    def now(self) -> Any:
        return self.breaker.session.execute("select clock_timestamp() as now").fetchone()["now"]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(STEPS)), max_size=40))
def test_any_history_of_two_workers_has_one_probe_at_a_time_and_one_log_line_per_opening(session, steps):
    """And only a probe's success, or a person, closes."""
    session.execute(RESET.encode())
    story = Story(Breaker(session))

    for who, what in steps:
        story.step(who, what)
