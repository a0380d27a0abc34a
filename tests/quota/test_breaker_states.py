"""The breaker as the database keeps it: what opens it, who may probe, what closes it."""

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
        return self.tell([None] * failures, successes=successes, refused=refused, reason=reason)

    def tell(self, failed: list[str | None], *, report: UUID | None = None, **said: object) -> bool:
        asked = {"successes": 0, "succeeded": None, "refused": False, "main": False, "reason": "503", **said}
        told = self.run("breaker_report", provider="openai", failed=failed, report=report or uuid4(), **asked)
        self.opened += told[0]["opened"]
        return told[0]["opened"]

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


def test_five_failures_open_it_and_one_caller_is_told(breaker):
    """The line that wakes a person is written once, however many workers meet the outage."""
    told = [breaker.report() for _ in range(8)]

    assert told == [False] * 4 + [True] + [False] * 3
    assert (breaker.row["state"], breaker.row["reason"]) == ("open", "503")
    assert 0.5 < breaker.row["pause_s"] <= 1


def test_three_do_when_nothing_has_succeeded_lately(breaker):
    """A single slow slot would spend all its attempts before it saw five."""
    breaker.sql(LONG_AGO)

    assert [breaker.report() for _ in range(3)] == [False, False, True]


def test_successes_take_failures_back(breaker):
    """A provider that fails a tenth of its calls is worth calling."""
    for _ in range(20):
        breaker.report(successes=9)
        breaker.succeed(9)
        breaker.report(2, successes=18)

    assert (breaker.row["state"], breaker.row["strikes"]) == ("closed", 2)


def test_one_site_that_fails_while_another_is_served_does_not_open_it(breaker):
    """Its trouble is its own: the others would wait for a vendor that is there."""
    breaker.tell([], successes=30, succeeded="well")

    assert [breaker.tell(["broken"] * 5) for _ in range(4)] == [False] * 4
    assert breaker.row["strikes"] == 1
    breaker.succeed(site="well")
    assert breaker.row["strikes"] == 0


def test_five_sites_that_fail_without_a_success_between_them_open_it(breaker):
    breaker.succeed(30, site="well")

    assert not breaker.tell(["a", "b", "a", "c"])
    assert not breaker.tell(["b", "d"])
    assert breaker.tell(["e"])


@pytest.mark.parametrize("sites", [["a"], ["a", "b"]], ids=len)
def test_a_fleet_of_few_sites_sees_an_outage_too(breaker, sites):
    """There is no other site whose success could speak for the vendor."""
    for site in sites:
        breaker.succeed(10, site=site)

    told = [breaker.tell([sites[n % len(sites)]]) for n in range(6)]

    assert True in told


def test_one_site_that_fails_while_nobody_else_is_served_opens_it_at_last(breaker):
    breaker.succeed(10, site="idle")
    breaker.tell(["a"])
    breaker.sql(LONG_AGO)

    assert breaker.tell(["a", "a"])


def test_an_opening_whose_answer_was_lost_is_told_when_the_report_is_sent_again(breaker):
    """Else nobody would be woken: the line is written by whoever opened it."""
    report = uuid4()

    assert breaker.tell([None] * 5, report=report)
    assert not breaker.tell([None] * 5)
    assert breaker.tell([None] * 5, report=report)
    breaker.run("breaker_close", provider="openai")
    assert breaker.tell([None] * 5, report=report), "it was ours, though it is closed by now"
    assert (breaker.row["state"], breaker.row["epoch"]) == ("closed", 1)


def test_half_of_the_calls_failing_opens_it_before_long(breaker):
    """In clumps, as failures come; strict alternation would never."""
    turns = 0
    while breaker.row["state"] == "closed":
        breaker.report(3)
        breaker.succeed(2)
        turns += 1

    assert turns <= 3


def test_no_credit_opens_it_at_once_and_for_longer(breaker):
    """Our own credit does not come back in a second, and every call would be one for nothing."""
    assert breaker.report(refused=True, reason="insufficient_quota")

    pauses = []
    for _ in range(6):
        pauses.append(round(breaker.row["pause_s"]))
        breaker.sql(DUE)
        breaker.end(breaker.probe(), "down", refused=True)

    assert pauses == [5, 10, 20, 40, 60, 60]


def test_failures_wait_a_little_longer_each_time(breaker):
    """But never more than five seconds: a vendor that is back is used again at once."""
    breaker.report(5)

    pauses = []
    for _ in range(5):
        pauses.append(round(breaker.row["pause_s"]))
        breaker.sql(DUE)
        breaker.end(breaker.probe(), "down")

    assert pauses == [1, 2, 4, 5, 5]


def test_a_closed_breaker_begins_again_with_the_shortest_pause(breaker):
    breaker.report(5)
    breaker.sql(DUE)
    breaker.end(breaker.probe(), "down")
    breaker.sql(DUE)

    open_s = breaker.end(breaker.probe(), "alive")
    breaker.report(5)

    assert open_s > 0
    assert round(breaker.row["pause_s"]) == 1
    assert breaker.row["epoch"] == 2


def test_nobody_probes_before_its_time(breaker):
    breaker.report(5)

    assert breaker.probe() is None


def test_one_probe_at_a_time(breaker):
    breaker.report(5)
    breaker.sql(DUE)

    assert [breaker.probe() is not None for _ in range(3)] == [True, False, False]


def test_a_probe_whose_worker_died_is_replaced_and_its_verdict_is_void(breaker):
    """It may come back from the dead with an answer of another time."""
    breaker.report(5)
    breaker.sql(DUE)
    dead = breaker.probe()
    breaker.sql(SILENT)
    heir = breaker.probe()

    assert breaker.end(dead, "alive") is None
    assert breaker.row["state"] == "half_open"
    assert breaker.end(heir, "alive") is not None


def test_a_probe_that_tells_of_itself_is_not_replaced(breaker):
    """A long post takes longer than a worker may be silent."""
    breaker.report(5)
    breaker.sql(DUE)
    probe = breaker.probe()
    breaker.sql(SILENT)
    breaker.succeed(0, probe)

    assert breaker.probe() is None


def test_a_probe_nobody_could_use_comes_again_in_a_second(breaker):
    breaker.report(5)
    breaker.sql(DUE)
    breaker.end(breaker.probe(), "unused")

    assert breaker.row["state"] == "open"
    assert breaker.row["openings"] == 1
    assert 0.5 < breaker.row["pause_s"] <= 1


def test_late_answers_of_calls_under_way_close_nothing(breaker):
    """They were asked before the trouble began."""
    breaker.report(5)
    breaker.succeed(100)

    assert breaker.row["state"] == "open"


def test_a_person_closes_it_in_psql(breaker):
    breaker.report(5)
    breaker.sql("update provider_health set state = 'closed' where provider = 'openai'")

    row = breaker.row
    assert (row["strikes"], row["openings"], row["reason"], row["retry_at"]) == (0, 0, None, None)
    assert not breaker.report()


def test_a_person_shuts_a_provider_in_psql(breaker):
    """For a vendor's announced works: nobody probes until a person opens it again."""
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
        assert self.breaker.opened == self.logged["opened"], "every opening is told, once"
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
            told = self.breaker.end(self.probes[who], verdict)
            assert (told is not None) == (valid and verdict == "alive"), "every closing by a probe is told, once"

    def now(self) -> Any:
        return self.breaker.session.execute("select clock_timestamp() as now").fetchone()["now"]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(STEPS)), max_size=40))
def test_whatever_two_workers_do_there_is_one_probe_and_one_line_an_opening(session, steps):
    """And only a probe's success, or a person, closes."""
    session.execute(RESET.encode())
    story = Story(Breaker(session))

    for who, what in steps:
        story.step(who, what)
