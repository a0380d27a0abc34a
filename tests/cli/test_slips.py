"""A slip of the fingers is told, and never reads like an empty answer."""

from typing import Any

import pytest

LONG = "linen " * 1_500


@pytest.fixture
def shop(cli: Any) -> Any:
    """The command line, where the site `linen-shop` has one blog."""
    assert cli("enqueue", "--site", "linen-shop", "--keyword", "curtains").code == 0
    return cli


@pytest.mark.parametrize(("time", "told"), [("tomorrow", "is no time"), ("2026-12-01T08:00:00", "has no time zone")])
def test_a_time_that_cannot_be_read_is_answered_with_one_that_can(cli: Any, time: str, told: str) -> None:
    """Nobody knows the signs of strptime by heart."""
    ran = cli("enqueue", "--site", "s", "--keyword", "mugs", "--run-at", time)

    assert (ran.code, ran.out) == (2, "")
    assert f"{told}: write it as 2026-12-01T08:00:00Z" in ran.err
    assert "%" not in cli("enqueue", "--help").out


def test_a_whole_text_given_for_a_keyword_is_refused_in_a_short_line(cli: Any) -> None:
    ran = cli("enqueue", "--site", "s", "--keyword", LONG)

    assert (ran.code, ran.out) == (2, "")
    assert "a keyword of 8,999 characters: at most 200 are allowed" in ran.err
    assert len(ran.err) < 200


def test_a_long_source_does_not_drown_the_list(shop: Any, sql: Any) -> None:
    """SQL producers may enqueue one; two hundred lines of it would push the others off the screen."""
    sql(
        "insert into blog_generations (instance_id, source_type, source_data) "
        "values ('s', 'keyword', jsonb_build_object('keyword', %s::text))",
        LONG,
    )

    assert len(shop("list").out.splitlines()) == 3
