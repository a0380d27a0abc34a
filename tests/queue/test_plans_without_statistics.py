"""The plans of claims on a large table about which the statistics say nothing."""

from collections.abc import AsyncIterator

import pytest

from blogworker.db.sql import query

from .hot_statements import BRIEF, HOT, plan
from .large_database import LARGE, load, scans, session

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CLAIMS = [hot for hot in HOT if hot.name == "queue/claim"][::2]
BATCHES = [hot for hot in HOT if hot.name in BRIEF and "batch" in hot.parameters]


@pytest.fixture(scope="module", params=[False, True], ids=["never analyzed", "analyzed while empty"])
async def misjudged_url(databases, template, request, anyio_backend) -> AsyncIterator[str]:
    """The DSN of a large database whose statistics know nothing of it."""
    with databases.copy(template) as url:
        async with await session(url) as connection:
            for table in LARGE:
                await connection.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
            if request.param:
                await connection.execute("analyze")
            await load(connection)
        yield url


@pytest.mark.parametrize("claim", CLAIMS + BATCHES, ids=lambda hot: hot.name)
async def test_indexes_are_used_whatever_the_statistics_say(misjudged_url, claim):
    """The first big import comes long before the first ANALYZE, or right after one of empty tables."""
    async with await session(misjudged_url) as connection, connection.transaction(force_rollback=True):
        if claim.before:
            await connection.execute(claim.before.replace("analyze quotas", "").encode())
        nodes = await plan(connection, claim)
        before = await scans(connection)
        await connection.execute(query(claim.name).encode(), claim.parameters)
        after = await scans(connection)

    assert {node["Index Name"] for node in nodes if "Index Name" in node} >= set(claim.indexes)
    assert "Seq Scan" not in {node["Node Type"] for node in nodes if node.get("Relation Name") in LARGE}
    assert after == before
