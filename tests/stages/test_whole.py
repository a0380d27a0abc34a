"""All five stages in a row, against the three simulated providers."""

from dataclasses import replace

import pytest

from blogworker.post import judging
from blogworker.stages import content, ideas, image, publish, source

from .conftest import SITE, claimed
from .simulated_clients import simulated

pytestmark = pytest.mark.anyio

IN_ORDER = {"source": source, "ideas": ideas, "content": content, "image": image, "publish": publish}


@pytest.mark.parametrize(
    "fields",
    [{}, {"source_type": "keyword", "source_id": "cast iron care", "source_data": {}}],
    ids=["product", "keyword"],
)
async def test_a_row_becomes_a_published_post(work, checkpoints, fields):
    async with simulated() as (clients, room):
        for name, stage in IN_ORDER.items():
            checkpoints.saved[name] = (await stage.run(claimed(replace(work, clients=clients), **fields))).dump()
        shown = await room.posts(SITE)

    assert [post["title"] for post in shown] == [checkpoints.saved["content"]["title"]]
    assert checkpoints.saved["publish"]["published"] is True
    assert "content.repair" not in checkpoints.saved
    assert set(checkpoints.spends) == {"ideas.draft", "content.draft", "image.prediction"}


@pytest.mark.parametrize(
    ("kind", "checkpoint"),
    [("short", "content.repair"), ("poor", "content.repair"), ("incomplete", "content.draft_truncated")],
)
async def test_a_weak_answer_is_repaired(work, checkpoints, kind, checkpoint):
    """One more paid call, and the post is as good as any."""
    async with simulated() as (clients, room):
        work = replace(work, clients=clients)
        for name in ("source", "ideas"):
            checkpoints.saved[name] = (await IN_ORDER[name].run(work)).dump()
        await room.fault(kind=kind, vendor="openai", times=1)

        output = (await content.run(work)).dump()

    assert checkpoint in checkpoints.saved
    assert output["word_count"] >= judging.LEAST_WORDS


async def test_later_posts_of_a_site_link_to_its_first(harness):
    """A blog is made of posts that know each other; those of other sites are not among them."""
    await harness.add("22222222-2222-3333-4444-555555555555", source_id="curtains")
    await harness.attempts()
    for phrase in ("washing curtains", "curtains for a small room"):
        await harness.add(SITE, source_id=phrase)
        await harness.attempts()
    rows = await harness.run(
        "select p.generation_id as id, p.instance_id, p.url, p.html, p.markdown, s.output -> 'links' as links "
        "from blog_posts as p join generation_stages as s on s.generation_id = p.generation_id and s.stage = 'content' "
        "order by 1"
    )

    first, other, second, third = rows
    assert first["links"] == other["links"] == []
    assert second["links"] == [first["url"]]
    assert third["links"]
    assert set(third["links"]) <= {first["url"], second["url"]}
    for post in (second, third):
        assert all(f'href="{url}"' in post["html"] for url in post["links"])
        assert other["url"] not in post["html"]
    shown = {post["title"]: post for post in await harness.room.posts(SITE)}
    assert all(url in str(shown.values()) for url in second["links"])
    asked = await harness.run("select stage, output from generation_stages where generation_id = %s", second["id"])
    assert {"ideas.draft", "content.draft"} <= {row["stage"] for row in asked}


async def test_a_product_is_read_from_the_shop_of_its_site(work, checkpoints):
    async with simulated() as (clients, room):
        work = replace(work, clients=clients)
        product_id = (await room.products(SITE))[0]["id"]

        output = (await source.run(claimed(work, source_id=product_id, source_data={}))).dump()

    assert output["name"]
    assert output["description"]
    assert output["url"].startswith("http")
