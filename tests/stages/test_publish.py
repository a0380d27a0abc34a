"""Showing the post to the world once, against the simulated Wix."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic

import pytest

from blogworker.errors import LeaseLost, RateLimited, SiteUnavailable, Unavailable
from blogworker.providers.wix.client import WixClient
from blogworker.stages import image, publish
from blogworker.stages.content import read_post
from blogworker.stages.work import Clients, Later, Work

from .conftest import SITE, RecordedCheckpoints, claimed, idea, post
from .simulated_clients import Room, json_of, simulated

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(work: Work, checkpoints, monkeypatch) -> AsyncIterator[tuple[Work, Room]]:
    monkeypatch.setattr(publish, "QUERY_LAG_S", 0.1)
    monkeypatch.setattr(WixClient, "slowest_draft_s", 0.1)
    checkpoints.saved |= {
        "content": read_post(json_of(post()), source={}, idea=idea()),
        "ideas": {"chosen": idea(), "others": []},
    }
    async with simulated() as (clients, room):
        illustrated = replace(work, clients=clients)
        checkpoints.saved["image"] = (await image.run(illustrated)).dump()
        checkpoints.events.clear()
        yield illustrated, room


async def test_a_post_is_published_with_its_cover(world, checkpoints):
    work, room = world

    output = (await publish.run(work)).dump()

    assert output["published"] is True
    assert output["url"].startswith("http")
    assert checkpoints.post["wix_post_id"] == output["wix_post_id"]
    assert checkpoints.post["wix_media_id"] == output["wix_media_id"]
    shown = await room.posts(SITE)
    assert [found["title"] for found in shown] == [post()["title"]]


async def test_the_claim_is_confirmed_before_every_visible_effect(world, checkpoints):
    """A worker that lost its claim must not show anything."""
    work, _ = world

    await publish.run(work)

    assert [event for event in checkpoints.events if event != "store_post"] == [
        "confirm",
        "save publish.media",
        "confirm",
        "save publish.tags",
        "save publish.intent",
        "confirm",
        "save publish.draft",
        "save publish.asked",
        "confirm",
        "save publish.post",
    ]


async def test_a_lost_claim_shows_nothing(world, checkpoints):
    work, room = world
    checkpoints.lost = True

    with pytest.raises(LeaseLost):
        await publish.run(work)

    assert await room.posts(SITE) == []


async def test_a_draft_whose_answer_was_lost_is_found_again(world, checkpoints):
    work, room = world
    await room.fault(kind="reset_after", vendor="wix", operation="*draft*create*", times=1)
    with pytest.raises(Unavailable):
        await publish.run(work)

    output = (await publish.run(work)).dump()

    assert output["published"] is True
    creations = [
        operation for operation in await room.operations("wix") if "create" in operation and "draft" in operation
    ]
    assert len(creations) == 1
    assert len(await room.posts(SITE)) == 1


async def test_a_draft_that_was_never_created_is_created(world, checkpoints):
    work, room = world
    await room.fault(kind="reset_before", vendor="wix", operation="*draft*create*", times=1)
    with pytest.raises(Unavailable):
        await publish.run(work)

    assert (await publish.run(work)).dump()["published"] is True
    assert len(await room.posts(SITE)) == 1


async def test_a_draft_that_may_still_be_created_is_waited_for(world, checkpoints, monkeypatch):
    """Wix goes on with a slow one after the worker that asked for it was killed."""
    work, room = world
    monkeypatch.setattr(WixClient, "slowest_draft_s", 600)
    await room.fault(kind="reset_before", vendor="wix", operation="*draft*create*", times=1)
    with pytest.raises(Unavailable):
        await publish.run(work)

    with pytest.raises(Later, match="whose creation response was lost"):
        await publish.run(work)

    assert await room.posts(SITE) == []


async def test_a_refused_draft_is_requested_again_at_once(world, checkpoints, monkeypatch):
    work, room = world
    monkeypatch.setattr(WixClient, "slowest_draft_s", 600)
    await room.fault(kind="throttle", vendor="wix", operation="*draft*create*", times=1)
    with pytest.raises(RateLimited):
        await publish.run(work)

    assert (await publish.run(work)).dump()["published"] is True
    assert len(await room.posts(SITE)) == 1


class Turns:
    """Hands out turns to calls, and refuses the nth and all after it."""

    def __init__(self, checkpoints: RecordedCheckpoints, wix: WixClient, *, refuses: int | None = None) -> None:
        self._events = checkpoints.events
        self._refuses = refuses
        self.given = 0
        wix._sites._pace = self.turn

    @asynccontextmanager
    async def turn(self, instance_id: str) -> AsyncIterator[None]:
        if self.given == self._refuses:
            raise RateLimited("used up", provider="wix", code="quota").after(30)
        self.given += 1
        self._events.append("turn")
        yield


async def test_the_claim_is_confirmed_after_the_wait_for_quota(world, checkpoints):
    """Waiting for the turn may take half a minute, after which the claim may be another's and the intent too old."""
    work, _ = world
    Turns(checkpoints, work.clients.wix)

    await publish.run(work)

    events = [event for event in checkpoints.events if event != "store_post"]
    intended = events.index("save publish.intent")
    assert events[intended - 1 : intended + 3] == [
        "turn",
        "save publish.intent",
        "confirm",
        "save publish.draft",
    ]
    assert events[: events.index("save publish.media") + 1] == ["turn", "confirm", "save publish.media"]
    assert events[-5:] == ["turn", "save publish.asked", "confirm", "save publish.post", "turn"]


async def test_a_refused_wait_for_quota_leaves_no_intent(world, checkpoints, monkeypatch):
    """Nothing was sent: the next attempt need not ask Wix, nor wait, before it makes the draft."""
    work, room = world
    monkeypatch.setattr(WixClient, "slowest_draft_s", 600)
    checkpoints.saved["publish.media"] = {"id": "f1", "url": "", "status": "READY"}
    work = claimed(work, site={"member_id": "m1"})
    Turns(checkpoints, work.clients.wix, refuses=0)

    with pytest.raises(RateLimited):
        await publish.run(work)

    assert checkpoints.get("publish.intent") is None
    assert "drafts.create" not in await room.operations("wix")


async def test_a_wait_refused_after_a_refused_token_leaves_a_refused_intent(world, checkpoints, monkeypatch):
    """The draft was asked for with a dead token, which makes nothing, and could not be asked for again."""
    work, room = world
    monkeypatch.setattr(WixClient, "slowest_draft_s", 600)
    checkpoints.saved["publish.media"] = {"id": "f1", "url": "", "status": "READY"}
    checkpoints.saved["publish.tags"] = {"ids": []}
    await room.fault(kind="status", vendor="wix", operation="drafts.create", status=401, times=1)
    turns = Turns(checkpoints, work.clients.wix, refuses=3)  # the site, its members, the draft

    with pytest.raises(RateLimited):
        await publish.run(work)

    assert turns.given == 3
    assert checkpoints.get("publish.intent")["refused"] is True


async def test_a_finished_draft_waits_for_its_time(world, checkpoints):
    work, _ = world

    with pytest.raises(Later) as later:
        await publish.run(claimed(work, publish_in_s=90.0))

    assert 0 < later.value.seconds < 90
    assert checkpoints.get("publish.draft")
    assert checkpoints.get("publish.post") is None
    assert (await publish.run(claimed(work, publish_in_s=-1.0))).dump()["published"] is True


async def test_the_duration_of_an_attempt_is_not_added_to_its_wait(world):
    """A blog claimed a minute before its time takes that minute to be written: it is not published a minute late."""
    work, _ = world

    with pytest.raises(Later) as later:
        await publish.run(claimed(work, publish_in_s=90.0, known_at=monotonic() - 60))
    assert later.value.seconds < 31
    assert (await publish.run(claimed(work, publish_in_s=90.0, known_at=monotonic() - 91))).dump()["published"] is True


@pytest.mark.parametrize("status", [404, 403])
async def test_a_post_that_wix_does_not_show_yet_counts_as_published(world, checkpoints, status):
    """A FAILED blog would be a lie, and a paused site a nuisance: the readers have the post."""
    work, room = world
    await room.fault(vendor="wix", operation="posts.get", kind="status", status=status, body={"message": "no post"})

    output = (await publish.run(work)).dump()

    assert (output["published"], output["url"]) == (True, None)
    assert checkpoints.post["wix_post_id"] == output["wix_post_id"]


async def test_a_post_without_a_usable_address_is_logged(world, capsys):
    work, room = world
    await room.fault(vendor="wix", operation="posts.get", kind="altered", body={"post": {"url": {"base": "x"}}})

    output = (await publish.run(work)).dump()

    assert (output["published"], output["url"]) == (True, None)
    assert "post_url_omitted" in capsys.readouterr().out


async def test_unusable_settings_written_by_hand_are_ignored(world):
    """Wix refuses a draft in the language "English, please", and a worker promises to go on without such a setting."""
    work, room = world

    await publish.run(claimed(work, site={"language": "English, please", "member_id": 5, "publish_mode": ["draft"]}))

    drafts = [asked for asked in await room.requests("wix") if asked["operation"] == "drafts.create"]
    assert [asked["status"] for asked in drafts] == [200]
    assert len(await room.posts(SITE)) == 1


async def test_a_site_that_publishes_by_hand_gets_a_draft(world, checkpoints):
    work, _ = world

    output = (await publish.run(claimed(work, site={"publish_mode": "draft"}))).dump()

    assert output["published"] is False
    assert output["wix_draft_id"]


@pytest.mark.parametrize(("own", "sites", "published"), [
    ("draft", None, False), ("draft", "publish", False), ("publish", "draft", True), (None, "publish", True),
])  # fmt: skip
async def test_the_publish_mode_of_a_job_wins_over_its_site(world, own, sites, published):
    work, room = world

    output = (await publish.run(claimed(work, publish_mode=own, site={"publish_mode": sites}))).dump()

    assert output["published"] is published
    assert len(await room.posts(SITE)) == published


async def test_a_draft_for_review_is_created_at_once_whatever_its_publish_at(world):
    work, _ = world

    output = (await publish.run(claimed(work, publish_mode="draft", publish_in_s=3_600.0))).dump()

    assert output["wix_draft_id"]


async def test_a_failed_import_falls_back_to_the_bytes(world, checkpoints):
    work, room = world
    await room.fault(kind="import_failed", vendor="wix")

    output = (await publish.run(work)).dump()

    assert output["wix_media_id"]
    assert any("upload" in operation for operation in await room.operations("wix"))


async def test_a_missing_picture_is_not_set_as_the_cover(world, checkpoints):
    """A cover that Wix never got shows as a broken frame over the post."""
    work, room = world
    await room.fault(kind="import_failed", vendor="wix")
    del checkpoints.post["image"]

    output = (await publish.run(work)).dump()

    assert output["published"] is True
    assert output["wix_media_id"] is None


async def test_a_post_without_a_picture_is_published(world, checkpoints):
    work, _ = world
    checkpoints.saved["image"] = {"url": None, "reason": "no picture"}

    output = (await publish.run(work)).dump()

    assert output["published"] is True
    assert output["wix_media_id"] is None


async def test_a_site_that_removed_the_app_is_paused(world):
    work, room = world
    await room.fault(kind="revoked", vendor="wix")

    with pytest.raises(SiteUnavailable):
        await publish.run(work)


async def test_without_wix_credentials_the_post_is_only_stored(world, checkpoints: RecordedCheckpoints):
    work, _ = world
    clients = Clients(work.clients.openai, work.clients.replicate, None)

    output = (await publish.run(replace(work, clients=clients))).dump()

    assert output == {"published": False, "reason": "no Wix credentials: post kept in blog_posts"}
    assert checkpoints.post["title"] == post()["title"]


async def test_a_post_carries_the_tags_of_the_sites_blog(world, checkpoints):
    work, room = world

    await publish.run(work)

    assert len(checkpoints.saved["publish.tags"]["ids"]) == 3
    assert (await room.operations("wix")).count("tags.create") == 3


async def test_a_post_whose_tags_are_refused_is_published_without(world, checkpoints):
    work, room = world
    await room.fault(kind="status", vendor="wix", operation="tags.create", status=400)

    assert (await publish.run(work)).dump()["published"] is True
