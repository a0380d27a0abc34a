"""Each post about a product links back to it once, or says why it cannot; nothing is guessed."""

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blogworker.intake import Accepted, identifiers, read
from blogworker.stages import content, product_link, source
from blogworker.stages.material import material
from blogworker.stages.records import Output
from blogworker.stages.work import Work

from .conftest import SITE, body, claimed, idea, post
from .simulated_clients import simulated

pytestmark = pytest.mark.anyio

PAGE = "https://shop.example/product-page/{handle}"
NO_ADDRESS = "the source has no url and the site no --product-url"
MUG = {"name": "Low Water Mug", "handle": "low-water-mug", "sku": "LW 1"}


async def dumped(work: Work) -> Output:
    """The source as it is stored."""
    return (await source.run(work)).dump()


def about(work, data, **site):
    return claimed(work, source_data=data, source_id="low-water-mug", site={"language": "en", **site})


@pytest.mark.parametrize(
    ("data", "template", "url"),
    [
        (MUG, PAGE, "https://shop.example/product-page/low-water-mug"),
        ({"Title": "Mug", "Handle": "mug"}, PAGE, "https://shop.example/product-page/mug"),
        (MUG, "https://shop.example/p?s={sku}", "https://shop.example/p?s=LW%201"),
        (MUG | {"url": "https://own.example/mug"}, PAGE, "https://own.example/mug"),
        (MUG | {"url": "/products/mug"}, PAGE, "https://shop.example/product-page/low-water-mug"),
    ],
)
async def test_a_product_without_an_address_gets_that_of_its_site(work, data, template, url):
    output = await dumped(about(work, data, product_url=template))

    assert output["url"] == url
    assert "no_link" not in output


@pytest.mark.parametrize(
    ("data", "site", "reason"),
    [
        (MUG, {}, NO_ADDRESS),
        (MUG, {"product_url": None}, NO_ADDRESS),
        (MUG, {"product_url": "https://{handle}.example"}, NO_ADDRESS),  # somebody wrote it with SQL
        ({"name": "Mug"}, {"product_url": PAGE}, "the product has no handle for the site's --product-url"),
        ({"name": "Mug", "handle": ".."}, {"product_url": PAGE}, "the product's handle would lead to another page"),
    ],
)
async def test_the_reason_for_a_missing_link_is_stored_for_people_only(work, data, site, reason):
    output = await dumped(about(work, data, **site))

    assert (output["url"], output["no_link"]) == ("", reason)
    assert "no_link" not in material(output)
    assert "product_url" not in output["site"]


async def test_a_source_that_is_not_a_product_has_no_product_page(work):
    output = (
        await source.run(claimed(work, source_type="keyword", source_data={"keyword": "mugs", "handle": "mug"}))
    ).dump()

    assert (output["url"], output.get("no_link")) == ("", None)


@pytest.mark.parametrize(("site", "links"), [({"product_url": PAGE}, 1), ({}, 0)])
async def test_a_post_links_its_product_once_or_not_at_all(work, writer, checkpoints, site, links):
    """Whatever its writer does: it forgets the link, or invents one."""
    work = about(work, MUG, **site)
    checkpoints.saved |= {"source": await dumped(work), "ideas": {"chosen": idea(), "others": []}}
    invented = "Look at [it](https://shop.example/low-water-mug) and <https://else.example>."
    writer.will_write(post(body_markdown=f"The Low Water Mug is heavy. {invented}\n\n{body()}"))

    output = (await content.run(work)).dump()

    assert output["html"].count("href=") == output["html"].count("https://") == links
    assert output["html"].count('href="https://shop.example/product-page/low-water-mug"') == links


async def test_a_shops_own_addresses_are_learnt_for_products_of_files(work, cache):
    """From a product that is read anyway, in either catalog: it costs no call."""
    async with simulated() as (clients, room):
        sites = {await clients.wix.catalog(site): site for site in (f"site-{n}" for n in range(9))}
        for site in sites.values():
            [first, second, *_] = await room.products(site)
            live = (
                await source.run(
                    claimed(replace(work, clients=clients), instance_id=site, source_id=first["id"], source_data={})
                )
            ).dump()
            there = claimed(work, instance_id=site)
            row = {"name": second["name"], "handle": second["slug"]}

            assert (await dumped(about(there, row)))["url"] == live["url"].replace(first["slug"], second["slug"])
            assert cache.lifetimes[f"product_url/{site}"] == product_link.LEARNT_S
            # What a person has set comes first, and what the shop did not name has no page.
            assert (await dumped(about(there, row, product_url=PAGE)))["url"] == PAGE.format(handle=row["handle"])
            assert (await dumped(about(there, row | {"handle": "p-01"})))["no_link"] == NO_ADDRESS
            assert (await dumped(about(work, row)))["no_link"] == NO_ADDRESS  # another site
    assert sites.keys() == {"V1_CATALOG", "V3_CATALOG"}


@pytest.mark.parametrize("remembered", [7, "https://shop.example", {"url": PAGE}])
async def test_an_outdated_template_is_not_used(work, cache, remembered):
    cache.values[f"product_url/{SITE}"] = remembered

    assert (await dumped(about(work, MUG)))["no_link"] == NO_ADDRESS


NAMES = st.text("abc ABC éüßШщ陶器 -'&/#?%", min_size=1, max_size=20).filter(lambda name: name.strip(" -'&/#?%"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5, unique_by=lambda pair: pair[0].strip()))
async def test_every_product_of_a_file_gets_an_address_or_a_reason(work, products):
    export = io.StringIO()
    csv.writer(export).writerows([["Handle", "Title", "Variant Price"], *([*pair, "9.00"] for pair in products)])
    rows = [
        row.job for row in read(io.BytesIO(export.getvalue().encode()), instance_id=SITE) if isinstance(row, Accepted)
    ]

    assert rows or any(identifiers.complaint(handle.strip()) for handle, _ in products)
    for blog in rows:
        output = await dumped(claimed(work, source_data=blog.source_data, site={"product_url": PAGE}))
        assert bool(output["url"]) is not bool(output.get("no_link"))
        assert output["url"].startswith(PAGE.partition("{")[0]) or output["no_link"]
