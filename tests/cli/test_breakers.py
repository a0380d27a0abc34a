"""What an operator sees of an open circuit breaker, and does about it."""

import re

import pytest

from .conftest import Cli, Rows

OPEN = """
update provider_health
set state = 'open', reason = 'You exceeded your current quota', misconfigured = true, openings = 3,
    opened_at = now() - interval '5 minutes', retry_at = now() + interval '40 seconds'
where provider = 'openai'
"""


@pytest.fixture
def open_breaker(sql: Rows) -> None:
    sql(OPEN)


def test_status_names_the_provider_the_reason_and_the_next_probe(cli: Cli, open_breaker: None) -> None:
    """At three in the morning the first command has to say why nothing moves."""
    shown = cli("status").out

    assert "Circuit breakers" in shown
    assert "You exceeded your current quota" in shown
    assert "5 min" in shown
    assert "replicate" not in shown.partition("Circuit breakers")[2].partition("Workers")[0]
    assert re.search(r"^ *stopped +stages that need openai: its circuit breaker is open *$", shown, re.MULTILINE)


def test_status_lists_everything_that_is_stopped(cli: Cli, sql: Rows, open_breaker: None) -> None:
    """`status` said "stopped -" while a circuit breaker was open: it considered budgets only."""
    sql("update fleet_budget set stopped_until = now() + interval '1 h', stop_reason = 'no room for a job'")

    stopped = "no room for a job; stages that need openai: its circuit breaker is open"
    assert re.search(rf"^ *stopped +{stopped} *$", cli("status").out, re.MULTILINE)


def test_status_is_silent_when_all_is_well(cli: Cli) -> None:
    shown = cli("status").out

    assert "Circuit breakers" not in shown
    assert re.search(r"^ *stopped +nothing *$", shown, re.MULTILINE)


def test_breakers_shows_all_of_them(cli: Cli, open_breaker: None) -> None:
    found = {row["provider"]: row["state"] for row in cli("breakers", "--json").json}

    assert found == {"openai": "open", "replicate": "closed", "wix": "closed"}


def test_an_unused_breaker_is_not_shown_beside_those_of_accounts(cli: Cli, sql: Rows) -> None:
    """It would show a closed breaker, while the one that is used is open."""

    def shown() -> list[str]:
        return [row["provider"] for row in cli("breakers", "--json").json]

    sql("insert into provider_health (provider) values ('openai@acme'), ('openai@globex')")
    assert shown() == ["openai@acme", "openai@globex", "replicate", "wix"]

    for used in ("succeeded_at = now() - interval '1 hour'", "struck = array[null]", "state = 'open'"):
        sql(f"update provider_health set {used} where provider = 'openai'")
        assert shown() == ["openai", "openai@acme", "openai@globex", "replicate", "wix"], used
        sql("delete from provider_health where provider = 'openai'")
        sql("insert into provider_health (provider) values ('openai')")


def test_a_person_closes_a_breaker(cli: Cli, sql: Rows, open_breaker: None) -> None:
    ran = cli("breakers", "close", "openai", "--json")

    assert (ran.code, ran.json[0]["state"], ran.json[0]["reason"]) == (0, "closed", None)
    assert sql("select count(*) from provider_health where state <> 'closed'") == [(0,)]


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("replicate", "the circuit breaker of replicate is already closed"),
        ("opneai", "there is no provider opneai; known are openai, "),
    ],
)
def test_closing_a_closed_breaker_says_so(cli: Cli, provider: str, said: str) -> None:
    ran = cli("breakers", "close", provider)

    assert ran.code == 2
    assert said in ran.err


def test_a_breaker_opened_by_hand_waits_for_a_person(cli: Cli, sql: Rows) -> None:
    sql("update provider_health set state = 'open', reason = 'works' where provider = 'wix'")

    assert "when a person closes it" in cli("breakers").out
    assert {row["provider"]: row["retry_in_s"] for row in cli("breakers", "--json").json}["wix"] is None
