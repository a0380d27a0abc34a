"""The cache between jobs, and how long its values are valid."""

from dataclasses import replace

import pytest

from blogworker.stages import source
from blogworker.stages.cache import StoredCache

from .conftest import SITE, claimed
from .simulated_clients import simulated

pytestmark = pytest.mark.anyio


@pytest.fixture
def stored(database):
    return StoredCache(database, product_s=60, ideas_s=60)


async def test_a_value_is_stored_replaced_and_deleted(stored):
    await stored.remember("k", {"a": 1}, ttl_s=60)
    await stored.remember("k", {"a": 2}, ttl_s=None)
    assert await stored.recall("k") == {"a": 2}

    await stored.forget("k")
    assert await stored.recall("k") is None


async def test_values_that_postgres_cannot_store_fail_no_job(stored):
    """A model or a shop may give a NUL or half a character: the ideas bought with it crashed their attempt."""
    await stored.remember("k", [{"title": "A\0 mug \ud83d", "score": float("inf")}], ttl_s=60)

    assert await stored.recall("k") == [{"title": "A mug ?", "score": None}]


async def test_expired_values_are_not_returned_and_prune_removes_them(stored, database):
    await stored.remember("old", 1, ttl_s=0)
    await stored.remember("for good", 2, ttl_s=None)

    assert await stored.recall("old") is None
    assert (await database.one("ops/prune_leftovers"))["pruned"] == 1
    assert await stored.recall("for good") == 2


async def test_a_product_and_its_catalog_are_read_once(work, stored):
    """Every call counts against the 200 a minute that the site's visitors share."""
    async with simulated() as (clients, room):
        product_id = (await room.products(SITE))[0]["id"]
        another_id = (await room.products(SITE))[1]["id"]
        work = replace(work, clients=clients, cache=stored)

        first = (await source.run(claimed(work, source_id=product_id, source_data={}))).dump()
        again = (await source.run(claimed(work, source_id=product_id, source_data={}))).dump()
        await source.run(claimed(work, source_id=another_id, source_data={}))

        asked = [name for name in await room.operations("wix") if name.startswith("stores.")]

    assert first == again
    assert asked.count("stores.version") == 1
    assert len(asked) == 3


async def test_a_shop_that_moved_to_the_new_catalog_is_read_again_at_once(work, cache):
    async with simulated() as (clients, room):
        product_id = (await room.products(SITE))[0]["id"]
        answer = await clients.wix.catalog(SITE)
        wrong = "V1_CATALOG" if answer == "V3_CATALOG" else "V3_CATALOG"
        cache.values[f"catalog/{SITE}"] = wrong
        work = claimed(replace(work, clients=clients), source_id=product_id, source_data={})

        assert (await source.run(work)).dump()["name"]
    assert cache.values[f"catalog/{SITE}"] == answer
    assert cache.lifetimes[f"catalog/{SITE}"] == (None if answer == "V3_CATALOG" else source.V1_CACHED_S)


async def test_tags_are_created_once_and_found_again_in_any_case():
    async with simulated() as (clients, room):
        wix = clients.wix
        first = await wix.tag_ids(SITE, ["Coffee", "Slow Mornings"], language="en")
        again = await wix.tag_ids(SITE, ["SLOW mornings", "coffee", "Coffee"], language=None)

        operations = await room.operations("wix")

    assert again == first[::-1]
    assert operations.count("tags.create") == 3  # the third met its twin: 409, and was looked up
