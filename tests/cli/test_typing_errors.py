"""A typing error is reported, and never looks like an empty answer."""

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import blogworker.cli
from blogworker.cli.app import app
from blogworker.errors import SettingsError

LONG = "linen " * 1_500


@pytest.fixture
def shop(cli: Any) -> Any:
    """The command line, where the site `linen-shop` has one blog."""
    assert cli("enqueue", "--site", "linen-shop", "--keyword", "curtains").code == 0
    return cli


@pytest.mark.parametrize("command", ["retry", "costs", "quotas", "list"])
def test_an_unknown_site_is_reported_with_the_known_ones(shop: Any, command: str) -> None:
    """At night, `0 blogs` or an empty table for a misspelt site would be taken for good news."""
    ran = shop(command, "--site", "linen-shp")

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("blogworker: there is no site linen-shp; known are linen-shop")


@pytest.mark.parametrize("command", ["retry", "costs", "quotas", "list"])
def test_a_known_site_has_an_answer(shop: Any, command: str) -> None:
    ran = shop(command, "--site", "linen-shop")

    assert (ran.code, ran.err) == (0, "")


def test_a_site_without_a_quota_is_not_an_empty_table(shop: Any) -> None:
    assert "has no quota yet" in shop("quotas", "--site", "linen-shop").out
    assert shop("quotas", "--site", "linen-shop", "--json").json == []


def test_costs_of_previews_without_a_site_can_be_shown(cli: Any, sql: Any) -> None:
    """It is counted under a name that has no row among the sites."""
    sql("insert into site_spend (instance_id, day, cost_usd) values ('preview', utc_day(now()), 1)")

    assert cli("costs", "--site", "preview").code == 0


def test_an_unknown_error_kind_is_reported_with_the_known_ones(shop: Any, sql: Any) -> None:
    sql("update blog_generations set status = 'CANCELLED'")
    sql("insert into blog_generations (instance_id, source_type, source_id) values ('linen-shop', 'keyword', 'rugs')")
    sql(
        "update blog_generations set status = 'PROCESSING', attempt = 1, worker_id = gen_random_uuid() "
        "where status = 'PENDING'"
    )
    sql("update blog_generations set status = 'FAILED' where status = 'PROCESSING'")
    sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "select id, 1, 'content', 'Rejected', 'no', false from blog_generations where status = 'FAILED'"
    )

    slip, meant = shop("retry", "--kind", "Rejcted"), shop("retry", "--kind", "Rejected")

    assert (slip.code, slip.out) == (0, "0 jobs are PENDING again\n")
    assert slip.err == "blogworker: no FAILED job has an error of kind Rejcted: existing kinds are Rejected\n"
    assert (meant.code, meant.out.splitlines()[1:], meant.err) == (0, ["1 job is PENDING again"], "")


@pytest.mark.parametrize(
    ("time", "reason"), [("tomorrow", "is not a time"), ("2026-12-01T08:00:00", "has no time zone")]
)
def test_an_invalid_time_is_answered_with_a_valid_example(cli: Any, time: str, reason: str) -> None:
    """Nobody knows the signs of strptime by heart."""
    ran = cli("enqueue", "--site", "s", "--keyword", "mugs", "--run-at", time)

    assert (ran.code, ran.out) == (2, "")
    assert f"{reason}: write it as 2026-12-01T08:00:00Z" in ran.err
    assert "%" not in cli("enqueue", "--help").out


def test_a_whole_text_given_for_a_keyword_is_refused_in_a_short_line(cli: Any) -> None:
    ran = cli("enqueue", "--site", "s", "--keyword", LONG)

    assert (ran.code, ran.out) == (2, "")
    assert "a keyword of 8,999 characters: at most 200 are allowed" in ran.err
    assert len(ran.err) < 200


def test_a_long_source_does_not_flood_the_list(shop: Any, sql: Any) -> None:
    """SQL producers may enqueue one; two hundred lines of it would push the others off the screen."""
    sql(
        "insert into blog_generations (instance_id, source_type, source_data) "
        "values ('s', 'keyword', jsonb_build_object('keyword', %s::text))",
        LONG,
    )

    assert len(shop("list").out.splitlines()) == 3


@pytest.mark.parametrize("command", ["demo", "simulate"])
def test_a_command_of_a_missing_extra_says_so_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    """The demo started a Postgres first, and then printed the end of a log."""
    for name in list(sys.modules):
        if name.startswith(("blogworker.simulator", "blogworker.cli.simulation")):
            monkeypatch.delitem(sys.modules, name)
        if name.startswith("starlette"):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "starlette", None)
    monkeypatch.delattr(blogworker.cli, "simulation", raising=False)  # where an earlier test has imported it
    monkeypatch.delattr(blogworker, "simulator", raising=False)
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(app, [command])

    assert isinstance(done.exception, SettingsError), done
    assert "pip install 'blogworker[demo]'" in str(done.exception)
    assert not list(tmp_path.iterdir())
