"""Anything that a provider or a shop sends can be stored."""

from math import inf, nan

import pytest
from psycopg.types.json import Json

from blogworker.db.storable import storable, storable_message
from blogworker.redact import HIDDEN, SECRETS

pytestmark = pytest.mark.anyio

AWKWARD = {
    "text": "a\0b", "half": "c\ud83dd", "\0key": ["\0", {"deep": "\udc00"}],
    "numbers": [inf, -inf, nan, 1.5, 10**308, 10**309],
    "plain": [None, True, 7, "שלום 🎉 \u200d"],
}  # fmt: skip


async def test_any_json_becomes_storable(database):
    async with database.connection() as connection:
        cursor = await connection.execute(b"select %s::jsonb as kept", [Json(storable(AWKWARD))])
        [row] = await cursor.fetchall()

    assert row["kept"] == {
        "text": "ab", "half": "c?d", "key": ["", {"deep": "?"}], "numbers": [None, None, None, 1.5, 10**308, None],
        "plain": AWKWARD["plain"],
    }  # fmt: skip


async def test_no_secret_is_stored():
    """A refusal is redacted before it is cut to its column, because half a key would not be recognised."""
    SECRETS.learn("k3y-of-a-vendor")
    SECRETS.learn("postgres")

    assert storable_message("k3y-of-a-vendor was refused", 20) == f"{HIDDEN} was refused"
    assert storable_message("no: k3y-of-a-\0vendor", 11) == f"no: {HIDDEN[:6]}…"
    assert storable({"k3y-of-a-vendor": ["a k3y-of-a-vendor", 7]}) == {HIDDEN: [f"a {HIDDEN}", 7]}
    assert storable("Learn postgres in a day") == "Learn postgres in a day"
