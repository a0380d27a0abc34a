"""Claims while a provider is left alone: what needs it stays, what does not goes on, and no site is forgotten."""

from collections import Counter

import pytest

from blogworker.queue.claim import Claimed, ClaimFilter, claim
from blogworker.queue.job import Stage

pytestmark = pytest.mark.anyio

TEXT = (Stage.SOURCE, Stage.IDEAS, Stage.CONTENT)
NO_TEXT = ClaimFilter((Stage.IMAGE, Stage.PUBLISH))
NO_PICTURES = ClaimFilter((*TEXT, Stage.PUBLISH), "wait")


@pytest.fixture
def gated(database, claimer):
    async def run(only: ClaimFilter, slots: int = 100) -> Claimed:
        return await claim(database, claimer.worker_id, slots=slots, site_window=20, only=only)

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


async def test_a_site_with_nothing_that_may_start_leaves_the_line_for_a_moment(psql, gated, claimer):
    """Left at the head of the line it would hide those behind it; charged for the visit it would pay for nothing."""
    await psql.insert("waits", 5, stage="image")

    assert (await gated(NO_PICTURES)).claims == ()

    (site,) = await psql.run("select virtual_time, ready, at_cap, capped_until > now() as for_a_moment from sites")
    assert site == {"virtual_time": 0, "ready": True, "at_cap": True, "for_a_moment": True}
    assert (await claimer()).claims == (), "not looked at meanwhile"
    await psql.run("update sites set capped_until = now()")
    assert len((await claimer()).claims) == 5


async def test_a_blog_that_comes_meanwhile_is_claimed_with_the_others_of_its_site(psql, gated, claimer):
    await psql.insert("shop", 1, stage="image")
    await gated(NO_PICTURES)
    await psql.insert("shop", 1)

    await psql.run("update sites set capped_until = now()")

    assert [c.stage for c in (await gated(NO_PICTURES)).claims] == [Stage.SOURCE]


async def test_what_is_part_done_is_claimed_from_a_site_that_left_the_line(psql, gated):
    """Such jobs are found by name, wherever their site stands."""
    await psql.insert("shop", 1, stage="image")
    await gated(NO_PICTURES)
    await psql.insert("shop", 1, stage="publish")

    assert [c.stage for c in (await gated(NO_PICTURES)).claims] == [Stage.PUBLISH]


async def test_a_site_that_is_dry_is_still_retired(psql, gated):
    await psql.insert("shop", 2)

    await gated(NO_PICTURES)

    assert await psql.value("select ready from sites") is False


async def test_jobs_far_down_a_sites_line_are_found(psql, gated):
    """What waits at a late stage may stand behind new blogs of a higher priority."""
    await psql.insert("shop", 90, priority=5)
    await psql.insert("shop", 1, stage="publish")

    assert [c.stage for c in (await gated(NO_TEXT, slots=1)).claims] == [Stage.PUBLISH]


async def test_part_done_blogs_are_found_behind_any_number_of_sites_that_wait(psql, gated):
    for n in range(130):
        await psql.insert(f"waits{n}", 1)
    await psql.insert("moves", 3, stage="publish")

    assert [c.instance_id for c in (await gated(NO_TEXT, slots=5)).claims] == ["moves"] * 3


async def test_new_blogs_behind_many_sites_that_wait_are_reached(psql, gated):
    """A claim looks at the head of the line only; what it finds there leaves it, and another look is due at once."""
    for n in range(130):
        await psql.insert(f"waits{n}", 1, stage="image")
    await psql.insert("moves", 3)
    await psql.run("update sites set virtual_time = 0.5, ready = true where instance_id = 'moves'")
    await psql.run("delete from site_arrivals where instance_id = 'moves'")

    looks = 0
    while not (found := await gated(NO_PICTURES, slots=5)).claims:
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

    found = await gated(ClaimFilter((*TEXT, Stage.PUBLISH), "skip"))

    assert [c.instance_id for c in found.claims] == ["others"]


async def test_a_probe_takes_its_stages_only(psql, gated):
    """Its one job has to make the call it was let through for."""
    await psql.run("""insert into sites (instance_id, settings) values ('skips', '{"image_trouble": "skip"}')""")
    await psql.insert("skips", 3, stage="image")
    await psql.insert("shop", 1, stage="ideas")

    found = await gated(ClaimFilter((Stage.SOURCE, Stage.IDEAS)), slots=1)

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
    """Claimed and given back every few seconds, they would keep the database busy for nothing."""
    await psql.insert("shop", 1, source_type="product")
    await psql.insert("shop", 1, source_type="product", source_data='{"title": "Mug"}')
    await psql.insert("shop", 1, source_type="keyword")
    no_shops = ClaimFilter((*TEXT, Stage.IMAGE), shop=False)

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

    found = await gated(ClaimFilter((Stage.SOURCE,), shop=True), slots=1)

    assert [c.source_type for c in found.claims] == ["product"]


async def test_looking_for_a_product_in_vain_does_not_hide_the_other_blogs_of_a_site(psql, gated):
    """The shops are probed before each claim until there is something to probe them with. Sites that left the line for
    it would never be served."""
    await psql.insert("shop", 3, source_type="keyword")
    no_shops = ClaimFilter((*TEXT, Stage.IMAGE), shop=False)

    probed = await gated(ClaimFilter((Stage.SOURCE,), shop=True), slots=1)
    found = await gated(no_shops)

    assert probed.claims == ()
    assert len(found.claims) == 3


async def test_looking_for_a_product_gets_past_sites_that_have_none(psql, gated):
    for n in range(60):
        await psql.insert(f"shop{n}", 1, source_type="keyword")
    await psql.insert("products", 1, source_type="product")
    await psql.run("update sites set ready = true, virtual_time = (instance_id = 'products')::int / 2.0")
    await psql.run("delete from site_arrivals")

    looks = [await gated(ClaimFilter((Stage.SOURCE,), shop=True), slots=1) for _ in range(2)]

    assert [[c.instance_id for c in look.claims] for look in looks] == [[], ["products"]]
