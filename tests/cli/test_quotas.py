"""`blogworker quotas`: what is shown of buckets, and what can be changed."""

from typing import Any

import pytest

from blogworker.cli.quotas import _bar

from .imports import Sql


def test_quotas_are_not_hidden_by_thousands_of_sites(cli: Any, sql: Sql) -> None:
    """Of the buckets of sites, an operator wants those that delay calls."""
    sql(
        "insert into quotas (name, provider, requests_per_minute, burst_s) "
        "select 'wix/s' || n, 'wix', 150, 15 from generate_series(1, 3000) as n"
    )
    sql("insert into quotas (name, provider, requests_per_minute) values ('replicate/reads', 'replicate', 3000)")
    sql("update quotas set blocked_until = now() + interval '1 hour' where name = 'wix/s7'")
    sql("update quotas set requests_clock = now() + interval '1 hour' where name = 'wix/s8'")

    shown = {row["name"] for row in cli("quotas", "--json").json}
    one = cli("quotas", "--site", "s9", "--json").json

    assert shown == {"replicate/reads", "wix/s7", "wix/s8"}
    assert shown == {row["name"] for row in cli("status", "--json").json["quotas"]}
    assert len(cli("quotas", "--all", "--json").json) == 3001
    assert [(row["name"], row["requests_per_minute"]) for row in one] == [("wix/s9", 150)]
    assert "there is no site unknown" in cli("quotas", "--site", "unknown", "--json").err
    assert "known are replicate/reads, wix/s7, wix/s8" in cli("quotas", "set", "wix/s", "--rpm", "9").err


def test_quotas_show_the_last_minute_and_accept_new_limits(cli: Any, sql: Sql) -> None:
    """The figures that the former limiter gave for one process, for the whole fleet."""
    sql(
        "insert into quotas "
        "(name, provider, requests_per_minute, tokens_per_minute, newest_slot, slot_requests, slot_tokens) "
        "values ('openai/mini', 'openai', 400, 40000, quota_slot(now()), "
        "array[60, 40] || array_fill(0, array[11]), array[6000, 4000] || array_fill(0, array[11])), "
        "('replicate/predictions', 'replicate', 600, null, 0, array_fill(0, array[13]), array_fill(0, array[13]))"
    )

    for_people, (text, images) = cli("quotas"), cli("quotas", "--json").json
    changed = cli("quotas", "set", "openai/mini", "--rpm", "200", "--json").json

    assert (text["requests_in_last_minute"], text["max_requests"], text["requests_percent"]) == (100, 400, 25.0)
    assert (text["tokens_in_last_minute"], text["max_tokens"], text["tokens_percent"]) == (10_000, 40_000, 25.0)
    assert (text["queue_length"], images["requests_in_last_minute"], images["max_tokens"]) == (0, 0, None)
    assert (for_people.code, for_people.err) == (0, "")
    for word in ("openai/mini", "waiting", "25.0", "10,000"):
        assert word in for_people.out
    assert [(row["max_requests"], row["requests_percent"], row["pinned"]) for row in changed] == [(200, 50.0, True)]


def test_a_fully_used_quota_is_not_shown_as_exceeded(cli: Any, sql: Sql) -> None:
    """The figure is a sum of 5 s slots and reached 109 %. After a limit was lowered, more than 100 % is right."""
    expected = {400: (400, 100.0), 436: (400, 100.0), 440: (400, 100.0), 441: (441, 110.3), 800: (800, 200.0)}
    for used in expected:
        sql(
            "insert into quotas "
            "(name, provider, requests_per_minute, tokens_per_minute, newest_slot, slot_requests, slot_tokens) values "
            f"('openai/{used}', 'openai', 400, 400, quota_slot(now()), array[{used}] || array_fill(0, array[12]), "
            f"array[{used}] || array_fill(0, array[12]))"
        )

    rows = cli("quotas", "--json").json

    assert {row["name"]: (row["requests_in_last_minute"], row["requests_percent"]) for row in rows} == {
        f"openai/{used}": shown for used, shown in expected.items()
    }
    assert all(row["tokens_percent"] == row["requests_percent"] for row in rows)


def test_a_person_can_end_the_block_of_a_429(cli: Any, sql: Sql) -> None:
    """A provider may name a day; its limit is raised in a minute, and those who wait must hear of it."""
    sql(
        "insert into quotas (name, provider, requests_per_minute, blocked_until) "
        "values ('openai/mini', 'openai', 400, now() + interval '1 day')"
    )

    ended, again, unknown = (cli("quotas", "unblock", name) for name in ("openai/mini", "openai/mini", "openai/max"))

    assert (ended.code, ended.err) == (0, "")
    assert sql("select epoch, blocked_until <= clock_timestamp() from quotas") == [(1, True)]
    assert (again.code, "openai/mini is not blocked" in again.err) == (2, True)
    assert (unknown.code, "there is no quota openai/max; known are openai/mini" in unknown.err) == (2, True)


def test_impossible_limits_are_refused_with_a_clear_message(cli: Any, sql: Sql) -> None:
    sql("insert into quotas (name, provider, requests_per_minute) values ('replicate/reads', 'replicate', 3000)")

    endless, uncounted = (
        cli("quotas", "set", "replicate/reads", *limit) for limit in (("--rpm", "3000000000"), ("--tpm", "5"))
    )

    assert (endless.code, "2147483647" in endless.err) == (2, True)
    assert (uncounted.code, "counts requests only" in uncounted.err) == (2, True)
    assert sql("select requests_per_minute, pinned from quotas") == [(3000, False)]


@pytest.mark.parametrize(
    ("percent", "bar"),
    [(None, None), (0, "[" + "." * 20 + "]"), (52, "[" + "#" * 10 + "." * 10 + "]"), (140, "[" + "#" * 20 + "]")],
)
def test_a_bar_shows_how_much_of_a_quota_is_used(percent: float | None, bar: str | None) -> None:
    assert _bar(percent) == bar
