"""Claims while a provider is left alone: what needs it stays, what does not goes on, and no site is forgotten."""

from collections import Counter

import pytest

from blogworker.queue.claim import Claimed, Passing, claim
from blogworker.queue.job import Stage

pytestmark = pytest.mark.anyio

TEXT = (Stage.SOURCE, Stage.IDEAS, Stage.CONTENT)
NO_TEXT = Passing((Stage.IMAGE, Stage.PUBLISH))
NO_PICTURES = Passing((*TEXT, Stage.PUBLISH), "wait")


@pytest.fixture
def gated(database, claimer):
    async def run(passing: Passing, slots: int = 100) -> Claimed:
        return await claim(database, claimer.worker_id, slots=slots, site_window=20, passing=passing)

    return run


async def test_only_the_stages_that_pass_are_claimed(psql, gated):
    for stage in Stage:
        await psql.insert("shop", 2, stage=stage)

    found = await gated(NO_TEXT)

    assert Counter(c.stage for c in found.claims) == {Stage.IMAGE: 2, Stage.PUBLISH: 2}


async def test_a_site_whose_jobs_all_wait_stays_in_the_line(psql, gated, claimer):
    """It is not dry: retired, nobody would claim from it when the provider is back."""
    await psql.insert("shop", 5)

    found = await gated(NO_TEXT)

    assert (found.claims, found.look_again) == ((), False), "there is nothing to look for again"
    assert await psql.value("select ready from sites") is True
    assert len((await claimer()).claims) == 5


async def test_a_site_that_is_dry_is_still_retired(psql, gated):
    await psql.insert("shop", 2, stage="publish")

    await gated(NO_TEXT)

    assert await psql.value("select ready from sites") is False


async def test_jobs_far_down_a_sites_line_are_found(psql, gated):
    """What was parked at a late stage may stand behind new blogs of a higher priority."""
    await psql.insert("shop", 90, priority=5)
    await psql.insert("shop", 1, stage="publish")

    assert [c.stage for c in (await gated(NO_TEXT, slots=1)).claims] == [Stage.PUBLISH]


async def test_sites_behind_many_that_wait_are_reached(psql, gated):
    """A claim looks at the head of the line only; what it passes over moves back, and it says that there is more."""
    for n in range(130):
        await psql.insert(f"waits{n}", 1)
    await psql.insert("moves", 3, stage="publish")
    await psql.run("update sites set virtual_time = 0.5, ready = true where instance_id = 'moves'")
    await psql.run("delete from site_arrivals where instance_id = 'moves'")

    looks = 0
    while not (found := await gated(NO_TEXT, slots=5)).claims:
        assert found.look_again
        looks += 1
        assert looks < 5

    assert [c.instance_id for c in found.claims] == ["moves"]  # a turn each while the line is long


async def test_a_site_that_goes_without_pictures_is_not_held_up_for_one(psql, gated):
    await psql.run("""insert into sites (instance_id, settings) values ('skips', '{"image_trouble": "skip"}')""")
    await psql.run("""insert into sites (instance_id, settings) values ('odd', '{"image_trouble": "perhaps"}')""")
    for site in ("skips", "waits", "odd"):
        await psql.insert(site, 1, stage="image")

    assert [c.instance_id for c in (await gated(NO_PICTURES)).claims] == ["skips"]


async def test_a_site_that_waits_for_pictures_waits_where_the_others_do_not(psql, gated):
    await psql.run("""insert into sites (instance_id, settings) values ('waits', '{"image_trouble": "wait"}')""")
    for site in ("waits", "others"):
        await psql.insert(site, 1, stage="image")

    found = await gated(Passing((*TEXT, Stage.PUBLISH), "skip"))

    assert [c.instance_id for c in found.claims] == ["others"]


async def test_a_probe_takes_its_stages_only(psql, gated):
    """Its one job has to make the call it was let through for."""
    await psql.run("""insert into sites (instance_id, settings) values ('skips', '{"image_trouble": "skip"}')""")
    await psql.insert("skips", 3, stage="image")
    await psql.insert("shop", 1, stage="ideas")

    found = await gated(Passing((Stage.SOURCE, Stage.IDEAS)), slots=1)

    assert [c.stage for c in found.claims] == [Stage.IDEAS]


async def test_fairness_holds_among_what_may_be_claimed(psql, gated):
    for site in ("a", "b", "c"):
        await psql.insert(site, 200)
        await psql.insert(site, 40, stage="publish", priority=1)

    served: Counter[str] = Counter()
    for _ in range(6):
        served.update(c.instance_id for c in (await gated(NO_TEXT, slots=15)).claims)

    assert set(served.values()) == {30}


async def test_products_that_are_in_a_shop_wait_while_the_shops_are_away(psql, gated):
    """Claimed and parked every few seconds, they would keep the database busy for nothing."""
    await psql.insert("shop", 1, source_type="product")
    await psql.insert("shop", 1, source_type="product", source_data='{"title": "Mug"}')
    await psql.insert("shop", 1, source_type="keyword")
    no_shops = Passing((*TEXT, Stage.IMAGE), shop=False)

    found = await gated(no_shops)
    again = await gated(no_shops)

    assert sorted((c.source_type, c.source_data) for c in found.claims) == [
        ("keyword", {}),
        ("product", {"title": "Mug"}),
    ]
    assert (again.claims, again.look_again) == ((), False)
    assert await psql.value("select ready from sites") is True, "it is not dry"


async def test_a_shop_is_probed_with_a_product_that_is_in_it(psql, gated):
    await psql.insert("shop", 3, source_type="keyword")
    await psql.insert("shop", 1, source_type="product")

    found = await gated(Passing((Stage.SOURCE,), shop=True), slots=1)

    assert [c.source_type for c in found.claims] == ["product"]
