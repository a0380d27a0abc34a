"""Statements that go to the server together."""

import pytest

from blogworker.db.pool import PREPARE_AFTER, Database, connect
from blogworker.db.sql import query

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("plans_once", [False, True])
@pytest.mark.parametrize("before", range(PREPARE_AFTER + 2))
async def test_a_connection_is_usable_after_any_error(database_settings, before, plans_once):
    """The server skips what follows an error, also when it would have been prepared just then."""
    settings = database_settings.model_copy(update={"pool_max": 1, "pool_min": 1})
    another = await connect(settings.url.get_secret_value(), timeout_s=5)
    async with another, Database(settings, plans_once=plans_once) as database:
        steps = (("queue/claim_turn", {}), ("queue/admit_sites", {"batch": 1, "only": None, "skipped": []}))
        for _ in range(before):
            assert await database.briefly(*steps) is not None
        async with another.transaction():
            await another.execute("select take_turn('claims', null)")
            assert await database.briefly(*steps) is None

        for _ in range(PREPARE_AFTER + 2):
            assert await database.briefly(*steps) is not None


async def test_a_brief_transaction_does_not_wait_for_the_disk_and_the_next_one_does(database_settings):
    """A claim that a crash forgets is repeated; what a job stores is not."""
    connection = await connect(database_settings.url.get_secret_value(), timeout_s=5)
    async with connection:
        await connection.execute("set synchronous_commit = on")
        async with connection.transaction():
            await connection.execute(query("db/begin_briefly"))
            inside = await (await connection.execute("show synchronous_commit")).fetchone()
        after = await (await connection.execute("show synchronous_commit")).fetchone()

    assert (inside, after) == ({"synchronous_commit": "off"}, {"synchronous_commit": "on"})
