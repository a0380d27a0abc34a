"""Claims while a breaker is open: jobs that need the provider stay, others continue, and no site is forgotten."""

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


async def test_only_jobs_at_allowed_stages_are_claimed(psql, gated):
    for stage in Stage:
        await psql.insert("shop", 2, stage=stage)

    found = await gated(NO_TEXT)

    assert Counter(c.stage for c in found.claims) == {Stage.IMAGE: 2, Stage.PUBLISH: 2}


async def test_a_site_whose_jobs_are_all_at_blocked_stages_stays_in_line(psql, gated, claimer):
    """It has jobs: if it were retired, nobody would claim from it when the provider is back."""
    await psql.insert("shop", 5)

    found = await gated(NO_TEXT)

    assert (found.claims, found.look_again) == ((), False), "there is nothing to look for again"
    assert await psql.value("select ready from sites") is True
    assert len((await claimer()).claims) == 5


async def test_a_site_without_a_startable_job_leaves_the_line_for_a_moment(psql, gated, claimer):
    """At the head of the line it would hide the sites behind it; charged for the visit it would pay for nothing."""
    await psql.insert("waits", 5, stage="image")

    assert (await gated(NO_PICTURES)).claims == ()

    (site,) = await psql.run("select virtual_time, ready, at_cap, capped_until > now() as for_a_moment from sites")
    assert site == {"virtual_time": 0, "ready": True, "at_cap": True, "for_a_moment": True}
    assert (await claimer()).claims == (), "not looked at meanwhile"
    await psql.run("update sites set capped_until = now()")
    assert len((await claimer()).claims) == 5


async def test_a_job_added_meanwhile_is_claimed_with_the_others_of_its_site(psql, gated, claimer):
    await psql.insert("shop", 1, stage="image")
    await gated(NO_PICTURES)
    await psql.insert("shop", 1)

    await psql.run("update sites set capped_until = now()")

    assert [c.stage for c in (await gated(NO_PICTURES)).claims] == [Stage.SOURCE]


async def test_a_started_job_is_claimed_from_a_site_that_left_the_line(psql, gated):
    """Started jobs are found wherever their site is in the line."""
    await psql.insert("shop", 1, stage="image")
    await gated(NO_PICTURES)
    await psql.insert("shop", 1, stage="publish")

    assert [c.stage for c in (await gated(NO_PICTURES)).claims] == [Stage.PUBLISH]


async def test_a_site_without_jobs_is_still_retired(psql, gated):
    await psql.insert("shop", 2)

    await gated(NO_PICTURES)

    assert await psql.value("select ready from sites") is False


async def test_jobs_far_down_a_sites_line_are_found(psql, gated):
    """What waits at a late stage may stand behind new jobs of a higher priority."""
    await psql.insert("shop", 90, priority=5)
    await psql.insert("shop", 1, stage="publish")

    assert [c.stage for c in (await gated(NO_TEXT, slots=1)).claims] == [Stage.PUBLISH]


async def test_started_jobs_are_found_behind_any_number_of_blocked_sites(psql, gated):
    for n in range(130):
        await psql.insert(f"waits{n}", 1)
    await psql.insert("moves", 3, stage="publish")

    assert [c.instance_id for c in (await gated(NO_TEXT, slots=5)).claims] == ["moves"] * 3


async def test_new_jobs_behind_many_blocked_sites_are_reached(psql, gated):
    """A claim visits the head of the line only; blocked sites leave it, and the next claim follows at once."""
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


async def test_a_site_without_pictures_does_not_wait_for_the_image_provider(psql, gated):
    await psql.run("""insert into sites (instance_id, settings) values ('skips', '{"image_trouble": "skip"}')""")
    await psql.run("""insert into sites (instance_id, settings) values ('odd', '{"image_trouble": "perhaps"}')""")
    for site in ("skips", "waits", "odd"):
        await psql.insert(site, 1, stage="image")

    assert [c.instance_id for c in (await gated(NO_PICTURES)).claims] == ["skips"]


async def test_a_site_with_pictures_waits_for_the_image_provider(psql, gated):
    await psql.run("""insert into sites (instance_id, settings) values ('waits', '{"image_trouble": "wait"}')""")
    for site in ("waits", "others"):
        await psql.insert(site, 1, stage="image")

    found = await gated(ClaimFilter((*TEXT, Stage.PUBLISH), "skip"))

    assert [c.instance_id for c in found.claims] == ["others"]


async def test_a_probe_claims_its_stages_only(psql, gated):
    """Its one job has to make the call that the probe allows."""
    await psql.run("""insert into sites (instance_id, settings) values ('skips', '{"image_trouble": "skip"}')""")
    await psql.insert("skips", 3, stage="image")
    await psql.insert("shop", 1, stage="ideas")

    found = await gated(ClaimFilter((Stage.SOURCE, Stage.IDEAS)), slots=1)

    assert [c.stage for c in found.claims] == [Stage.IDEAS]


async def test_claims_of_some_stages_are_fair_too(psql, gated):
    for site in ("a", "b", "c"):
        await psql.insert(site, 200)
        await psql.insert(site, 40, stage="publish", priority=1)

    served: Counter[str] = Counter()
    for _ in range(6):
        served.update(c.instance_id for c in (await gated(NO_TEXT, slots=15)).claims)

    assert set(served.values()) == {30}


async def test_jobs_that_need_a_shop_wait_while_wix_is_down(psql, gated):
    """Claimed and released every few seconds, they would load the database for nothing."""
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


async def test_wix_is_probed_with_a_job_that_needs_a_shop(psql, gated):
    await psql.insert("shop", 3, source_type="keyword")
    await psql.insert("shop", 1, source_type="product")

    found = await gated(ClaimFilter((Stage.SOURCE,), shop=True), slots=1)

    assert [c.source_type for c in found.claims] == ["product"]


async def test_a_search_for_a_product_job_does_not_hide_the_other_jobs_of_a_site(psql, gated):
    """The shops are probed before each claim until there is something to probe them with. Sites that left the line for
    it would never be served."""
    await psql.insert("shop", 3, source_type="keyword")
    no_shops = ClaimFilter((*TEXT, Stage.IMAGE), shop=False)

    probed = await gated(ClaimFilter((Stage.SOURCE,), shop=True), slots=1)
    found = await gated(no_shops)

    assert probed.claims == ()
    assert len(found.claims) == 3


async def test_a_search_for_a_product_job_passes_sites_without_one(psql, gated):
    for n in range(60):
        await psql.insert(f"shop{n}", 1, source_type="keyword")
    await psql.insert("products", 1, source_type="product")
    await psql.run("update sites set ready = true, virtual_time = (instance_id = 'products')::int / 2.0")
    await psql.run("delete from site_arrivals")

    looks = [await gated(ClaimFilter((Stage.SOURCE,), shop=True), slots=1) for _ in range(2)]

    assert [[c.instance_id for c in look.claims] for look in looks] == [[], ["products"]]
