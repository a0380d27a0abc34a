"""Any stored value can be read without an error."""

from datetime import UTC, date, datetime

import pytest

from blogworker.cli.output import _plain
from blogworker.db.loaders import BEFORE_ALL, NEVER, Unreadable
from blogworker.ops.shown import ago

pytestmark = pytest.mark.anyio


async def value(database, text: str):
    async with database.connection() as connection:
        cursor = await connection.execute(f"select {text} as found".encode())
        return (await cursor.fetchone())["found"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("('1' || repeat('0', 5000))::jsonb", "digits"),
        ("('{\"n\": -1' || repeat('0', 5000) || '}')::json", "digits"),
        ("(repeat('[', 3000) || repeat(']', 3000))::jsonb", "nested too deeply"),
    ],
)
async def test_unreadable_json_becomes_a_value_that_says_so(database, text, reason):
    found = await value(database, text)

    assert isinstance(found, Unreadable)
    assert reason in found.reason
    assert len(str(found)) < 400


async def test_an_unreadable_value_in_an_array_hides_no_other(database):
    found = await value(database, "array['{\"a\": 1}'::jsonb, ('1' || repeat('0', 5000))::jsonb]")

    assert found[0] == {"a": 1}
    assert isinstance(found[1], Unreadable)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("'infinity'::timestamptz", NEVER),
        ("'294276-12-31 23:59:59+00'::timestamptz", NEVER),
        ("'-infinity'::timestamptz", BEFORE_ALL),
        ("'4713-01-01 00:00:00+00 BC'::timestamptz", BEFORE_ALL),
        ("'2026-01-31 09:00:00.25+00'::timestamptz", datetime(2026, 1, 31, 9, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
async def test_a_time_out_of_range_becomes_the_last_or_the_first_moment(database, zone, text, moment):
    async with database.connection() as connection:
        await connection.execute(f"set timezone = '{zone}'".encode())
        cursor = await connection.execute(f"select {text} as found, array[{text}] as several".encode())
        row = await cursor.fetchone()
        await connection.execute(b"reset timezone")

    assert row == {"found": moment, "several": [moment]}


async def test_a_date_out_of_range_becomes_the_last_or_the_first_day(database):
    assert await value(database, "array['infinity', '-infinity', '2026-01-31']::date[]") == [
        date.max,
        date.min,
        date(2026, 1, 31),
    ]


def test_such_a_time_is_shown_as_never_and_written_as_postgres_writes_it():
    assert (ago(NEVER), _plain(NEVER)) == ("never", "infinity")
    assert (ago(BEFORE_ALL), _plain(BEFORE_ALL)) == ("always", "-infinity")
